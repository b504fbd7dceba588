//go:build linux

package linger

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// Conn is a TCP connection that a [Listener] has accepted. It has every method of [net.TCPConn], at the same price, among
// them what servers look for with type assertions: CloseWrite, CloseRead, SyscallConn, ReadFrom and WriteTo. The connection
// itself is there for those who look for a [*net.TCPConn]: as a field, and by NetConn, as crypto/tls has it. It must be closed
// by the Close of the Conn, not by its own. One that is forgotten stays open until the Listener aborts it: the garbage
// collector does not close it.
//
// The kernel copies from and to it as for a net.TCPConn (sendfile(2), splice(2)) where that is the destination of an [io.Copy]
// or [io.CopyN], or the source of an io.Copy. One case is lost, as package net knows none but its own types: a net.TCPConn
// that reads a limited number of bytes from a Conn (io.CopyN, io.LimitReader) copies them in the process; give it the
// connection from NetConn.
type Conn struct {
	*net.TCPConn
	tracked
}

// Close ends the connection in order, as net.TCPConn's does, unless it has been aborted. If it was armed, it is disarmed first,
// save after SetLinger, with which its user has decided how it is to end.
func (c *Conn) Close() error { return c.close() }

// SetLinger is that of net.TCPConn. From the first call on, Close leaves the option as it is.
func (c *Conn) SetLinger(seconds int) error {
	c.keepLinger.Store(true)
	return c.TCPConn.SetLinger(seconds)
}

// NetConn returns the *net.TCPConn below.
func (c *Conn) NetConn() net.Conn { return c.TCPConn }

// ReadFrom is that of net.TCPConn, which knows its own kind: a Conn as the source is unwrapped.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	switch src := r.(type) {
	case *Conn:
		r = src.TCPConn
	case *io.LimitedReader:
		if from, ok := src.R.(*Conn); ok {
			plain := io.LimitedReader{R: from.TCPConn, N: src.N}
			n, err := c.TCPConn.ReadFrom(&plain)
			src.N = plain.N
			return n, err
		}
	}
	return c.TCPConn.ReadFrom(r)
}

// unixConn is a connection of a unix socket.
type unixConn struct {
	*net.UnixConn
	tracked
}

func (c *unixConn) Close() error      { return c.close() }
func (c *unixConn) NetConn() net.Conn { return c.UnixConn }

// otherConn is a connection of a listener that has types of its own. What servers look for with type assertions is there,
// as far as the one below has it.
type otherConn struct {
	reachableConn
	tracked
}

func (c *otherConn) Close() error                           { return c.close() }
func (c *otherConn) NetConn() net.Conn                      { return c.reachableConn }
func (c *otherConn) ReadFrom(r io.Reader) (int64, error)    { return io.Copy(c.reachableConn, r) }
func (c *otherConn) WriteTo(w io.Writer) (n int64, e error) { return io.Copy(w, c.reachableConn) }

func (c *otherConn) CloseWrite() error {
	if half, ok := c.reachableConn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *otherConn) CloseRead() error {
	if half, ok := c.reachableConn.(interface{ CloseRead() error }); ok {
		return half.CloseRead()
	}
	return errors.ErrUnsupported
}

// tracked is what a Listener knows of a connection.
type tracked struct {
	entry    Entry
	listener *Listener // immutable once the connection is entered, like the next two
	below    reachableConn
	accepted time.Time

	keepLinger atomic.Bool // the user has set SO_LINGER
	wasClosed  atomic.Bool
}

// Abort ends the connection with RST at once (see [Abort]). Blocked calls of its user fail, with ECONNRESET at first, but
// it still has to be closed. It is no error when the connection was closed or aborted before. That of a unix socket is
// closed, and the error is [ErrNotTCP].
func (t *tracked) Abort() error {
	_, err := t.entry.Abort()
	t.listener.oneLess()
	if err != nil && !t.listener.tcp.IsValid() {
		return ErrNotTCP
	}
	return nil // what the kernel refused to reset in place is closed, and thereby reset
}

// close is Close. It takes the connection out of the set only when it is closed, so that at no moment a teardown misses one
// that is still open.
func (t *tracked) close() error {
	if t.entry.state.Load() == phaseLive {
		// A teardown that begins now cannot reach the connection any more, and waits until it is closed and counted.
		t.listener.ending.Add(1)
		defer t.listener.ending.Add(-1)
	}
	if !t.wasClosed.Load() {
		t.beforeClose()
	}
	err := t.below.Close()
	aborted := t.entry.Remove()
	if t.wasClosed.CompareAndSwap(false, true) {
		if !aborted && t.listener.letting.Load() {
			t.listener.closedInOrder.Add(1)
		}
		t.listener.oneLess()
	}
	return err
}

// beforeClose does what a close in order needs while the descriptor is open. The connection can be aborted meanwhile.
func (t *tracked) beforeClose() {
	if residue := t.listener.residue; residue != nil {
		residue.Closed(t.entry.cookie)
	}
	if !t.listener.config.Armed || t.keepLinger.Load() {
		return
	}
	raw, err := t.below.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = Disarm(int(fd))
		if t.entry.settled() == phaseAborted {
			// Where the kernel refused to reset it in place, the close is the abort.
			_ = Arm(int(fd))
		}
	})
}

var (
	_ net.Conn      = (*Conn)(nil)
	_ reachableConn = (*Conn)(nil)
	_ io.ReaderFrom = (*Conn)(nil)
	_ io.WriterTo   = (*Conn)(nil)
)
