//go:build linux

package kernel

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

// Port is that of a server as it is seen from outside. What this process has there itself, so as to look at it, is in none of the
// counts.
type Port struct {
	Addr netip.AddrPort
	// binding keeps a bind and a listing of the sockets apart: the socket that is bound for a moment would be one of them.
	binding sync.Mutex
}

// Sockets are those on the port that are not the benchmark's own.
func (p *Port) Sockets() (sockdiag.Dump, error) {
	p.binding.Lock()
	defer p.binding.Unlock()
	dump, err := sockdiag.Port(p.Addr.Port())
	dump.Sockets = withoutProbe(dump.Sockets)
	return dump, err
}

// Probed is what a probe has seen, in times of Now.
type Probed struct {
	Refused, Free *report.Moment
	Resets        int64 // that connects have caused: each one, whether it is refused or reset
	Err           error
}

// Probe looks at the port until it is free or ctx ends, and then once more, so that what is so by then is seen. At first it connects,
// until that is refused; a port that somebody listens on cannot be free. From then on it binds without SO_REUSEADDR (see
// linger.TryBind).
func (p *Port) Probe(ctx context.Context) (got Probed) {
	// Go's own timers are as coarse as epoll_wait(2): a millisecond.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	interval := unix.NsecToTimespec(int64(ProbeInterval))
	before := Now()
	for {
		var seen bool
		last, began := ctx.Err() != nil, Now()
		if got.Refused == nil {
			if seen, got.Err = p.refused(&got.Resets); seen {
				got.Refused = &report.Moment{At: Now(), Before: before}
				before = began
				continue
			}
		} else if seen, began, got.Err = p.isFree(); seen {
			got.Free = &report.Moment{At: Now(), Before: before}
		}
		if seen || last || got.Err != nil {
			return got
		}
		before = began
		_ = unix.Nanosleep(&interval, nil) // a signal may cut it short
	}
}

// isFree reports whether the port is, and when that look at it began.
func (p *Port) isFree() (free bool, began time.Duration, err error) {
	p.binding.Lock()
	defer p.binding.Unlock()
	began = Now()
	err = linger.TryBind(p.Addr)
	if errors.Is(err, unix.EADDRINUSE) {
		return false, began, nil
	}
	return err == nil, began, err
}

// refused reports whether a connect is refused. One that succeeds is reset at once. It counts the resets that this sends, or has sent.
func (p *Port) refused(resets *int64) (bool, error) {
	fd, err := Socket(p.Addr, ProbeSource)
	if err != nil {
		return false, err
	}
	// Not left to an armed close, which TCPAbortOnData counts.
	defer func() {
		_ = linger.Abort(fd)
		_ = unix.Close(fd)
	}()
	if err := linger.Arm(fd); err != nil {
		return false, err
	}
	err = unix.Connect(fd, Sockaddr(p.Addr))
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
	case nil, unix.ECONNRESET, unix.EPIPE: // EPIPE is a reset behind FIN
		*resets++
		return false, nil
	case unix.EINTR, unix.ETIMEDOUT:
		return false, nil
	default:
		return false, os.NewSyscallError("connect", err)
	}
}

// connectPatience is how many milliseconds a connect may take that is neither taken nor refused. Where all processors are busy the
// kernel may leave it to a thread of its own to answer, and an answer that is not waited for would be a reset that nobody counts.
const connectPatience = 20
