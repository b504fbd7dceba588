package onloop

import (
	"context"
	"sync/atomic"
)

// AtBound says what becomes of a message when as much waits as may.
type AtBound uint8

// What can be done. Where nobody can wait, Wait is Drop.
const (
	Wait AtBound = iota
	Drop
	End
)

// Counters count what became of messages at the bound.
type Counters struct {
	Waited  atomic.Int64
	Dropped atomic.Int64
	Ended   atomic.Int64
}

// Bounds are those of what waits for the client of one connection.
type Bounds struct {
	Queued   int // bytes: no message is added to so many or more
	AtBound  AtBound
	Counters *Counters // nil: nobody counts
}

// Write calls send to send a message, which is to return ErrFull at the bound. There Write waits and has it try again, returns ErrFull, or has end
// end the connection, and returns ErrOver. waits: this goroutine may wait. end reports whether it has. If ctx ends, Write returns its error.
func (b Bounds) Write(ctx context.Context, c Conn, waits bool, send func() error, end func() bool) error {
	var waited bool
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := send(); err != ErrFull {
			return err
		}
		switch {
		case b.AtBound == End:
			b.end(end)
			return ErrOver
		case b.AtBound == Drop, !waits:
			b.drop()
			return ErrFull
		}
		if n := b.Counters; n != nil && !waited {
			n.Waited.Add(1)
		}
		waited = true
		select {
		case <-c.Room(b.Queued):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (b Bounds) end(end func() bool) {
	if end() && b.Counters != nil {
		b.Counters.Ended.Add(1)
	}
}

func (b Bounds) drop() {
	if b.Counters != nil {
		b.Counters.Dropped.Add(1)
	}
}

// Deliver is Write of what a Group has sent to one who is in it, and says what became of it. On the loop.
func (b Bounds) Deliver(c Conn, o Output, end func() bool) Outcome {
	o.Bound = b.Queued
	waits, err := c.Send(o)
	switch {
	case err == ErrFull && b.AtBound == End:
		b.end(end)
		return Ended
	case err == ErrFull:
		b.drop()
		return Dropped
	case err != nil:
		return Gone
	case waits:
		return Behind
	}
	return Sent
}
