//go:build linux

package poller

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"os"
	"weak"

	"golang.org/x/sys/unix"

	"rstserver/linger"
)

// hijack moves the connection out of its loop: to a descriptor of Go's own, which is entered in the run's set of hijacked
// connections as the table lets go of the old one. From then on it is the connection's one descriptor; the loop finds
// nothing under the number that it knows. user is what is for the handler: c, or the tls.Conn above it. Where that came too late, c can
// come with an error, for tooLate.
func (x *exchange) hijack() (c *linger.Conn, user net.Conn, rw *bufio.ReadWriter, err error) {
	c, layer, ok, err := x.takeOver(&x.run.hijacked)
	if x.now() == lost {
		x.loop.takeBack(x)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	x.body.shut()
	x.loop.takeBack(x)
	if !ok {
		// A teardown has begun, and the connection is reset.
		return c, nil, nil, errConnGone
	}
	user = c
	if layer != nil {
		user = layer.conn
	}
	r := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(x.body.input), user), max(contentBuffer, len(x.body.input)))
	// What has come already is in the buffer, where libraries look for it.
	_, _ = r.Peek(len(x.body.input))
	return c, user, bufio.NewReadWriter(r, bufio.NewWriter(user)), nil
}

// tooLate is what follows a hijack of a connection that is no more: nobody else closes c, which may be nil, or tells the handler. No
// lock is held.
func (x *exchange) tooLate(c *linger.Conn) {
	if c != nil {
		_ = c.Close()
	}
	if c != nil || x.now() == lost {
		x.end(x.run.whyGone())
	}
}

// takeOver is the part of hijack during which the loop must not close the connection, which it enters in set. ok is false if it came too late.
func (x *exchange) takeOver(set *linger.Conns) (c *linger.Conn, layer *tlsLayer, ok bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if why := x.whyNotLocked(); why != nil {
		return nil, nil, false, why
	}
	tcp, err := duplicate(x.fd)
	if err != nil {
		return nil, nil, false, fmt.Errorf("poller: taking the connection over: %w", err)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		_ = tcp.Close()
		return nil, nil, false, fmt.Errorf("poller: taking the connection over: %w", err)
	}
	// An abort by others must not reach the socket that takes the number, so the table comes first. The loop cannot close the
	// descriptor meanwhile, so that this may act as its owner.
	if aborted := x.run.table.Close(x.fd); aborted {
		x.becomeLocked(lost)
		_ = tcp.Close()
		return nil, nil, false, errConnGone
	}
	x.run.watcher.Forget(x.fd)
	if err := x.run.port.Vacate(x.conn.sock); err != nil {
		x.becomeLocked(lost)
		_ = raw.Control(func(fd uintptr) { _ = linger.Abort(int(fd)) })
		_ = tcp.Close()
		return nil, nil, false, fmt.Errorf("poller: taking the connection over: %w", err)
	}
	_ = raw.Control(func(fd uintptr) {
		// It is for a server's connections, and not for a user's.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, 0)
	})
	// It is armed from birth, so that the death of the process resets it; its Close disarms it.
	held := hijackedBytes + len(x.head)
	x.run.memory.add(int64(held))
	info := &takenInfo{run: x.run, peer: x.peer, accepted: epoch.Add(x.opened), protocol: cmp.Or(upgradeName(x.head), "hijacked"), held: held, before: x.before}
	if info.http2 = set == &x.run.h2.conns; info.http2 {
		info.protocol = "HTTP/2"
	}
	path := pathOf(x.head)
	info.path.Store(&path)
	if x.tls != nil {
		info.tls = x.tls.conn.ConnectionState().Version
	}
	x.run.taken.add(info) // before it can be closed
	c, ok = set.AddFrom(tcp, net.TCPAddrFromAddrPort(x.peer.Remote), x.run.hijackedClosed(info, x.entered))
	x.taken = weak.Make(c)
	remembered := x.taken // and not the whole exchange
	info.conn.Store(&remembered)
	if layer = x.tls; layer != nil {
		layer.taken.Store(c)
		x.tls = nil
	}
	x.becomeLocked(hijacked)
	return c, layer, ok, nil
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

// hijackedClosed returns what is called when the user of a hijacked connection has closed it, or has forgotten it. It has to lead nowhere
// where the connection could be found, by which the garbage collector would take it for remembered.
func (r *run) hijackedClosed(t *takenInfo, entered bool) func(aborted bool) {
	return func(aborted bool) {
		r.memory.add(int64(-t.held))
		r.hook(aborted, func() Conn { return t.peer })
		if entered {
			r.clients.leave(t.peer.Remote.Addr())
		}
		r.admission.countOff()
		r.taken.remove(t.peer.ID)
		r.turns.forget(t.peer.ID)
		how := endOf(aborted)
		if aborted && t.drained.Load() {
			how = EndDrained
		}
		r.ended(&r.counts, how, aborted)
	}
}

// takenConn is a hijacked connection as its exchange remembers it: its handler may forget it.
type takenConn = weak.Pointer[linger.Conn]

// abortTaken resets the connection if the handler has taken it over, and has not forgotten it, or has given it to another protocol.
func (x *exchange) abortTaken() {
	x.mu.Lock()
	c, u := x.taken.Value(), x.outcome.upgrade()
	x.mu.Unlock()
	if u != nil {
		u.Abort()
	}
	if c != nil {
		_ = c.Abort()
		_ = c.Close()
	}
}
