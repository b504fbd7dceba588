package websocket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"unicode/utf8"

	"rstserver/poller/internal/onloop"
)

var (
	// ErrClosed is returned for a connection that is over, or whose close frame was sent. It wraps [net.ErrClosed].
	ErrClosed = fmt.Errorf("websocket: the connection is closed: %w", net.ErrClosed)
	// ErrFull is returned by Write where Options.MaxQueuedBytes wait to be sent, and it does not wait for that.
	ErrFull = errors.New("websocket: the client does not take its messages, and Options.MaxQueuedBytes wait")
)

// Conn is a WebSocket. Its methods may be called from any goroutine, and in the functions of [Options].
//
// An idle one has neither goroutine nor buffer. It belongs to an event loop, which reads; messages are handed to a worker, and for that time no
// more is read.
type Conn struct {
	options *Options // immutable, as are the next three
	conn    onloop.Conn
	proto   string
	deflate *deflate // nil: no message is compressed

	// Owned by the loop.
	partial *partial // of a frame or message that has not come whole; nil: there is none
	rest    []byte   // what has come, and waits until there is room for what follows from it
	ending  *ending  // how the connection ends, when all that has come before was delivered; nil: not yet
	turn    Status   // in a drain, what the client is told by then; 0: there is none
	await   awaiting
	stopped bool // nothing more is read
	ended   bool // OnClose was called, or is about to be

	places onloop.Places // in groups

	mu         sync.Mutex // guards what follows
	inbox      *inbox     // what a worker is to do; nil: nothing
	delivering bool       // a worker is at it, or about to
	held       bool       // the loop waits for that
	atWork     int        // bytes of messages that a worker has, or is to have
	closeSent  bool
	value      any
}

// awaiting says what the loop's timer is for.
type awaiting uint8

const (
	silence awaiting = iota
	pong
	closeReply
)

func newConn(options *Options, o *opening) *Conn {
	return &Conn{options: options, proto: o.subprotocol, deflate: o.deflate}
}

// Subprotocol is the one that was chosen, empty if none was.
func (c *Conn) Subprotocol() string { return c.proto }

// RemoteAddr is the client's address.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.conn.Remote() }

// SetValue sets what Value returns.
func (c *Conn) SetValue(v any) {
	c.mu.Lock()
	c.value = v
	c.mu.Unlock()
}

// Value is what SetValue was given, nil before.
func (c *Conn) Value() any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value
}

// Queued is how many bytes wait to be sent.
func (c *Conn) Queued() int { return c.conn.Queued() }

// Write sends a message. It has been handed to the kernel when Write returns, or waits to be; data is the caller's again. Messages are sent in
// the order of the calls. A text that is not UTF-8 is an error.
//
// If Options.MaxQueuedBytes wait already, Options.AtBound says what follows. Where that is to wait, Write returns ctx's error if ctx ends
// before. A nil error does not mean that the client has got the message. See [ErrClosed] and [ErrFull].
func (c *Conn) Write(ctx context.Context, t Type, data []byte) error {
	switch {
	case t != Text && t != Binary:
		return fmt.Errorf("websocket: a message is Text or Binary, not %s", t)
	case t == Text && !utf8.Valid(data):
		return errors.New("websocket: the text is not UTF-8")
	}
	o := c.options
	return given(o.bounds().Write(ctx, c.conn, !o.OnLoop, func() error { return c.send(t, data) }, c.endFull))
}

func (c *Conn) send(t Type, data []byte) error {
	if c.deflate != nil && len(data) >= compressFrom {
		return c.deflate.send(c, t, data)
	}
	return c.sendFrame(byte(t), false, data, c.options.maxQueued())
}

// sendFrame sends a message, unless so much waits already; 0: in any case.
func (c *Conn) sendFrame(op byte, rsv1 bool, payload []byte, bound int) error {
	var head [maxHeader]byte
	_, err := c.conn.Send(onloop.Output{
		Head: appendHeader(head[:0], op, rsv1, len(payload)), Body: payload, Message: true, Bound: bound,
	})
	return err
}

// endFull ends the connection since its client does not take its messages, and reports whether it has.
func (c *Conn) endFull() bool { return c.close(TryAgainLater, "messages are not taken") == nil }

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

// Ping sends a ping with at most 125 bytes of data, which the client has to send back. Options.PingInterval does so by itself.
// More data is an error, as are [ErrClosed] and [ErrFull].
func (c *Conn) Ping(data []byte) error {
	if len(data) > maxControl {
		return fmt.Errorf("websocket: a ping of %d bytes; it has %d at most", len(data), maxControl)
	}
	return given(c.sendControl(opPing, data, false))
}

func (c *Conn) sendControl(op byte, payload []byte, last bool) error {
	var head [maxHeader]byte
	o := onloop.Output{Head: appendHeader(head[:0], op, false, len(payload)), Body: payload, Last: last}
	if !last {
		o.Bound = c.options.maxQueued()
	}
	_, err := c.conn.Send(o)
	return err
}

// Close sends a close frame behind all that has been written, after which nothing can be written, and returns. The connection ends
// when the client has answered, or after Options.CloseTimeout; Options.OnClose follows then. It returns ErrClosed if a close frame was sent
// before, and an error for a code that is not to be sent, or a reason of more than 123 bytes or that is not UTF-8.
func (c *Conn) Close(code Status, reason string) error {
	if err := checkClose(code, reason); err != nil {
		return err
	}
	return c.close(code, reason)
}

func (c *Conn) close(code Status, reason string) error {
	if !c.sendClose(code, reason) {
		return ErrClosed
	}
	c.conn.Wake()
	return nil
}

// sendClose sends a close frame, unless one was sent, or the connection is over.
func (c *Conn) sendClose(code Status, reason string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closeSent {
		return false
	}
	c.closeSent = true
	var payload []byte
	if code != NoStatus {
		payload = append([]byte{byte(code >> 8), byte(code)}, reason...)
	}
	return c.sendControl(opClose, payload, true) == nil
}

// Abort resets the connection: what waits to be sent is lost, and the client is not told more.
func (c *Conn) Abort() { c.conn.Abort() }
