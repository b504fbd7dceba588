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

// LingerTimeout is how long a connection on which the last answer was sent waits for its client to send more or to close,
// and lingerLimit how long it does so in all.
const (
	LingerTimeout = 5 * time.Second
	lingerLimit   = 30 * time.Second
)

const (
	// drainLinger is how long a client that has its last answer whole, and was told that it is the last, has time to close
	// the connection. If it does, TIME_WAIT is its own (RFC 9293, section 3.6.1); if not, the connection is aborted.
	drainLinger = time.Second
	// ackInterval is how often the kernel is asked whether a client has acknowledged all of its last answer.
	ackInterval = 10 * time.Millisecond
	// maxDiscard bounds what is read from a client after its last answer, beside LingerTimeout: a client that uploads without
	// looking at answers is cut off in the end.
	maxDiscard = 256 << 20
)

// finish is what follows the last answer: FIN is sent and the client's waited for, and what it still sends thrown away: closing
// with unread input would reset the connection and could cost the client its answer (RFC 9112, section 9.6). In a drain FIN is
// left to the client, if it knows that its answer is whole.
func (c *conn) finish() {
	c.in, c.pending, c.progress = nil, nil, 0
	if c.then == keepAlive {
		c.then = last
	}
	draining := c.loop.run.draining()
	if !draining || c.then == lastToEnd {
		if c.tls.closeNotify() == unix.EAGAIN {
			c.putOff() // after which it comes back to this
			return
		}
		if !c.tls.saidGoodbye() {
			if err := unix.Shutdown(c.sock.FD, unix.SHUT_WR); err != nil {
				c.close() // the client has reset it
				return
			}
		}
	}
	switch {
	case !draining:
		c.until = c.loop.clock.now + lingerLimit
		c.become(lingering)
	case c.then == lastToEnd:
		c.awaitAck()
	default:
		c.become(parting)
	}
}

// discard throws away what comes after the last answer.
func (c *conn) discard(data []byte) {
	if c.progress += int64(len(data)); c.progress > maxDiscard {
		c.close()
	} else if c.loop.clock.now+LingerTimeout < c.until {
		c.loop.setTimeout(c, lingerTimeout)
	}
}

// rest is what becomes of a connection that, in a drain, has given its last answer without having been able to say so.
func (c *conn) rest() {
	if c.readable() {
		c.become(head) // there is another request, and another answer
		return
	}
	c.become(resting)
	c.awaitAck()
}

// awaitAck resets the connection as soon as the client has acknowledged all that it was sent, a FIN included, so that the
// reset takes nothing away from it: what it has received, it can still read (on Linux). A client that acknowledges nothing
// for WriteTimeout is reset too.
func (c *conn) awaitAck() {
	if c.state != acking && c.state != resting {
		c.until = 0
		c.become(acking)
	}
	if before := c.progress; c.countUnacked() < before || c.until == 0 {
		c.until = never
		if d := c.loop.run.cfg.writeTimeout; d > 0 {
			c.until = c.loop.clock.now + d
		}
	}
	if c.progress == 0 || c.loop.clock.now > c.until {
		c.reset()
		return
	}
	c.loop.setTimeout(c, ackTimeout)
}

// acknowledge is awaitAck for a connection that a drain finds lingering.
func (c *conn) acknowledge() bool {
	c.awaitAck()
	return false
}

// countUnacked notes how much the client has not acknowledged.
func (c *conn) countUnacked() int64 {
	c.progress = c.unacked()
	return c.progress
}

// unacked is how much the client has not acknowledged of what was handed to the kernel (SIOCOUTQ, tcp(7)).
func (c *conn) unacked() int64 {
	n, _ := unix.IoctlGetInt(c.sock.FD, unix.SIOCOUTQ)
	return int64(n)
}

// between reports whether nothing has been read of what the client is to send next.
func (c *conn) between() bool { return !c.begun() }

// readable reports whether something waits in the kernel to be read, be it a FIN.
func (c *conn) readable() bool { return len(silent([]*conn{c})) == 0 }

// silent reports whether the client has sent nothing of what is to come next.
func (c *conn) silent() bool { return c.between() && !c.readable() }

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

// drain is the beginning of a drain for the connection, and reports whether it is to be reset, at once or at its turn.
func (c *conn) drain() (resets bool) {
	c.catchUp()
	return table[c.state].drain(c)
}

// drainOwn has every connection of the loop come to its end: one that has nothing to do is reset, at once or when its turn
// comes, one that has is left to come to its last answer. On the loop.
func (l *loop) drainOwn() {
	l.ending = true
	l.clock.tick()
	var idle []*conn
	for kind := range l.lists {
		for c := l.lists[kind].first; c != nil; {
			next := c.next // what comes of it changes no list, other than by moving c
			if c.drain() {
				idle = append(idle, c)
			}
			if c.state != reset { // which closeSome closes
				c.settle()
			}
			c = next
		}
	}
	idle = silent(idle)
	if l.run.cfg.spread > 0 {
		l.spread(idle)
		return
	}
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

// spread has idle connections end one after the other, at random moments of Server.Spread. Each loop does so with its
// own. One that gets a request before its turn is not idle any more.
func (l *loop) spread(idle []*conn) {
	rand.Shuffle(len(idle), func(i, k int) { idle[i], idle[k] = idle[k], idle[i] }) // neighbours came together
	pace := pace.New(len(idle), l.run.cfg.spread)
	for _, c := range idle {
		passed, _ := pace.Next()
		pace.Due(passed)
		c.become(spread)
		l.list(c, turnTimeout, l.clock.now+passed)
	}
}

// arriving reports whether a client has connected of late and sent nothing yet. It runs on the loop.
func (l *loop) arriving() bool {
	l.clock.tick()
	for _, kind := range []timeoutKind{handshakeTimeout, headerTimeout} {
		within := l.durations[kind]
		if within == 0 {
			continue // nobody knows when they came
		}
		for c := l.lists[kind].last; c != nil && c.deadline-within-timeoutSlack > l.clock.now-l.run.cfg.queue; c = c.prev {
			if c.state == shaking || (c.state == fresh || c.state == greeting) && c.silent() {
				return true
			}
		}
	}
	return false
}

// takeTurn is the end of a connection whose turn has come, unless it is about to be no longer idle.
func (c *conn) takeTurn() {
	switch {
	case c.silent():
		c.reset()
	case c.isToGreet():
		c.become(greeting)
	default:
		c.become(head)
	}
}

// reset is abort for a connection that a drain or a teardown ends: it is counted in the Report. Its descriptor is closed later,
// and need not be waited for.
func (c *conn) reset() {
	c.abortCounted()
	if !c.over() {
		c.become(reset)
		c.loop.run.ended(true)
	}
}

// abortCounted resets a connection that no sweep of a teardown will find, and counts it for the teardown or the drain, if
// there is one. On the loop.
func (c *conn) abortCounted() {
	l := c.loop
	switch {
	case l.run.closing():
		l.run.table.AbortInto(&l.late, c.sock.FD)
	case l.run.draining():
		l.run.table.AbortInto(&l.drained, c.sock.FD)
	default:
		_, _ = l.run.table.Abort(c.sock.FD)
	}
}
