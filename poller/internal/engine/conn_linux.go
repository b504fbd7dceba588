//go:build linux

package engine

import (
	"net/netip"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Conn is the loop's hold on one connection. It is valid until [Session.Closed] has returned.
type Conn struct {
	FD int // its descriptor
	e  *entry
}

// entry is a connection. Owned by the loop, but for input.
type entry struct {
	fd      int
	number  int32 // of those that the loop has had
	loop    *Loop
	session Session
	remote  netip.AddrPort
	input   atomic.Uint32 // wanted and polled; polled is stored under loop.switching
}

// What entry.input says.
const (
	wanted uint32 = 1 << iota // by the session
	polled                    // the kernel reports it
)

// Close closes the connection; Session.Closed is called before Close returns. It is called on the loop, outside of Accepted
// and Received, which say so by what they return.
func (c Conn) Close() { c.e.loop.close(c.e, Here) }

// RemoteAddr is the client's address. It is called on the loop.
func (c Conn) RemoteAddr() netip.AddrPort {
	if c.e == nil {
		return netip.AddrPort{}
	}
	return c.e.remote
}

// SetRemoteAddr sets what RemoteAddr returns to another address: that of a client for whom a proxy speaks. It is called on the loop.
func (c Conn) SetRemoteAddr(a netip.AddrPort) { c.e.remote = a }

// Forget ends the loop's reports on the connection. The kernel does that by itself when the descriptor is closed, unless somebody has a
// duplicate: reports on a number that is closed could not be ended any more. It is called in [Session.Closed].
func (c Conn) Forget() { _ = unix.EpollCtl(c.e.loop.epoll, unix.EPOLL_CTL_DEL, c.FD, nil) }

// Want starts and stops the loop's reading. In any case it closes a connection that is reset or hung up. Any goroutine may call it that is sure
// that the descriptor is not being closed, and that nobody else calls it.
//
// The kernel goes on to report input that is not wanted until some comes: most clients send nothing before they have their answers, and then
// it costs no system call to want none for the time that this takes.
func (c Conn) Want(input bool) error {
	e := c.e
	if e == nil {
		return nil // of no loop
	}
	for {
		old := e.input.Load()
		now := old &^ wanted
		if input {
			now |= wanted
		}
		if input && old&polled == 0 {
			break
		}
		if e.input.CompareAndSwap(old, now) {
			return nil
		}
	}
	e.loop.switching.Lock()
	defer e.loop.switching.Unlock()
	if err := e.control(unix.EPOLL_CTL_MOD, unix.EPOLLIN); err != nil {
		return err
	}
	e.input.Store(wanted | polled)
	return nil
}

// unwanted stops the kernel's reports of input, unless it is wanted by now. On the loop.
func (e *entry) unwanted() {
	e.loop.switching.Lock()
	defer e.loop.switching.Unlock()
	if e.input.CompareAndSwap(polled, 0) && e.control(unix.EPOLL_CTL_MOD, 0) != nil {
		e.input.Store(polled) // and so again
	}
}

// control changes what is polled for.
func (e *entry) control(op int, events uint32) error {
	return control(e.loop.epoll, op, e.fd, e.number, events)
}

// control changes what is polled for on fd. Events come with the number, by which those of a descriptor that was the same are known.
func control(epoll, op, fd int, number int32, events uint32) error {
	ev := unix.EpollEvent{Fd: int32(fd), Pad: number, Events: events}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(epoll, op, fd, &ev))
}
