package sse

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"rstserver/poller/internal/onloop"
)

// Defaults of [Options].
const (
	DefaultMaxQueuedBytes = 1 << 20
	DefaultHeartbeat      = 15 * time.Second
	DefaultDrainRetry     = time.Second
)

// Options say what is done on a stream. The zero value is ready to use. The same Options serve any number of streams, and must not be changed
// once the first has them.
type Options struct {
	// OnClose is called once, when the stream is over: the client has gone, or Close or Abort was called, or the server has let go of it. Nil is not
	// called. Without OnLoop it runs on one of the server's workers (see poller.Server.MaxHandlers) and may block. It is not called in
	// a teardown of a poller.Server with ExitAfterClose.
	OnClose func(s *Stream)
	// OnLoop says that OnClose is called on the event loop, which it must not block.
	OnLoop bool

	// MaxQueuedBytes bounds what waits to be sent, since the client does not take it: no event is added to so many bytes or more. Zero
	// means DefaultMaxQueuedBytes.
	MaxQueuedBytes int
	// AtBound says what becomes of an event then.
	AtBound AtBound
	// Counters, if there are any, count what happens.
	Counters *Counters

	// Heartbeat is how often a comment is sent. Zero means DefaultHeartbeat, negative never.
	Heartbeat time.Duration

	// DrainRetry is how long a client is to wait, when a drain has ended its stream, before it comes again: a random time between that and twice as
	// much, so that not all come in the same instant. Zero means DefaultDrainRetry, negative that the client is not told, and
	// does as before.
	DrainRetry time.Duration
	// DrainEvent, if it is not the zero value, is sent with that. Its Retry is DrainRetry's.
	DrainEvent Event
}

// AtBound says what becomes of an event when MaxQueuedBytes wait.
type AtBound uint8

const (
	// Wait makes Send wait for the client. Nobody waits on a loop, and for a Group: there it is End if the group keeps events, so that
	// the client comes back and gets what it has missed, and Drop if not.
	Wait AtBound = iota
	// Drop leaves the event out, and Send returns ErrFull.
	Drop
	// End ends the stream, behind what waits. The client comes back by itself.
	End
)

// Counters count what became of events at the bound. Any goroutine may read them.
type Counters struct {
	Waited  atomic.Int64 // calls of Send that waited
	Dropped atomic.Int64 // events that were left out
	Ended   atomic.Int64 // streams that were ended
}

func (o *Options) bounds() onloop.Bounds {
	b := onloop.Bounds{Queued: o.MaxQueuedBytes, AtBound: onloop.AtBound(o.AtBound), Counters: (*onloop.Counters)(o.Counters)}
	if b.Queued == 0 {
		b.Queued = DefaultMaxQueuedBytes
	}
	return b
}

// check says what is wrong with the options.
func (o *Options) check() error {
	switch {
	case o.MaxQueuedBytes < 0:
		return fmt.Errorf("sse: Options.MaxQueuedBytes is %d; it must be 0 (the default) or more", o.MaxQueuedBytes)
	case o.AtBound > End:
		return errors.New("sse: Options.AtBound is none of Wait, Drop and End")
	}
	if err := o.DrainEvent.check(); err != nil {
		return fmt.Errorf("%w, in Options.DrainEvent", err)
	}
	return nil
}

var defaults Options
