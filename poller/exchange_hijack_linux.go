//go:build linux

package poller

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"rstserver/linger"
)

// hijack moves the connection out of its loop: to a descriptor of Go's own, which is entered in the run's set of hijacked
// connections as the table lets go of the old one. From then on it is the connection's one descriptor; the loop finds
// nothing under the number that it knows.
func (x *exchange) hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, ok, err := x.takeOver()
	if x.now() == lost {
		x.loop.takeBack(x)
	}
	if err != nil {
		return nil, nil, err
	}
	x.body.shut()
	x.loop.takeBack(x)
	if !ok {
		// A teardown has begun, and the connection is reset.
		_ = c.Close()
		return nil, nil, errConnGone
	}
	r := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(x.body.input), c), max(contentBuffer, len(x.body.input)))
	// What has come already is in the buffer, where libraries look for it.
	_, _ = r.Peek(len(x.body.input))
	return c, bufio.NewReadWriter(r, bufio.NewWriter(c)), nil
}

// takeOver is the part of hijack during which the loop must not close the connection. ok is false if it came too late.
func (x *exchange) takeOver() (c *hijackedConn, ok bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if why := x.whyNotLocked(); why != nil {
		return nil, false, why
	}
	tcp, err := duplicate(x.fd)
	if err != nil {
		return nil, false, fmt.Errorf("poller: taking the connection over: %w", err)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		_ = tcp.Close()
		return nil, false, fmt.Errorf("poller: taking the connection over: %w", err)
	}
	// An abort by others must not reach the socket that takes the number, so the table comes first. The loop cannot close the
	// descriptor meanwhile, so that this may act as its owner.
	if aborted := x.run.table.Close(x.fd); aborted {
		x.becomeLocked(lost)
		_ = tcp.Close()
		return nil, false, errConnGone
	}
	x.run.watcher.Forget(x.fd)
	if err := x.run.port.Vacate(x.conn.sock); err != nil {
		x.becomeLocked(lost)
		_ = raw.Control(func(fd uintptr) { _ = linger.Abort(int(fd)) })
		_ = tcp.Close()
		return nil, false, fmt.Errorf("poller: taking the connection over: %w", err)
	}
	_ = raw.Control(func(fd uintptr) {
		// It is for a server's connections, and not for a user's.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, 0)
	})
	entry, ok := x.run.hijacked.Add(raw)
	x.becomeLocked(hijacked)
	return &hijackedConn{TCPConn: tcp, run: x.run, entry: entry, conn: x.peer}, ok, nil
}

// duplicate returns a connection of Go's own for the socket of fd.
func duplicate(fd int) (*net.TCPConn, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	}
	f := os.NewFile(uintptr(dup), "hijacked connection")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		_ = c.Close()
		return nil, fmt.Errorf("a connection of type %T", c)
	}
	return tcp, nil
}

// hijackedConn is a connection that a handler has taken over. It is armed from birth, so that the death of the process
// resets it, and disarmed by Close. Its methods may be called from any goroutine.
type hijackedConn struct {
	*net.TCPConn
	run   *run
	entry *linger.Entry
	conn  Conn
	once  sync.Once
	err   error
	// lingers: the handler has said itself how it is to end.
	lingers atomic.Bool
}

// SetLinger is that of net.TCPConn; Close then goes by it.
func (c *hijackedConn) SetLinger(sec int) error {
	c.lingers.Store(true)
	return c.TCPConn.SetLinger(sec)
}

// Close ends the connection: with FIN, unless the server has reset it.
func (c *hijackedConn) Close() error {
	c.once.Do(func() { c.err = c.close() })
	return c.err
}

func (c *hijackedConn) close() error {
	aborted := c.entry.Remove()
	if !aborted {
		c.noteClosed()
	}
	if !aborted && c.run.cfg.arm && !c.lingers.Load() {
		_ = c.SetLinger(-1)
	}
	err := c.TCPConn.Close()
	c.run.hook(aborted, c.conn)
	c.run.admission.countOff()
	c.run.ended(aborted)
	return err
}

var _ net.Conn = (*hijackedConn)(nil)
