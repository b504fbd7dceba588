//go:build linux

package poller

import (
	"cmp"
	"math"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/httpcodec"
	"rstserver/linger"
)

// errShort answers a large request while memory is short (RFC 9110, section 15.6.4).
var errShort = &httpcodec.Error{Status: 503, Reason: "server is short of memory for requests of this size"}

const (
	// meterInterval is how often the progress of connections is looked at while memory is short.
	meterInterval = time.Second
	// leastProgress, in bytes per second, is as good as none, so that among those that stand still it counts what they hold.
	leastProgress = DefaultMinBodyRate
	// roomPause is how long nothing is tried after there was nothing to reset.
	roomPause = 100 * time.Millisecond
)

// watch resets connections when the bound is exceeded. It ends when the teardown begins.
func (m *memory) watch() {
	for {
		select {
		case <-m.wake:
		case <-m.run.closingC:
			return
		}
		m.guard()
	}
}

// guard is watch for as long as memory is short.
func (m *memory) guard() {
	m.ask((*loop).readMeters)
	defer m.ask(func(l *loop) { l.meters = nil })
	ticker := time.NewTicker(meterInterval)
	defer ticker.Stop()
	for m.isShort() {
		if m.held.Load() > m.bound.Load() && !m.makeRoom() {
			// What there is cannot be given back at present, and to look again at once would not change that.
			select {
			case <-time.After(roomPause):
			case <-m.run.closingC:
				return
			}
			continue
		}
		select {
		case <-m.wake:
		case <-ticker.C:
			m.ask((*loop).readMeters)
		case <-m.run.closingC:
			return
		}
	}
}

// meter is what a connection has moved, of which the loop keeps account while memory is short.
type meter struct {
	moved    uint64        // bytes that came, and bytes of answers that the client has acknowledged, since it was accepted
	at       time.Duration // when that was read
	progress float64       // bytes per second, between the last two readings
	known    bool          // there were two
}

// readMeters reads those of all connections that hold something. On the loop.
func (l *loop) readMeters() {
	l.clock.tick()
	meters := make(map[*conn]meter)
	for c := range l.holding() {
		now := meter{moved: c.moved(), at: l.clock.now}
		if before, ok := l.meters[c]; ok && now.at > before.at {
			now.progress, now.known = float64(now.moved-before.moved)/(now.at-before.at).Seconds(), true
		}
		meters[c] = now
	}
	l.meters = meters
}

