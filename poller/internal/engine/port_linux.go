//go:build linux

package engine

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Port is a listening socket that several loops accept from. Any goroutine may call its methods, but where they say otherwise.
//
// All loops poll the socket, exclusively (EPOLLEXCLUSIVE, epoll_ctl(2)), so that a client wakes one of them. The kernel has no
// opinion on which: it is the first that waits, again and again. So the loops take turns. One that has accepted its part of
// a round, or has more connections than others, leaves the socket to these, and when all have had their part, the next round
// begins. A part grows with the connections that there are, so that rounds do not hold up a server that has many.
//
// The kernel takes a client for looked after once it has woken a loop, but that loop may be stuck in what it does before, and
// a round may wait for one that is. So somebody has to look now and then whether a client waits ([Port.Waits]) and whether that
// makes progress ([Port.Accepts]), and if not, wake others ([Port.Rouse]). That helps as well where another process polls the
// same socket, and is woken and does not accept.
type Port struct {
	empty   int           // a listening socket that nobody can reach, see openEmpty; immutable, as is the next
	address unix.Sockaddr // of the socket
	accepts atomic.Int64  // connections that were accepted
	average atomic.Int64  // connections of a loop when the round began
	knocks  knocks

	mu     sync.Mutex // guards what follows, and those fields of Loop that say so; locked before Loop.mu
	fd     int        // -1: given up
	paused bool
	loops  []*Loop // attached
	roused int     // which of them was roused last
}

// errGivenUp is the end of a loop that finds no port.
var errGivenUp = errors.New("engine: the port was given up")

// NewPort takes over fd, a listening TCP socket that does not block. After an error fd is the caller's as before.
func NewPort(fd int) (*Port, error) {
	address, err := unix.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	empty, err := openEmpty()
	if err != nil {
		return nil, err
	}
	return &Port{fd: fd, empty: empty, address: address}, nil
}

// Close closes what the port needs for its loops. It is called once, when the port was given up and no loop runs any more.
func (p *Port) Close() { _ = unix.Close(p.empty) }

// openEmpty opens a listening socket that no connection will ever reach anybody through: a Unix socket under an abstract
// name that the kernel chooses (autobind, unix(7)), never polled. It stands in for what is taken away from a loop: accept
// finds it empty.
func openEmpty() (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{}); err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("bind", err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("listen", err)
	}
	return fd, nil
}

// attach gives l the socket, under a number of its own: it can be taken away while l is about to accept.
func (p *Port) attach(l *Loop) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fd < 0 {
		return errGivenUp
	}
	number, err := unix.FcntlInt(uintptr(p.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	}
	l.number, l.attached = number, true
	p.loops = append(p.loops, l)
	if p.paused {
		return nil
	}
	return l.join()
}

// detach takes the socket away from a loop that ends.
func (p *Port) detach(l *Loop) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = l.leave()
	if l.number >= 0 {
		_ = unix.Close(l.number)
	}
	l.number, l.attached = -1, false
	for i, other := range p.loops {
		if other == l {
			p.loops = append(p.loops[:i:i], p.loops[i+1:]...)
			break
		}
	}
	p.nextRound()
}

// takeAway takes the socket away from l; p.mu is held. The number stays taken. The order matters: once the number
// refers to something else, the socket can no longer be deleted from the epoll, and the loop would spin while anybody else
// holds it.
func (p *Port) takeAway(l *Loop) error {
	if !l.attached {
		return nil
	}
	err := l.leave()
	if e := unix.Dup3(p.empty, l.number, unix.O_CLOEXEC); e != nil {
		err = errors.Join(err, os.NewSyscallError("dup3", e))
	}
	l.attached = false
	return err
}

// GiveUp takes the socket away from all loops and closes it, which resets what waits in its queue if nobody else holds it.
// last is called with it just before that, when no loop polls it any more. A second call does nothing. No child is between fork
// and exec meanwhile: its copies of our descriptors would keep the port.
func (p *Port) GiveUp(last func(fd int)) error {
	p.Unblock() // a loop that is in accept would keep the socket open
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fd < 0 {
		return nil
	}
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	var errs []error
	for _, l := range p.loops {
		if err := p.takeAway(l); err != nil {
			errs = append(errs, fmt.Errorf("taking the listener away from a loop: %w", err))
		}
	}
	p.loops = nil
	last(p.fd)
	errs = append(errs, os.NewSyscallError("close", unix.Close(p.fd)))
	p.fd = -1
	return errors.Join(errs...)
}

// Pause stops all loops from accepting, so that clients wait in the kernel's queue.
func (p *Port) Pause() error { return p.set(true) }

// Resume undoes Pause.
func (p *Port) Resume() error { return p.set(false) }

func (p *Port) set(paused bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = paused
	return p.rejoin()
}

// Waits reports whether a client waits in the queue, to be accepted.
func (p *Port) Waits() bool {
	waits := false
	p.Control(func(fd int) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		waits = err == nil && n > 0
	})
	return waits
}

// Accepts counts the connections that were accepted.
func (p *Port) Accepts() int64 { return p.accepts.Load() }

// Control calls f with the socket, which stays open meanwhile, unless the port was given up. f must not call other methods.
func (p *Port) Control(f func(fd int)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fd >= 0 {
		f(p.fd)
	}
}

// Vacate gives the number of a connection that the caller has a duplicate of to another socket: the loop finds nothing there,
// and in the end closes that, so that the duplicate is the connection's one descriptor. The caller is sure that the loop does
// not close the connection meanwhile. After an error the loop polls the connection no more.
func (p *Port) Vacate(c Conn) error {
	// As for the listening socket, before the number refers to something else.
	if err := unix.EpollCtl(c.e.loop.epoll, unix.EPOLL_CTL_DEL, c.FD, nil); err != nil && err != unix.ENOENT {
		return os.NewSyscallError("epoll_ctl", err)
	}
	return os.NewSyscallError("dup3", unix.Dup3(p.empty, c.FD, unix.O_CLOEXEC))
}
