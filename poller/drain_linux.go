//go:build linux

package poller

import (
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

// drainOwn has every connection of the loop come to its end. On the loop.
func (l *loop) drainOwn() error {
	l.clock.tick()
	for kind := range l.lists {
		for c := l.lists[kind].first; c != nil; {
			next := c.next // abort and close change no list, other than by moving c
			c.drain()
			c.settle()
			c = next
		}
	}
	return nil
}

// drain is the beginning of the end for a connection: one that has nothing to do is aborted, one that has is left to come to
// its last answer.
func (c *conn) drain() {
	switch {
	case c.gone || c.ending || c.idleInDrain || c.lease != nil:
	case c.lingering:
		c.awaitAck()
	case c.pending != nil || c.begun() || !c.orderly() || c.unread() > 0:
	default:
		c.abortCounted()
		c.ending = true
	}
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
	if err := unix.Shutdown(c.fd, unix.SHUT_WR); err != nil {
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
	n, _ := unix.IoctlGetInt(c.fd, unix.SIOCINQ)
	return n
}
