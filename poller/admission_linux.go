//go:build linux

package poller

import (
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// admission decides when connections are accepted: not while MaxConns are held, and not while descriptors run short, since
// an accept without a free descriptor ends a gnet engine. Clients then wait in the kernel's queue.
//
// Several loops accept from one listener, so one or two can have accepted beyond MaxConns before all have stopped. Those
// connections are parked: they are not read from until there is room. All methods may be called from any goroutine.
type admission struct {
	run  *run
	held atomic.Int64 // connections that count towards maxConns: all but the parked ones

	mu       sync.Mutex // guards what follows; locked after run.listenerMu and before loop.mu
	stopped  bool
	parked   []*conn
	probe    *time.Timer // looks for descriptors while they are short
	short    bool        // paused for want of descriptors
	paused   atomic.Bool // stored under mu
	limit    atomic.Int64
	limitDue atomic.Int64 // in nanoseconds of loop clocks: when limit is to be read again
}

// probeInterval is how often descriptors are looked for while they are short: others than connections may hold them.
const probeInterval = 50 * time.Millisecond

func newAdmission(r *run) *admission {
	a := &admission{run: r}
	a.readLimit()
	return a
}

// readLimit notes how high a descriptor may get. The limit can be changed while the process runs (prlimit(2)).
func (a *admission) readLimit() {
	if limit, err := fileLimit(); err == nil {
		a.limit.Store(int64(limit - reserve(limit)))
	}
}

// opened counts a new connection and pauses accepting where that was the last that there is room for. Descriptors are
// handed out lowest first, so the number itself tells how many are taken. On the connection's loop.
func (a *admission) opened(c *conn) {
	maxConns := int64(a.run.cfg.maxConns)
	held := a.held.Add(1)
	if now := int64(c.loop.clock.now); now > a.limitDue.Load() {
		a.limitDue.Store(now + int64(time.Second))
		a.readLimit()
	}
	short := int64(c.fd) >= a.limit.Load()
	if !short && (maxConns == 0 || held < maxConns) {
		return
	}
	a.mu.Lock()
	if maxConns > 0 && held > maxConns {
		a.held.Add(-1)
		c.parked, c.wasParked = true, true
		c.pauseReading()
		c.loop.clearTimeout(c)
		a.parked = append(a.parked, c)
	}
	a.pauseLocked(short)
	a.mu.Unlock()
	// The close that would have made room may have come before the pause.
	a.review()
}

// closed counts a connection off and lets others in. On the connection's loop.
func (a *admission) closed(c *conn) {
	if !c.wasParked || a.admitted(c) {
		a.held.Add(-1)
	}
	if a.paused.Load() {
		a.review()
	}
}

// admitted tells whether a connection that was parked has been let in, and forgets it if not.
func (a *admission) admitted(c *conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !c.parked {
		return true
	}
	a.parked = slices.DeleteFunc(a.parked, func(p *conn) bool { return p == c })
	return false
}

// pauseLocked stops all loops from accepting.
func (a *admission) pauseLocked(short bool) {
	if a.stopped {
		return
	}
	if short && !a.short {
		a.short = true
		a.run.cfg.log.Warn("accepting pauses, as open files are near their limit (ulimit -n, LimitNOFILE=)",
			"room_for_connections", a.limit.Load())
		a.probe = time.AfterFunc(probeInterval, a.review)
	}
	if !a.paused.Swap(true) {
		a.setAcceptingLocked(false)
	}
}

// review admits parked connections and resumes accepting as far as there is room.
func (a *admission) review() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped || !a.paused.Load() {
		return
	}
	maxConns := int64(a.run.cfg.maxConns)
	for len(a.parked) > 0 && a.held.Load() < maxConns {
		c := a.parked[0]
		a.parked = a.parked[1:]
		a.held.Add(1)
		c.parked = false
		c.loop.executeFunc(c.admit)
	}
	if a.short {
		a.readLimit()
		if n, err := a.lowestFree(); err != nil || int64(n) >= a.limit.Load() {
			a.probe.Reset(probeInterval)
			return
		}
		a.short = false
		a.run.cfg.log.Info("accepting resumes")
	}
	if maxConns == 0 || a.held.Load() < maxConns {
		a.paused.Store(false)
		a.setAcceptingLocked(true)
	}
}

func (a *admission) setAcceptingLocked(on bool) {
	for _, l := range a.run.loops {
		if err := l.setAccepting(on); err != nil {
			l.log.Error("cannot switch accepting", "on", on, "error", err)
		}
	}
}

// lowestFree returns the number that the next descriptor would get.
func (a *admission) lowestFree() (int, error) {
	n, err := unix.FcntlInt(uintptr(a.run.empty), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	}
	return n, unix.Close(n)
}

// withState calls f with whether connections are accepted at present, which does not change meanwhile.
func (a *admission) withState(f func(accepting bool) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return f(!a.paused.Load())
}

func (a *admission) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
	if a.probe != nil {
		a.probe.Stop()
	}
}
