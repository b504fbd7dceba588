//go:build linux

package engine

import (
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Conn is the loop's hold on one connection. It is valid until [Session.Closed] has returned.
type Conn struct {
	FD    int // its descriptor
	loop  *Loop
	entry int32 // of those that the loop has had
}

// Close closes the connection; Session.Closed is called before Close returns. It is called on the loop, outside of Accepted
// and Received, which say so by what they return.
func (c Conn) Close() {
	if e := c.loop.find(c.FD, c.entry); e != nil {
		c.loop.close(e, Here)
	}
}

// RemoteAddr is the client's address, and not valid for a connection that is closed. It is called on the loop.
func (c Conn) RemoteAddr() netip.AddrPort {
	if e := c.loop.find(c.FD, c.entry); e != nil {
		return e.remote
	}
	return netip.AddrPort{}
}

// Interest has the loop poll for events (EPOLLIN, EPOLLONESHOT, or none) in place of those before. Beside that the loop
// closes a connection that is reset or hung up, whatever it polls for, save after EPOLLONESHOT has fired. Any goroutine may
// call it that is sure that the descriptor is not being closed.
func (c Conn) Interest(events uint32) error {
	return control(c.loop.epoll, unix.EPOLL_CTL_MOD, c.FD, c.entry, events)
}

// control changes what is polled for on fd. Events come with the entry, by which those of a descriptor that had the same number are known.
func control(epoll, op, fd int, entry int32, events uint32) error {
	ev := unix.EpollEvent{Fd: int32(fd), Pad: entry, Events: events}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(epoll, op, fd, &ev))
}
