//go:build linux

package poller

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"rstserver/linger"
	"rstserver/poller/internal/engine"
)

// Accepted implements engine.Handler.
func (l *loop) Accepted(sock engine.Conn) (engine.Session, bool) {
	r := l.run
	c := &conn{loop: l, sock: sock, id: r.ids.Add(1)}
	if err := r.table.Open(sock.FD, l.index); err != nil {
		l.log.Error("connection is not tracked and therefore refused", "conn", c.id, "error", err)
		_ = linger.Abort(sock.FD)
		return c, false // opening, and nobody knows it
	}
	r.live.Add(1)
	l.counts.accepted.Add(1)
	l.clock.tick()
	c.opened = l.clock.now
	// Publish, then look: either the teardown's sweep finds the slot, or this finds the teardown.
	if r.closing() {
		r.admission.held.Add(1)
		c.reset()
		r.call(r.server.ConnOpened, c.describe)
		return c, false
	}
	if err := c.setOptions(); err != nil {
		l.log.Warn("a connection lacks socket options", "conn", c.id, "error", err)
	}
	if c.hidden = r.cfg.trusts(c.sock.RemoteAddr().Addr()); !c.hidden {
		r.call(r.server.ConnOpened, c.describe)
		if !c.enterClient() {
			r.admission.held.Add(1)
			return c, false
		}
	}
	if r.admission.opened(c) {
		c.become(parked)
	} else {
		c.welcome()
	}
	if l.ending && c.drain() {
		c.reset()
	}
	return c, !c.over()
}

// setOptions sets what a connection needs. Only SO_LINGER is inherited from the listening socket: whatever is set there is set
// for the connections of everybody who shares it, too. That may not have been set yet when the connection was born, or by others.
func (c *conn) setOptions() error {
	arm := linger.Disarm
	if c.loop.run.cfg.arm {
		arm = linger.Arm
	}
	return errors.Join(setOptions(c.sock.FD), arm(c.sock.FD))
}

// AcceptFailed implements engine.Handler.
func (l *loop) AcceptFailed(err error) (passes bool) {
	switch {
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOMEM), errors.Is(err, unix.ENOBUFS):
		// The client waits in the kernel's queue, until the probe finds that there is room.
		l.run.admission.exhausted(fmt.Errorf("accept: %w", err))
		return true
	case errors.Is(err, unix.EBADF), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTSOCK), errors.Is(err, unix.EOPNOTSUPP),
		errors.Is(err, unix.EFAULT), errors.Is(err, unix.ENOSYS):
		return false // the listener is no good
	}
	return true // an error of one connection that accept passes on (accept(2): EPROTO, ENETDOWN, EHOSTUNREACH and so on), or a firewall's
}
