//go:build linux

package poller

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// admission decides when connections are accepted: not while MaxConns are held, and not while descriptors run short, since
// the program around the server needs some too. Clients then wait in the kernel's queue.
//
// Several loops accept from one listener, so one or two can have accepted beyond MaxConns before all have stopped. Those
// connections are parked: they are not read from until there is room. All methods may be called from any goroutine.
//
// Descriptors are handed out lowest first, so a connection whose number reaches the limit shows that they run short. From
// then on the number of connections that there are descriptors for, room, bounds them like MaxConns, and is kept up to
// date, since others than connections open and close files too.
//
// It also spreads connections over the loops: which loop an accept on the shared listener succeeds on is chance, and a burst
// can go to one loop whole. So a loop that is ahead of the average yields: it leaves the listener to the others until they
// have caught up.
type admission struct {
	run  *run
	held atomic.Int64 // connections that count towards the bounds: all but the parked ones

	limit    atomic.Int64 // the lowest number that is not for connections
	limitDue atomic.Int64 // when limit is to be read again, in nanoseconds of the loops' clocks
	room     atomic.Int64 // 0: descriptors are not short. Stored under mu.
	paused   atomic.Bool  // stored under mu
	yielding atomic.Int64 // loops that yield. Stored under mu.

	mu      sync.Mutex // guards what follows; locked after run.listenerMu and before loop.mu
	stopped bool
	parked  []*conn
	probe   *time.Timer // counts descriptors while they are short
	calm    int         // counts in a row that found them not short
	warned  bool        // that they are short was logged
	overdue *time.Timer // ends the yielding of loops that the others do not catch up with
}

// A loop yields when it has more connections than the average, an eighth of that, and yieldSlack. It does so for
// yieldLimit at most, since the other loops may be stuck in a handler, and may then be ahead by yieldCredit more, and by
// twice as many each time that this happens again.
const (
	yieldSlack  = 2
	yieldLimit  = 5 * time.Millisecond
	yieldCredit = 4
)

// While descriptors are short they are counted every probeInterval. The shortage is over when calmProbes counts in a row
// have found an eighth of the room unused.
const (
	probeInterval = 50 * time.Millisecond
	calmProbes    = 20
)

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

// opened counts a new connection and pauses accepting where that was the last that there is room for. On the connection's
// loop.
func (a *admission) opened(c *conn) {
	held := a.count(c)
	if now := int64(c.loop.clock.now); now > a.limitDue.Load() {
		a.limitDue.Store(now + int64(time.Second))
		a.readLimit()
		c.loop.unblockAccept()
	}
	l := c.loop
	short, ahead := int64(c.fd) >= a.limit.Load(), a.ahead(l)
	if a.yielding.Load() > 0 || ahead {
		a.mu.Lock()
		a.yieldLocked(l, ahead)
		a.mu.Unlock()
	}
	if !short && !a.full(held) {
		return
	}
	a.mu.Lock()
	if most := int64(a.run.cfg.maxConns); most > 0 && held > most {
		a.held.Add(-1)
		c.parked, c.wasParked = true, true
		c.pauseReading()
		c.loop.clearTimeout(c)
		a.parked = append(a.parked, c)
	}
	if short {
		a.shortLocked(errNearLimit)
	}
	a.pauseLocked()
	a.mu.Unlock()
	// The close that would have made room may have come before the pause.
	a.review()
}

// count counts a connection that closed will count off.
func (a *admission) count(c *conn) (held int64) {
	c.loop.conns.Add(1)
	return a.held.Add(1)
}

// full tells whether held connections are as many as there may be.
func (a *admission) full(held int64) bool {
	most, room := int64(a.run.cfg.maxConns), a.room.Load()
	return most > 0 && held >= most || room > 0 && held >= room
}

// closed counts a connection off and lets others in. On the connection's loop.
func (a *admission) closed(c *conn) {
	c.loop.conns.Add(-1)
	if !c.wasParked || a.admitted(c) {
		a.held.Add(-1)
	}
	if a.paused.Load() {
		a.review()
	}
}

// hijacked counts off for its loop a connection that a handler has taken over. For the bounds it counts until it is closed.
func (a *admission) hijacked(c *conn) { c.loop.conns.Add(-1) }

// hijackedClosed counts off a connection that a handler had taken over and has closed.
func (a *admission) hijackedClosed() {
	a.held.Add(-1)
	if a.paused.Load() {
		a.review()
	}
}

// lead is by how many connections l is ahead of what is still even enough; negative if it is not.
func (a *admission) lead(l *loop) int64 {
	average := a.held.Load() / int64(len(a.run.loops))
	return l.conns.Load() - (average + average/8 + yieldSlack)
}

// ahead tells whether l has so many connections that the next should go to another loop.
func (a *admission) ahead(l *loop) bool { return a.lead(l) > l.credit.Load() }

