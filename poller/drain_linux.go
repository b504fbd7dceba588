//go:build linux

package poller

import (
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/linger"
)

const (
	// drainLinger is how long a client that has its last answer whole, and was told that it is the last, has time to close
	// the connection. If it does, TIME_WAIT is its own (RFC 9293, section 3.6.1); if not, the connection is aborted.
	drainLinger = time.Second
	// ackInterval is how often the kernel is asked whether a client has acknowledged all of its last answer.
	ackInterval = 10 * time.Millisecond
)

// drainOwn has every connection of the loop come to its end: one that has nothing to do is aborted, at once or when its turn
// comes, one that has is left to come to its last answer. On the loop.
func (l *loop) drainOwn() {
	l.clock.tick()
	var idle []*conn
	for kind := range l.lists {
		if timeoutKind(kind) == spreadTimeout {
			continue // they have their turn
		}
		for c := l.lists[kind].first; c != nil; {
			next := c.next // what comes of it changes no list, other than by moving c
			if c.drain() {
				idle = append(idle, c)
			}
			c.settle()
			c = next
		}
	}
	if l.run.cfg.drainSpread > 0 {
		l.spread(idle)
		return
	}
	for _, c := range idle {
		c.abortIdle()
		c.settle()
	}
}

// drain is the beginning of the end for a connection. idle says that it has nothing to do.
func (c *conn) drain() (idle bool) {
	c.catchUp()
	switch {
	case c.gone || c.ending || c.idleInDrain || c.lease != nil:
		return false
	case c.lingering:
		// One that does so for the drain, as its last answer was given between the beginning and now, has its time to close.
		if c.lingersBy > 0 {
			c.awaitAck()
		}
		return false
	}
	return c.pending == nil && !c.begun() && c.orderly() && c.unread() == 0
}

// spread has idle connections end one after the other, at random moments of Server.DrainSpread. Each loop does so with its
// own. One that gets a request before its turn is not idle any more.
func (l *loop) spread(idle []*conn) {
	rand.Shuffle(len(idle), func(i, k int) { idle[i], idle[k] = idle[k], idle[i] }) // neighbours came together
	pace := linger.NewPace(len(idle), l.run.cfg.drainSpread)
	for _, c := range idle {
		passed, _ := pace.Next()
		pace.Due(passed)
		l.forget(c)
		c.waits, c.deadline, c.listed = spreadTimeout, l.clock.now+passed, true
		l.lists[spreadTimeout].append(c)
	}
	if first := l.lists[spreadTimeout].first; first != nil {
		l.alarm.before(l, first.deadline)
	}
}

// abortIdle ends a connection that a drain has found idle.
func (c *conn) abortIdle() {
	c.abortCounted()
	c.ending = true
}

// restInDrain is what becomes of a connection that has given its last answer without having been able to say that it is.
func (c *conn) restInDrain() {
	if c.unread() > 0 {
		// There is another request, and another answer. What limited the time of the last one must not go on to do so.
		c.setActivity(linger.Receiving)
		c.loop.setTimeout(c, headerTimeout)
		return
	}
	c.idleInDrain = true
	c.setActivity(linger.Idle)
	c.awaitAck()
}

// finishInDrain is finish while the server drains.
func (c *conn) finishInDrain() {
	c.resumeReading()
	if !c.toEnd {
		// The client knows that the answer is whole, and closes. After a FIN of ours TIME_WAIT would be ours.
		c.loop.setTimeout(c, lingerTimeout)
		return
	}
	if err := unix.Shutdown(c.sock.FD, unix.SHUT_WR); err != nil {
		// The client has reset it.
		c.close()
		return
	}
	c.awaitAck()
}

// awaitAck aborts the connection as soon as the client has acknowledged all that it was sent, a FIN included, so that the
// abort takes nothing away from it: what it has received, it can still read (on Linux). A client that acknowledges nothing
// for WriteTimeout is aborted too.
func (c *conn) awaitAck() {
	before := c.unacked
	l := c.loop
	if c.countUnacked() < before || c.ackBy == 0 {
		c.ackBy = never
		if d := l.run.cfg.writeTimeout; d > 0 {
			c.ackBy = l.clock.now + d
		}
	}
	if c.unacked == 0 || l.clock.now > c.ackBy {
		c.abortCounted()
		c.ending = true
		return
	}
	l.setTimeout(c, ackTimeout)
}

// unread is how many bytes of the client's wait in the kernel (SIOCINQ, tcp(7)).
func (c *conn) unread() int {
	n, _ := unix.IoctlGetInt(c.sock.FD, unix.SIOCINQ)
	return n
}
