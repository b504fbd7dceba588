//go:build linux

package engine

import (
	"net"
	"net/netip"
	"os"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// Conn is the loop's hold on one connection. It is valid until [Session.Closed] has returned.
type Conn struct {
	FD    int // its descriptor
	epoll int
	gc    gnet.Conn
}

// Close closes the connection; Session.Closed is called before Close returns. It is called on the loop, outside of Accepted
// and Received, which say so by what they return.
func (c Conn) Close() { _ = c.gc.EventLoop().Close(c.gc) }

// RemoteAddr is the client's address, and not valid for a connection that is closed. It is called on the loop.
func (c Conn) RemoteAddr() netip.AddrPort {
	addr, ok := c.gc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	a := addr.AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Interest has the loop poll for events (EPOLLIN, EPOLLONESHOT, or none) in place of those before. Beside EPOLLIN the loop
// closes a connection that is reset or hung up, whatever it polls for, save after EPOLLONESHOT has fired. Any goroutine may
// call it that is sure that the descriptor is not being closed.
func (c Conn) Interest(events uint32) error {
	return control(c.epoll, unix.EPOLL_CTL_MOD, c.FD, events)
}

func control(epoll, op, fd int, events uint32) error {
	ev := unix.EpollEvent{Fd: int32(fd), Events: events}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(epoll, op, fd, &ev))
}
