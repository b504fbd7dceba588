package sse

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"rstserver/poller/internal/onloop"
)

var (
	// ErrClosed is returned for a stream that is over, or ended by Close. It wraps [net.ErrClosed].
	ErrClosed = fmt.Errorf("sse: the stream is closed: %w", net.ErrClosed)
	// ErrFull is returned by Send where Options.MaxQueuedBytes wait to be sent, and it does not wait for that.
	ErrFull = errors.New("sse: the client does not take its events, and Options.MaxQueuedBytes wait")
)

// Stream is an event stream. Its methods may be called from any goroutine.
//
// An open one has neither goroutine nor buffer. It belongs to an event loop, which looks for the client's end.
type Stream struct {
	options *Options // immutable, as is the next
	conn    onloop.Conn
	onLoop  atomic.Bool   // whoever has accepted it is on the loop still, and must not wait
	places  onloop.Places // in groups
	joins   func(*Stream) // called when the stream can be sent to, and the client does not know of it; nil then

	mu    sync.Mutex // guards what follows
	value any
}

// RemoteAddr is the client's address.
func (s *Stream) RemoteAddr() netip.AddrPort { return s.conn.Remote() }

// SetValue sets what Value returns.
func (s *Stream) SetValue(v any) {
	s.mu.Lock()
	s.value = v
	s.mu.Unlock()
}

// Value is what SetValue was given, nil before.
func (s *Stream) Value() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value
}

// Queued is how many bytes wait to be sent.
func (s *Stream) Queued() int { return s.conn.Queued() }

// Send sends an event. It has been handed to the kernel when Send returns, or waits to be. Events are sent in the order of the calls.
//
// An event that a stream cannot express is an error that says why; see [Event]. If Options.MaxQueuedBytes wait already, Options.AtBound says what
// follows. Where that is to wait, Send returns ctx's error if ctx ends before. A nil error does not mean that the client has got the event:
// who wants to know gives it an ID. See [ErrClosed] and [ErrFull].
func (s *Stream) Send(ctx context.Context, e Event) error {
	if err := e.check(); err != nil {
		return err
	}
	mem := scratch.Get().(*[]byte)
	f := encode(*mem, &e)
	err := given(s.options.bounds().Write(ctx, s.conn, !s.onLoop.Load(), func() error {
		_, err := s.conn.Send(onloop.Output{Head: f.as(s.conn.Chunked()), Message: true, Bound: s.options.bounds().Queued})
		return err
	}, s.end))
	if cap(f.chunk) <= keptScratch {
		*mem = f.chunk[:0]
		scratch.Put(mem)
	}
	return err
}

// given is the error of a Send for users.
func given(err error) error {
	switch err {
	case onloop.ErrOver:
		return ErrClosed
	case onloop.ErrFull:
		return ErrFull
	}
	return err
}

// Close ends the stream behind all that has been sent, and returns; Options.OnClose follows. A browser's EventSource comes back after that; to have it
// stay away, answer it then with 204 (No Content). It returns ErrClosed if the stream was over or closed before.
func (s *Stream) Close() error {
	if !s.end() {
		return ErrClosed
	}
	return nil
}

// end is Close, and reports whether the stream was open.
func (s *Stream) end() bool {
	if !s.sendLast(nil, false) {
		return false
	}
	s.conn.Wake()
	return true
}

// sendLast sends the end of the stream, behind e, if there is that. It reports whether the stream was open.
func (s *Stream) sendLast(e *Event, message bool) bool {
	o := onloop.Output{Last: true, Message: message}
	if e != nil {
		o.Head = encode(nil, e).as(s.conn.Chunked())
	}
	if s.conn.Chunked() {
		o.Body = lastChunk
	}
	_, err := s.conn.Send(o)
	return err == nil
}

// Abort resets the connection, or with HTTP/2 the stream: what waits to be sent is lost, and the client is not told more.
func (s *Stream) Abort() { s.conn.Abort() }

// protocol is a Stream in the hands of its event loop.
type protocol Stream

var _ onloop.Protocol = (*protocol)(nil)

// Taken implements onloop.Protocol.
func (p *protocol) Taken(conn onloop.Conn) {
	p.conn = conn
	if joins := p.joins; joins != nil {
		p.joins = nil
		joins((*Stream)(p))
	}
}

// Began implements onloop.Protocol.
func (p *protocol) Began() {
	p.onLoop.Store(false)
	p.beat()
}

// beat plans the next heartbeat.
func (p *protocol) beat() {
	switch d := p.options.Heartbeat; {
	case d == 0:
		p.conn.Await(DefaultHeartbeat)
	case d > 0:
		p.conn.Await(d)
	}
}

// Received implements onloop.Protocol. A client has nothing to say.
func (p *protocol) Received([]byte) {}

// Woken implements onloop.Protocol: the stream was closed.
func (p *protocol) Woken() { p.conn.End() }

// Sent implements onloop.Protocol.
func (p *protocol) Sent() {}

// Late implements onloop.Protocol.
func (p *protocol) Late() {
	_, _ = p.conn.Send(onloop.Output{Head: heartbeat.as(p.conn.Chunked())})
	p.beat()
}

// Turn implements onloop.Protocol.
func (p *protocol) Turn(bool) {
	s, o := (*Stream)(p), p.options
	e := o.DrainEvent
	switch d := o.DrainRetry; {
	case d == 0:
		e.Retry = DefaultDrainRetry + rand.N(DefaultDrainRetry)
	case d > 0:
		e.Retry = d + rand.N(d)
	default:
		e.Retry = 0
	}
	if e == (Event{}) {
		s.sendLast(nil, false)
	} else {
		s.sendLast(&e, o.DrainEvent != (Event{}))
	}
	s.conn.End()
}

// Weight implements onloop.Protocol.
func (p *protocol) Weight() int { return 0 }

// Ended implements onloop.Protocol.
func (p *protocol) Ended(error) {
	s := (*Stream)(p)
	onloop.Leave((*member)(s))
	switch closed := s.options.OnClose; {
	case closed == nil:
	case s.options.OnLoop:
		s.conn.Call(func() { closed(s) })
	default:
		s.conn.Go(func() { closed(s) })
	}
}
