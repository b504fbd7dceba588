//go:build linux

package bench

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/bench/report"
	"rstserver/linger"
)

// ProbeInterval is the time between two looks at the port.
const ProbeInterval = 250 * time.Microsecond

// probed is what a probe has seen, in times of now.
type probed struct {
	refused, free *report.Moment
	err           error
}

// probe looks at the port until it is free or ctx ends. At first it connects, until that is refused; a port that somebody
// listens on cannot be free. From then on it binds without SO_REUSEADDR (see linger.CheckFree).
func probe(ctx context.Context, addr netip.AddrPort) (got probed) {
	// Go's own timers are as coarse as epoll_wait(2): a millisecond.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	interval := unix.NsecToTimespec(int64(ProbeInterval))
	before := now()
	for ctx.Err() == nil {
		var seen bool
		began := now()
		if got.refused == nil {
			if seen, got.err = refused(addr); seen {
				got.refused = &report.Moment{At: now(), Before: before}
				before = began
				continue
			}
		} else if seen, got.err = isFree(addr); seen {
			got.free = &report.Moment{At: now(), Before: before}
		}
		if seen || got.err != nil {
			return got
		}
		before = began
		_ = unix.Nanosleep(&interval, nil) // a signal may cut it short
	}
	return got
}

func isFree(addr netip.AddrPort) (bool, error) {
	err := linger.CheckFree(addr)
	if errors.Is(err, unix.EADDRINUSE) {
		return false, nil
	}
	return err == nil, err
}

// refused tells whether a connect to addr is refused. One that succeeds is reset at once.
func refused(addr netip.AddrPort) (bool, error) {
	fd, err := unix.Socket(domain(addr), unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return false, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := linger.Arm(fd); err != nil {
		return false, err
	}
	err = unix.Connect(fd, sockaddr(addr))
	if err == unix.EINPROGRESS {
		// The answer is there at once, over the loopback interface, unless the accept queue is full.
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, connectPatience); n == 0 || err != nil {
			return false, nil
		}
		var errno int
		if errno, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil {
			return false, os.NewSyscallError("getsockopt SO_ERROR", err)
		}
		if errno != 0 {
			err = unix.Errno(errno)
		} else {
			err = nil
		}
	}
	switch err {
	case unix.ECONNREFUSED:
		return true, nil
	case nil, unix.EINTR, unix.ECONNRESET, unix.ETIMEDOUT:
		return false, nil
	default:
		return false, os.NewSyscallError("connect", err)
	}
}

// connectPatience is how many milliseconds a connect may take that is neither taken nor refused.
const connectPatience = 1
