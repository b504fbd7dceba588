//go:build linux

package linger

import (
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Accept waits for the next connection and tracks it. It is a [*Conn] where the listener below accepts TCP connections of
// package net; otherwise a connection of the same methods that [net.Conn] has, around the one that came from below.
//
// Once the port is given up the error wraps [net.ErrClosed]. After Close it comes at once. After Release, and while Drain or
// Abort is at work, it does not come before these are through: so a server's Serve goes on for as long as its connections do.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.accept()
		if err == nil {
			return c, nil
		}
		if errors.Is(err, errLate) {
			continue // the next one is the error of a listener that is closed
		}
		if l.holding.Load() && errors.Is(err, net.ErrClosed) {
			<-l.closed
		}
		return nil, err
	}
}

// errLate is returned by accept for a connection that the teardown has reset.
var errLate = errors.New("linger: accepted after the teardown had begun")

// accept takes a connection in, and counts among accepting until it is tracked.
func (l *Listener) accept() (net.Conn, error) {
	l.accepting.Add(1)
	defer l.accepting.Add(-1)
	l.keepNonblocking()
	below, err := l.below.Accept()
	if err != nil {
		return nil, err
	}
	l.accepts.Add(1)
	c, err := l.track(below)
	if err != nil && below != nil {
		_ = below.Close()
	}
	return c, err
}

// keepNonblocking undoes what os.File.Fd does, and with it os/exec, to a listener whose File is passed on to a child: it
// makes the open file blocking, which both descriptors share. An accept would then block a thread, and Close, which
// waits for it, would hang until somebody connects.
func (l *Listener) keepNonblocking() {
	_ = l.raw.Control(func(fd uintptr) {
		if flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0); err == nil && flags&unix.O_NONBLOCK == 0 {
			_, _ = unix.FcntlInt(fd, unix.F_SETFL, flags|unix.O_NONBLOCK)
		}
	})
}

// track enters a connection in the set, and returns what the server gets to see of it.
func (l *Listener) track(below net.Conn) (net.Conn, error) {
	e := &entry{closed: l.onClose, accepted: time.Now().UnixNano()}
	var c net.Conn
	switch below := below.(type) {
	case *net.TCPConn:
		c = e.giveTCP(below)
	case *net.UnixConn:
		c = e.giveUnix(below)
	case nil:
		return nil, fmt.Errorf("linger: Accept of a %T returned nothing", l.below)
	default:
		var err error
		if c, err = e.giveOther(below); err != nil {
			return nil, &unreachableError{err}
		}
	}
	if !l.conns.enter(e) {
		_ = c.Close()
		return nil, errLate
	}
	return c, nil
}
