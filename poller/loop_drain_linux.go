//go:build linux

package poller

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/pace"
)

// drainOwn brings every connection of the loop to its end: one that has nothing to do is reset, at once or when its turn
// comes, one that has is left to come to its last answer. On the loop.
func (l *loop) drainOwn() {
	l.clock.tick()
	l.ending, l.endingAt = true, l.clock.now
	var idle, upgraded []*conn
	for kind := range l.lists {
		for c := l.lists[kind].first; c != nil; {
			next := c.next // what comes of it changes no list, other than by moving c
			switch resets := c.drain(); {
			case resets:
				idle = append(idle, c)
			case c.upgrade != nil && c.state != sending: // which is told when it is handed over
				upgraded = append(upgraded, c)
			}
			if c.state != reset { // which closeSome closes
				c.settle()
			}
			c = next
		}
	}
	idle = silent(idle)
	if l.run.cfg.spread > 0 {
		l.spread(append(idle, upgraded...))
		return
	}
	l.tell(upgraded)
	// As in a teardown, all are reset before one is closed, on a processor of the loop's own, and the loops help each other.
	l.drained.Cookies = slices.Grow(l.drained.Cookies, len(idle)) // or the garbage collector comes in between
	giveBack := l.run.processors.Take()
	l.run.drains.reset(idle, l)
	giveBack()
	for _, c := range idle {
		c.reset()
	}
	l.toClose = append(l.toClose, idle...)
}

// drains are what the loops are resetting in a drain. Any goroutine may call its method.
type drains struct {
	mu  sync.Mutex // guards all
	all []*resets
}

// resets are connections of a loop that are to be reset.
type resets struct {
	of         []*conn
	next, done atomic.Int64
}

// reset resets connections of l's, and then those of other loops that have not come to theirs. It returns when all of l's are. On the loop.
func (d *drains) reset(conns []*conn, l *loop) {
	own := &resets{of: conns}
	d.mu.Lock()
	d.all = append(d.all, own)
	d.mu.Unlock()
	own.help(l)
	d.mu.Lock()
	others := slices.Clone(d.all)
	d.mu.Unlock()
	for _, other := range others {
		other.help(l)
	}
	for own.done.Load() < int64(len(conns)) {
		runtime.Gosched() // another loop is at the last
	}
	d.mu.Lock()
	d.all = slices.DeleteFunc(d.all, func(r *resets) bool { return r == own })
	d.mu.Unlock()
}

// help resets those that nobody is at. What comes of it is the loop's that has them, but for their count.
func (r *resets) help(l *loop) {
	for {
		i := r.next.Add(1) - 1
		if i >= int64(len(r.of)) {
			return
		}
		l.run.table.AbortInto(&l.drained, r.of[i].sock.FD)
		r.done.Add(1)
	}
}

// closeSome closes some of the connections that a drain has reset, and then some more when the loop has had its turn at others. If
// they were the last, the teardown begins, and is not held up.
func (l *loop) closeSome() {
	n := min(len(l.toClose), 8*perRound)
	if l.run.closing() {
		n = 0
	}
	for _, c := range l.toClose[:n] {
		c.settle()
	}
	if l.toClose = l.toClose[n:]; len(l.toClose) > 0 && !l.run.closing() {
		go l.post(l.closeSome) // see round
	}
}

// closeIdle closes the loop's connections that wait for their next request. On the loop.
func (l *loop) closeIdle() {
	l.clock.tick()
	for kind := range l.lists {
		for c := l.lists[kind].first; c != nil; {
			next := c.next
			c.catchUp()
			if (c.state == idle || c.state == quiet) && c.silent() {
				c.close()
			}
			c.settle()
			c = next
		}
	}
}

// spread ends connections that are idle, or whose protocol does not end by itself, one after the other, at random moments of
// Server.Spread. Each loop does so with its own. One that gets a request before its turn is not idle any more.
func (l *loop) spread(conns []*conn) {
	rand.Shuffle(len(conns), func(i, k int) { conns[i], conns[k] = conns[k], conns[i] }) // neighbours came together
	pace := pace.New(len(conns), l.run.cfg.spread)
	for len(conns) > 0 {
		passed, _ := pace.Next()
		n := pace.Due(passed)
		for _, c := range conns[:n] {
			c.awaitTurn(passed)
		}
		conns = conns[n:]
	}
}

// timeForFirst is how long a client that has just come has for its first request, in a drain: none where it could take any time.
func (l *loop) timeForFirst() time.Duration { return min(l.run.cfg.queue, l.durations[headerTimeout]) }

// tell asks protocols to end their connections, some at a time, so that the loop has its turn at others.
func (l *loop) tell(upgraded []*conn) {
	l.Rounds(&telling{upgraded})
}

// telling is the Work of that.
type telling struct{ left []*conn }

func (t *telling) Step() (more bool) {
	n := min(len(t.left), 8*perRound)
	for _, c := range t.left[:n] {
		if c.upgrade != nil && c.state != told && !c.over() {
			c.loop.clock.tick()
			c.tell()
			c.settle()
		}
	}
	t.left = t.left[n:]
	return len(t.left) > 0
}

func (t *telling) Dropped() {}

// arriving reports whether a client has connected of late and sent nothing yet. It runs on the loop.
func (l *loop) arriving() bool {
	l.clock.tick()
	for _, kind := range []timeoutKind{handshakeTimeout, headerTimeout} {
		within := l.durations[kind]
		if within == 0 {
			continue // nobody knows when they came
		}
		for c := l.lists[kind].last; c != nil && c.deadline-within-timeoutSlack > l.clock.now-l.run.cfg.queue; c = c.prev {
			if c.state == shaking || c.state == proxied || (c.state == fresh || c.state == greeting) && c.silent() {
				return true
			}
		}
	}
	return false
}

// silent returns those of conns for which nothing waits in the kernel to be read: to ask for thousands at a time (poll(2)) takes a tenth of
// asking for each (SIOCINQ, tcp(7), which locks the socket).
func silent(conns []*conn) []*conn {
	const atATime = 512
	quiet := conns[:0]
	var fds [atATime]unix.PollFd
	for len(conns) > 0 {
		some := conns[:min(len(conns), atATime)]
		conns = conns[len(some):]
		for i, c := range some {
			fds[i] = unix.PollFd{Fd: int32(c.sock.FD), Events: unix.POLLIN}
		}
		for {
			if _, err := unix.Poll(fds[:len(some)], 0); err != unix.EINTR {
				break
			}
		}
		for i, c := range some {
			if fds[i].Revents&unix.POLLIN == 0 {
				quiet = append(quiet, c)
			}
		}
	}
	return quiet
}