// moved asks the kernel.
func (c *conn) moved() uint64 {
	info, err := unix.GetsockoptTCPInfo(c.sock.FD, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return info.Bytes_received + info.Bytes_acked
}

// holding yields the connections of the loop that hold something, and how much. They may be closed meanwhile. On the loop.
func (l *loop) holding() func(func(*conn, int64) bool) {
	return func(yield func(*conn, int64) bool) {
		for kind := range l.lists {
			for c := l.lists[kind].first; c != nil; {
				next := c.next
				if held := c.holds(); held > 0 && !yield(c, held) {
					return
				}
				c = next
			}
		}
	}
}

// holder is a connection that may have to give back what it holds.
type holder struct {
	c    *conn // its loop's
	held int64
	// turnover is how many seconds it would take to move as much as it holds. Whoever takes longest has made the least progress for
	// what it takes from others: a slow client in the middle of a small request takes nothing worth speaking of.
	turnover float64
}

// holders are the connections of the loop that are to give way first, which hold so much together if there is so much. On the loop.
func (l *loop) holders(need int64) (all []holder) {
	for c, held := range l.holding() {
		// Of one that has come within the last second it is known that all it holds has come within that.
		progress := float64(held)
		if m := l.meters[c]; m.known {
			progress = m.progress
		}
		all = append(all, holder{c, held, float64(held) / (progress + leastProgress)})
	}
	return foremost(all, need)
}

// foremost sorts holders, and returns those first ones that hold so much together.
func foremost(all []holder, need int64) []holder {
	slices.SortFunc(all, func(a, b holder) int { return cmp.Compare(b.turnover, a.turnover) })
	for i, h := range all {
		if need -= h.held; need <= 0 {
			return all[:i+1]
		}
	}
	return all
}

// makeRoom resets connections until there is room again, and reports whether it has reset any.
func (m *memory) makeRoom() (did bool) {
	need := m.lacking()
	answers := make(chan []holder, len(m.run.loops))
	m.ask(func(l *loop) { answers <- l.holders(need) })
	var all []holder
	for range len(answers) {
		all = append(all, <-answers...)
	}
	victims := make(map[*loop][]*conn)
	for _, h := range foremost(all, need) {
		victims[h.c.loop] = append(victims[h.c.loop], h.c)
		did = true
	}
	m.ask(func(l *loop) {
		for _, c := range victims[l] {
			// A loop can come to this late, and others have made room meanwhile.
			if m.lacking() > 0 {
				c.giveWay()
				m.add(l.uncharged)
				l.uncharged = 0
			}
		}
	})
	return did
}

// lacking is how many bytes are to be given back.
func (m *memory) lacking() int64 {
	bound := m.bound.Load()
	return m.held.Load() - bound + bound/16
}

// isExceeded reports whether connections grow faster than makeRoom of all loops resets them, which waits for each loop to have its turn.
func (m *memory) isExceeded() bool {
	bound := m.bound.Load()
	return m.held.Load()-bound > bound/8
}

// makeRoom resets large connections of the loop alone, at once: who else is small next to others' may be all that this loop has. On the loop.
func (l *loop) makeRoom() {
	m := l.run.memory
	m.add(l.uncharged)
	l.uncharged = 0
	for _, h := range l.holders(m.lacking()) {
		if h.held <= largeRequest {
			continue
		}
		h.c.giveWay()
		m.add(l.uncharged)
		l.uncharged = 0
		if m.lacking() <= 0 {
			break
		}
	}
}

// ask gives each loop f to do, and waits for it, but not for a loop that is stuck. What others hold counts for more then.
func (m *memory) ask(f func(*loop)) {
	done := make(chan struct{}, len(m.run.loops))
	asked := 0
	for _, l := range m.run.loops {
		if l.post(func() { f(l); done <- struct{}{} }) {
			asked++
		}
	}
	patience := time.NewTimer(m.run.cfg.stuckGrace)
	defer patience.Stop()
	for range asked {
		select {
		case <-done:
		case <-patience.C:
			return
		case <-m.run.closingC:
			return
		}
	}
}

// giveWay resets a connection to make room for others. On its loop.
func (c *conn) giveWay() {
	if c.over() || c.loop.run.closing() {
		return
	}
	m := c.loop.run.memory
	m.resets.Add(1)
	c.reportOverload(true)
	c.abort()
	c.settle()
}

// refuseShort answers a request for which there is no room.
func (c *conn) refuseShort(request []byte) {
	c.loop.run.memory.refusals.Add(1)
	c.reportOverload(false)
	c.refuse(errShort, request)
}

// reportOverload calls the Server's hook.
func (c *conn) reportOverload(reset bool) {
	r := c.loop.run
	if r.server.Overloaded == nil {
		return
	}
	o := Overload{Conn: c.describe(), Reset: reset, Held: c.holds(), Buffered: r.memory.held.Load()}
	guard(r.cfg.log, c.id, "overload hook", func() { r.server.Overloaded(o) })
}

// report is what the Report says of the account.
func (m *memory) report() linger.Memory {
	bound := m.bound.Load()
	if bound == math.MaxInt64 {
		bound = 0
	}
	return linger.Memory{
		Bound: bound, Buffered: m.held.Load(), Peak: m.peak.Load(), Refused: int(m.refusals.Load()), Reset: int(m.resets.Load()),
	}
}
