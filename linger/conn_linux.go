//go:build linux

package linger

import (
	"errors"
	"io"
	"net"
	"runtime"
	"syscall"
)

// Conn is a TCP connection that a [Listener] has accepted, or one of a [Conns]. It has every method of [net.TCPConn], at the same
// price, among them what servers look for with type assertions: CloseWrite, CloseRead, SyscallConn, ReadFrom and WriteTo. The
// connection itself is there for those who look for a [*net.TCPConn]: by NetConn, as crypto/tls has it. Options that a server sets only on
// a *net.TCPConn can be set on the listening socket, from which connections inherit them (TCP_USER_TIMEOUT and the like).
//
// One that is forgotten is closed when the garbage collector has found that, as it is with package net. Whoever has it, or is in a
// call of it, or has the RawConn that its SyscallConn returned, keeps it open, and within reach of the teardown.
//
// The kernel copies from and to it as for a net.TCPConn (sendfile(2), splice(2)) where that is the destination of an [io.Copy]
// or [io.CopyN], or the source of an io.Copy. One case is lost, as package net knows none but its own types: a net.TCPConn
// that reads a limited number of bytes from a Conn (io.CopyN, io.LimitReader) copies them in the process; give it the
// connection from NetConn.
type Conn struct {
	tcpBelow
	handle
}

// tcpBelow lends a Conn the methods of a net.TCPConn that handle does not have, and those by which package net knows its own kind: a
// net.Buffers is written to it by writev(2). The names keep it from users, who find it by NetConn alone.
type (
	tcpBelow struct{ *tcpConn }
	tcpConn  = net.TCPConn
)

// SetLinger is that of net.TCPConn, in seconds. From the first call on, Close leaves the option as it is.
func (c *Conn) SetLinger(seconds int) error {
	c.keepLinger.Store(true)
	return c.tcpConn.SetLinger(seconds)
}

// NetConn returns the *net.TCPConn below. It must be closed by the Close of the Conn, not by its own. Whoever has it keeps the
// connection open, and within reach of the teardown; a RawConn of its own keeps it open alone.
func (c *Conn) NetConn() net.Conn {
	c.shared.Store(true)
	return c.tcpConn
}

// unixConn is a connection of a unix socket.
type unixConn struct {
	unixBelow
	handle
}

type unixBelow struct{ *net.UnixConn }

func (c *unixConn) NetConn() net.Conn {
	c.shared.Store(true)
	return c.UnixConn
}

// SyscallConn returns the RawConn of package net, by which an os.File finds the way to sendfile(2). It keeps the connection open, and
// does not keep it within reach of the teardown.
func (c *unixConn) SyscallConn() (syscall.RawConn, error) {
	c.shared.Store(true)
	return c.UnixConn.SyscallConn()
}

// otherConn is a connection of a listener that has types of its own. What servers look for with type assertions is there,
// as far as the one below has it.
type otherConn struct{ handle }

// NetConn returns the connection below. The garbage collector does not say when that is forgotten, so from here on the connection
// stays open until it is closed or aborted.
func (c *otherConn) NetConn() net.Conn {
	c.shared.Store(true)
	return c.below
}

func (c *otherConn) CloseWrite() error {
	defer runtime.KeepAlive(c)
	if half, ok := c.below.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *otherConn) CloseRead() error {
	defer runtime.KeepAlive(c)
	if half, ok := c.below.(interface{ CloseRead() error }); ok {
		return half.CloseRead()
	}
	return errors.ErrUnsupported
}

var (
	_ net.Conn      = (*Conn)(nil)
	_ syscall.Conn  = (*Conn)(nil)
	_ io.ReaderFrom = (*Conn)(nil)
	_ io.WriterTo   = (*Conn)(nil)
)
