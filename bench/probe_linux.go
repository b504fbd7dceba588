//go:build linux

package bench

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/bench/report"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// ProbeInterval is the time between two looks at the port.
const ProbeInterval = 250 * time.Microsecond

// watched is the port of a server as it is seen from outside. What this process has there itself, so as to look at it, is in none of
// the counts.
type watched struct {
	addr netip.AddrPort
	// binding keeps a bind and a listing of the sockets apart: the socket that is bound for a moment would be one of them.
	binding sync.Mutex
}

// sockets are those on the port that are not the benchmark's own.
func (w *watched) sockets() (sockdiag.Dump, error) {
	w.binding.Lock()
	defer w.binding.Unlock()
	dump, err := sockdiag.Port(w.addr.Port())
	dump.Sockets = withoutProbe(dump.Sockets)
	return dump, err
}

// probed is what a probe has seen, in times of now.
type probed struct {
	refused, free *report.Moment
	resets        int64 // that connects have caused: each one, whether it is refused or reset
	err           error
}

// probe looks at the port until it is free or ctx ends, and then once more, so that what is so by then is seen. At first it connects,
// until that is refused; a port that somebody listens on cannot be free. From then on it binds without SO_REUSEADDR (see
// linger.CheckFree).
func (w *watched) probe(ctx context.Context) (got probed) {
	// Go's own timers are as coarse as epoll_wait(2): a millisecond.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	interval := unix.NsecToTimespec(int64(ProbeInterval))
	before := now()
	for {
		var seen bool
		last, began := ctx.Err() != nil, now()
		if got.refused == nil {
			if seen, got.err = w.refused(&got.resets); seen {
				got.refused = &report.Moment{At: now(), Before: before}
				before = began
				continue
			}
		} else if seen, began, got.err = w.isFree(); seen {
			got.free = &report.Moment{At: now(), Before: before}
		}
		if seen || last || got.err != nil {
			return got
		}
		before = began
		_ = unix.Nanosleep(&interval, nil) // a signal may cut it short
	}
}

// isFree tells whether the port is, and when that look at it began.
func (w *watched) isFree() (free bool, began time.Duration, err error) {
	w.binding.Lock()
	defer w.binding.Unlock()
	began = now()
	err = linger.CheckFree(w.addr)
	if errors.Is(err, unix.EADDRINUSE) {
		return false, began, nil
	}
	return err == nil, began, err
}

// refused tells whether a connect is refused. One that succeeds is reset at once. It counts the resets that this sends, or has sent.
func (w *watched) refused(resets *int64) (bool, error) {
	fd, err := unix.Socket(domain(w.addr), unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return false, os.NewSyscallError("socket", err)
	}
	// Not left to an armed close, which TCPAbortOnData counts.
	defer func() {
		_ = linger.Abort(fd)
		_ = unix.Close(fd)
	}()
	if err := linger.Arm(fd); err != nil {
		return false, err
	}
	if err := bindSource(fd, w.addr.Addr(), probeSource); err != nil {
		return false, err
	}
	err = unix.Connect(fd, sockaddr(w.addr))
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
		*resets++
		return true, nil
	case nil, unix.ECONNRESET:
		*resets++
		return false, nil
	case unix.EINTR, unix.ETIMEDOUT:
		return false, nil
	default:
		return false, os.NewSyscallError("connect", err)
	}
}

// connectPatience is how many milliseconds a connect may take that is neither taken nor refused.
const connectPatience = 1
