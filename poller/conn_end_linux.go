//go:build linux

package poller

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// LingerTimeout is how long a connection on which the last answer was sent waits for its client to send more or to close,
// and lingerLimit how long it does so in all.
const (
	LingerTimeout = 5 * time.Second
	lingerLimit   = 30 * time.Second
)

const (
	// drainLinger is how long a client that has its last answer whole, and was told that it is the last, has time to close
	// the connection. If it does, TIME_WAIT is its own (RFC 9293, section 3.6.1); if not, the connection is aborted. A client that has
	// sent close_notify, in a drain or not, has as long; it may be waiting for FIN, which without a drain it gets then (RFC 5246, section 7.2.1).
	drainLinger = time.Second
	// ackInterval is how often the kernel is asked whether a client has acknowledged all of its last answer.
	ackInterval = 10 * time.Millisecond
	// maxDiscard bounds what is read from a client after its last answer, beside LingerTimeout: a client that uploads without
	// looking at answers is cut off in the end.
	maxDiscard = 256 << 20
)

// finish is what follows the last answer: FIN is sent and the client's waited for, and what it still sends thrown away: closing
// with unread input would reset the connection and could cost the client its answer (RFC 9112, section 9.6). FIN is left to a client
// that has sent close_notify, and in a drain to one that knows that its answer is whole.
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
		if !c.tls.saidGoodbye() && !c.inOrder {
			if err := unix.Shutdown(c.sock.FD, unix.SHUT_WR); err != nil {
				c.close() // the client has reset it
				return
			}
		}
	}
	switch {
	case !draining:
		c.until = c.loop.clock.now
		if !c.hurried {
			c.until += lingerLimit
		}
		c.become(lingering)
		if c.state == lingering && c.tls.saidGoodbye() {
			c.loop.setTimeout(c, partTimeout)
		}
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
	switch {
	case c.progress == 0 && c.inOrder:
		// The client has all but FIN. What acknowledges that is likely to be the client's, since a kernel holds the acknowledgement
		// back for it, and TIME_WAIT would be ours. With this option (tcp(7)) the kernel resets the connection instead, in whatever order they come.
		if err := unix.SetsockoptInt(c.sock.FD, unix.IPPROTO_TCP, unix.TCP_LINGER2, -1); err != nil {
			c.loop.log.Warn("a connection leaves TIME_WAIT", "conn", c.id, "error", os.NewSyscallError("setsockopt", err))
		}
		c.loop.run.parted.Store(true)
		c.close()
		return
	case c.progress == 0 || c.loop.clock.now > c.until:
		c.inOrder = false
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

// drain is the beginning of a drain for the connection, and reports whether it is to be reset, at once or at its turn.
func (c *conn) drain() (resets bool) {
	c.catchUp()
	return table[c.state].drain(c)
}

// awaitTurn plans that the connection is reset after a time, in a drain, and not before those whose turns have been planned, unless the client sends
// something first. One that another protocol has is told then.
func (c *conn) awaitTurn(within time.Duration) {
	l := c.loop
	if c.upgrade != nil {
		c.become(turning)
	} else {
		c.become(spread)
	}
	l.forget(c)
	at := l.clock.now + within
	if last := l.lists[turnTimeout].last; last != nil {
		at = max(at, last.deadline)
	}
	l.list(c, turnTimeout, at)
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
		c.loop.forget(c) // nothing is due any more
		how := EndAborted
		if r := c.loop.run; r.draining() && !r.closing() {
			how = EndDrained
		}
		c.loop.run.ended(&c.loop.counts, how, true)
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