// yieldLocked has l leave the listener to the others if it is ahead, and ends the yielding of those that are not any more.
// One loop never is: that with the fewest connections.
func (a *admission) yieldLocked(l *loop, ahead bool) {
	if a.stopped {
		return
	}
	for _, other := range a.run.loops {
		if other.yields && !a.ahead(other) {
			a.setYieldsLocked(other, false)
		}
	}
	if ahead && !l.yields {
		a.setYieldsLocked(l, true)
		if a.overdue == nil {
			a.overdue = time.AfterFunc(yieldLimit, a.endYielding)
		} else {
			a.overdue.Reset(yieldLimit)
		}
	}
	if a.lead(l) <= 0 {
		l.credit.Store(0)
	}
}

// endYielding is what happens when a loop has yielded for yieldLimit: nobody else wants the connections.
func (a *admission) endYielding() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return
	}
	for _, l := range a.run.loops {
		if l.yields {
			l.credit.Store(max(yieldCredit, 2*l.credit.Load()))
			a.setYieldsLocked(l, false)
		}
	}
}

func (a *admission) setYieldsLocked(l *loop, yields bool) {
	l.yields = yields
	if yields {
		a.yielding.Add(1)
	} else {
		a.yielding.Add(-1)
	}
	a.setAcceptingLocked(l)
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
func (a *admission) pauseLocked() {
	if !a.stopped && !a.paused.Swap(true) {
		a.setAcceptingLocked(a.run.loops...)
	}
}

// errNearLimit is why accepting pauses as a rule.
var errNearLimit = errors.New("open files are near their limit (ulimit -n, LimitNOFILE=)")

// shortLocked notes that descriptors have run short, or whatever else a connection takes.
func (a *admission) shortLocked(why error) {
	if a.stopped {
		return
	}
	began := a.room.Load() == 0
	a.calm = 0
	a.countRoomLocked()
	if began {
		// A start without descriptors fails, and says why itself.
		if a.warned = a.run.serving.Load(); a.warned {
			a.run.cfg.log.Warn("accepting pauses", "reason", why, "room_for_connections", a.room.Load())
		}
		if a.probe == nil {
			a.probe = time.AfterFunc(probeInterval, a.recount)
		} else {
			a.probe.Reset(probeInterval)
		}
	}
}

// countRoomLocked sets room to the number of connections that there are descriptors for.
func (a *admission) countRoomLocked() {
	a.readLimit()
	connections := a.held.Load() + int64(len(a.parked))
	a.room.Store(max(a.limit.Load()-(descriptorsUsed(a.limit.Load())-connections), 1))
}

// recount is what the probe does.
func (a *admission) recount() {
	a.mu.Lock()
	if a.stopped {
		a.mu.Unlock()
		return
	}
	a.countRoomLocked()
	if room := a.room.Load(); a.held.Load() > room-room/8-1 {
		a.calm = 0
	} else if a.calm++; a.calm >= calmProbes {
		a.room.Store(0)
		if a.warned {
			a.run.cfg.log.Info("open files are not near their limit any more, accepting goes on")
		}
	}
	if a.room.Load() > 0 {
		a.probe.Reset(probeInterval)
	}
	a.mu.Unlock()
	a.review()
}

// descriptorsUsed counts the descriptors that the process has open.
func descriptorsUsed(limit int64) int64 {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/fd", &st); err == nil && st.Size > 0 {
		return st.Size // since Linux 6.2
	}
	n := int64(0)
	for fd := range uintptr(limit) {
		if _, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	return n
}

// review admits parked connections and resumes accepting as far as there is room.
func (a *admission) review() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped || !a.paused.Load() {
		return
	}
	most := int64(a.run.cfg.maxConns)
	for len(a.parked) > 0 && a.held.Load() < most {
		c := a.parked[0]
		a.parked = a.parked[1:]
		a.held.Add(1)
		c.parked = false
		c.loop.execute(c.admit)
	}
	if !a.full(a.held.Load()) {
		a.paused.Store(false)
		a.setAcceptingLocked(a.run.loops...)
	}
}

// setAcceptingLocked has the loops poll the listener, or not, as things are.
func (a *admission) setAcceptingLocked(loops ...*loop) {
	for _, l := range loops {
		on := !a.paused.Load() && !l.yields
		if err := l.setAccepting(on); err != nil {
			l.log.Error("cannot switch accepting", "on", on, "error", err)
		}
	}
}

// withState calls f with whether l is to accept connections at present, which does not change meanwhile.
func (a *admission) withState(l *loop, f func(accepting bool) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return f(!a.paused.Load() && !l.yields)
}

func (a *admission) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
	for _, t := range []*time.Timer{a.probe, a.overdue} {
		if t != nil {
			t.Stop()
		}
	}
}
