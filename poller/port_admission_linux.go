//go:build linux

package poller

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/tcpsock"
)

// admission decides when connections are accepted: not while MaxConns are held, and not while descriptors run short, since
// the program around the server needs some too. Clients then wait in the kernel's queue.
//
// Several loops accept from one listener, so one or two can have accepted beyond MaxConns before all have stopped. Those
// connections are parked: they are not read from until there is room. All methods may be called from any goroutine.
//
// Descriptors are handed out lowest first, so a connection whose number reaches the limit shows that they run short, which takes no counting,
// however many there are. That they still do is shown by how many are open. A low number that is free does not show that there is
// room: others may keep some for the time when there are none left, which have low numbers too, and must not be taken by clients when they are
// given away.
type admission struct {
	run  *run
	held atomic.Int64 // connections that count towards MaxConns: all but the parked ones

	maxConns atomic.Int64  // 0: none
	limit    atomic.Int64  // the lowest number that is not for connections
	limitDue atomic.Int64  // when limit is to be read again, in nanoseconds of the loops' clocks
	short    atomic.Bool   // descriptors are. Stored under mu.
	paused   atomic.Bool   // stored under mu
	lifted   atomic.Bool   // MaxConns does not count any more
	interval time.Duration // crowdInterval, immutable, as is the next
	patience time.Duration // silentPatience

	mu      sync.Mutex // guards what follows; locked before those of engine.Port
	stopped bool
	parked  []*conn
	probe   *time.Timer // looks for a free descriptor while they are short
	calm    int         // looks in a row that found one
	crowd   *time.Timer // looks for silent connections while accepting is paused
	warned  bool        // that they are short was logged
}

// While descriptors are short they are looked at every probeInterval. The shortage is over when calmProbes looks in a row have
// found one that nobody has taken.
const (
	probeInterval = 50 * time.Millisecond
	calmProbes    = 20
)

// While accepting is paused and clients wait, room is made every crowdInterval: connections on which nothing at all has come for silentPatience since
// they were accepted are reset, as many as clients wait.
var crowdInterval, silentPatience = time.Second, 5 * time.Second // but for a test

func newAdmission(r *run) *admission {
	a := &admission{run: r, interval: crowdInterval, patience: silentPatience}
	a.maxConns.Store(int64(r.cfg.maxConns))
	a.readLimit()
	return a
}

// readLimit notes how high a descriptor may get. The limit can be changed while the process runs (prlimit(2)).
func (a *admission) readLimit() {
	if limit, err := fileLimit(); err == nil {
		a.limit.Store(int64(limit - reserve(limit)))
	}
}

// opened counts a new connection and pauses accepting where that was the last that there is room for. It reports whether there
// is no room for this one: then it is to be parked, and does not count. On the connection's loop, which admit comes to later.
func (a *admission) opened(c *conn) (park bool) {
	held := a.held.Add(1)
	if now := int64(c.loop.clock.now); now > a.limitDue.Load() {
		a.limitDue.Store(now + int64(time.Second))
		a.readLimit()
	}
	short := int64(c.sock.FD) >= a.limit.Load()
	if !short && !a.full(held) {
		return false
	}
	a.mu.Lock()
	if most := a.most(); most > 0 && held > most && !a.stopped {
		park = true
		a.held.Add(-1)
		a.parked = append(a.parked, c)
	}
	warn := short && a.shortLocked()
	a.pauseLocked()
	a.mu.Unlock()
	if warn {
		a.warn(errNearLimit)
	}
	// The close that would have made room may have come before the pause.
	a.review()
	return park
}

// most is MaxConns, as long as it counts; 0 if there is no bound.
func (a *admission) most() int64 {
	if a.lifted.Load() {
		return 0
	}
	return a.maxConns.Load()
}

// full reports whether held connections are as many as there may be.
func (a *admission) full(held int64) bool {
	most := a.most()
	return most > 0 && held >= most
}

// closed counts a connection off, and lets others in. It was in the given state. On its loop.
func (a *admission) closed(c *conn, was state) {
	if was == parked && a.forget(c) {
		return
	}
	a.countOff()
}

// countOff counts a connection off, and lets others in.
func (a *admission) countOff() {
	a.held.Add(-1)
	if a.paused.Load() {
		a.review()
	}
}

// forget reports whether c waits to be let in, and takes it out of the queue.
func (a *admission) forget(c *conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := len(a.parked)
	a.parked = slices.DeleteFunc(a.parked, func(p *conn) bool { return p == c })
	return len(a.parked) < before
}

// lift takes the bound of MaxConns away, and lets in who waits: the server lets go of its port, and takes nobody else in.
func (a *admission) lift() {
	a.lifted.Store(true)
	a.review()
}

// exhausted pauses accepting since there was no descriptor, or no memory, for the next connection.
func (a *admission) exhausted(why error) {
	a.mu.Lock()
	warn := a.shortLocked()
	a.pauseLocked()
	a.mu.Unlock()
	if warn {
		a.warn(why)
	}
}

// pauseLocked stops all loops from accepting.
func (a *admission) pauseLocked() {
	if a.stopped || a.paused.Swap(true) {
		return
	}
	_ = a.run.port.Pause()
	if a.crowd == nil {
		a.crowd = time.AfterFunc(a.interval, a.makeRoom)
	} else {
		a.crowd.Reset(a.interval)
	}
}

// makeRoom has the loops reset silent connections while clients wait.
func (a *admission) makeRoom() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped || !a.paused.Load() {
		return
	}
	a.crowd.Reset(a.interval)
	waiting := len(a.parked)
	a.run.port.Control(func(fd int) {
		if n := tcpsock.QueueLength(fd); n != tcpsock.LongQueue {
			waiting += n
		}
	})
	if waiting == 0 {
		return
	}
	var wanted atomic.Int64
	wanted.Store(int64(waiting))
	for _, l := range a.run.loops {
		l.post(func() { l.resetSilent(&wanted) })
	}
}

// resetSilent resets connections on which nothing has come for too long, those first that were accepted first, as long as more are wanted.
func (l *loop) resetSilent(wanted *atomic.Int64) {
	l.clock.tick()
	for c := l.lists[table[fresh].time].first; c != nil && wanted.Load() > 0; {
		next := c.next
		if c.state == fresh && l.clock.now-c.opened >= l.run.admission.patience && c.silent() && wanted.Add(-1) >= 0 {
			c.end = EndTimedOut
			c.abort()
			c.settle()
		}
		c = next
	}
}

// errNearLimit is why accepting pauses as a rule.
var errNearLimit = errors.New("open files are near their limit (ulimit -n, LimitNOFILE=)")

// shortLocked notes that descriptors have run short, or whatever else a connection takes, and reports whether that is to be
// logged.
func (a *admission) shortLocked() (warn bool) {
	if a.stopped {
		return false
	}
	a.calm = 0
	if a.short.Swap(true) {
		return false
	}
	if a.probe == nil {
		a.probe = time.AfterFunc(probeInterval, a.look)
	} else {
		a.probe.Reset(probeInterval)
	}
	// A start without descriptors fails, and says why itself.
	a.warned = a.run.serving.Load()
	return a.warned
}

func (a *admission) warn(why error) {
	a.run.cfg.log.Warn("accepting pauses", "reason", why, "connections", a.held.Load())
}

// look is what the probe does.
func (a *admission) look() {
	a.mu.Lock()
	over := false
	switch {
	case a.stopped:
	case !a.hasRoom():
		a.calm = 0
	default:
		if a.calm++; a.calm >= calmProbes {
			a.short.Store(false)
			over = a.warned
		}
	}
	if !a.stopped && a.short.Load() {
		a.probe.Reset(probeInterval)
	}
	a.mu.Unlock()
	if over {
		a.run.cfg.log.Info("open files are not near their limit any more, accepting goes on")
	}
	a.review()
}

// hasRoom reports whether there is a descriptor for another connection.
func (a *admission) hasRoom() bool {
	a.readLimit()
	if n := sizeOfFiles(); n > 0 {
		return int64(n) < a.limit.Load()
	}
	fd, err := unix.FcntlInt(uintptr(a.run.watcher.FD()), unix.F_DUPFD_CLOEXEC, 0) // the lowest that is free
	if err != nil {
		return false
	}
	_ = unix.Close(fd)
	return int64(fd) < a.limit.Load()
}

// review admits parked connections and resumes accepting as far as there is room.
func (a *admission) review() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped || !a.paused.Load() {
		return
	}
	for len(a.parked) > 0 && !a.full(a.held.Load()) {
		c := a.parked[0]
		a.parked = a.parked[1:]
		a.held.Add(1)
		c.loop.post(c.admit)
	}
	// With none there is one at least, from the reserve: nobody else may make room.
	if held := a.held.Load(); !a.full(held) && (!a.short.Load() || held == 0 || a.hasRoom()) {
		a.paused.Store(false)
		_ = a.run.port.Resume() // the lookout tries again, and logs why
	}
}

func (a *admission) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
	for _, t := range []*time.Timer{a.probe, a.crowd} {
		if t != nil {
			t.Stop()
		}
	}
}
