//go:build linux

package poller

import (
	"io"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/httpcodec"
	"rstserver/linger"
	"rstserver/poller/internal/engine"
)

// conn is one connection. It is owned by its loop: only that goroutine touches it, save for the fields that say otherwise.
// From elsewhere a connection is reached through the table (abort), or by giving the loop a task.
//
// An idle connection holds no buffer: in, pending and out exist only while they hold something.
type conn struct {
	loop *loop // immutable, as are the next two
	sock engine.Conn
	id   uint64

	parser    httpcodec.Parser
	in        []byte    // bytes received and not consumed: part of a head, or requests behind one that is being answered
	pending   *pending  // the request whose content is being received
	lease     *exchange // in whose hands the connection is; nil: the loop's
	web       *webConn  // for requests to the http.Handler
	out       []byte    // bytes that the kernel did not take
	source    io.Reader // content to be sent behind out
	left      int64     // bytes still to be read from source
	unacked   int       // bytes that the client had not acknowledged when the write timeout began
	discarded int64     // bytes that came after the last answer

	prev, next *conn // within the timeout list of what it waits for
	deadline   time.Duration
	lingersBy  time.Duration // when lingering ends in any case
	ackBy      time.Duration // when the client must have acknowledged more, see awaitAck
	waits      timeoutKind
	reading    reading
	listed     bool // in the list of waits
	activity   linger.Activity

	closeAfter  bool // the answers being sent are the last
	lingering   bool // the last answer is sent, and so is FIN
	ending      bool // the engine is to close it
	gone        bool // the engine has closed it, or is about to
	watched     bool // known to the watcher; while the connection is lent, exchange.known says that
	toEnd       bool // the last answer ends with the connection, as it has no length
	hijacked    bool // a handler has it, on another descriptor
	aborted     bool // by the table, which a hijack that came too late has left
	idleInDrain bool // has nothing more to do, and is aborted when all that was sent is acknowledged
	untracked   bool // not in the table
	wasParked   bool // parked once
	parked      bool // not admitted yet; guarded by admission.mu
}

// Received implements engine.Session.
func (c *conn) Received(data []byte) (open bool) {
	c.loop.clock.tick()
	return c.received(data)
}

func (c *conn) received(data []byte) (open bool) {
	c.catchUp()
	paused := c.paused()
	if c.reading == readingOnce {
		c.reading = readingDeaf
	}
	switch {
	case c.ending, c.idleInDrain:
	case c.lingering:
		c.discard(len(data))
	case paused:
		// Only what had been read when reading was paused comes here, once.
		c.in = append(c.in, data...)
	case len(c.in) > 0:
		c.in = append(c.in, data...)
		c.serve(c.in)
	default:
		c.serve(data)
	}
	return !c.ending
}

// resume continues a connection whose output was held up.
func (c *conn) resume() {
	// During a teardown the sweep is what is urgent.
	if c.gone || c.ending || len(c.out) == 0 && c.source == nil || c.loop.run.closing() {
		return
	}
	c.loop.clock.tick()
	c.loop.out = c.loop.out[:0]
	if c.send() {
		c.serve(c.in)
	}
	c.settle()
}

// ready implements waiter: the kernel takes output again.
func (c *conn) ready(uint32) { c.loop.turn(c) }

// settle closes the connection if that was decided outside of the engine's calls.
func (c *conn) settle() {
	if c.ending && !c.gone {
		c.sock.Close()
	}
}

// admit lets a parked connection begin.
func (c *conn) admit() {
	if !c.gone {
		c.resumeReading()
		c.loop.clock.tick()
		c.loop.setTimeout(c, headerTimeout)
		c.settle()
	}
}

// close ends the connection with FIN; whatever was handed to the kernel is delivered.
func (c *conn) close() { c.ending = true }

// abort ends the connection with RST.
func (c *conn) abort() {
	// A refusal has armed the connection, so that closing it has the same effect.
	_, _ = c.loop.run.table.Abort(c.sock.FD)
	c.ending = true
}

// finish sends FIN behind the last answer and waits for the client's, discarding what it still sends: closing with unread
// input would reset the connection and could cost the client its answer (RFC 9112, section 9.6).
func (c *conn) finish() {
	c.lingering = true
	c.in, c.pending = nil, nil
	c.setActivity(linger.Closing)
	if c.loop.run.draining.Load() {
		c.finishInDrain()
		return
	}
	if err := unix.Shutdown(c.sock.FD, unix.SHUT_WR); err != nil {
		// The client has reset it.
		c.close()
		return
	}
	c.lingersBy = c.loop.clock.now + lingerLimit
	c.loop.setTimeout(c, lingerTimeout)
	c.resumeReading()
}

// maxDiscard bounds what is read from a client after its last answer, beside LingerTimeout: a client that uploads without
// looking at answers is cut off in the end.
const maxDiscard = 256 << 20

func (c *conn) discard(n int) {
	c.discarded += int64(n)
	if c.discarded > maxDiscard {
		c.close()
		return
	}
	if c.loop.clock.now+LingerTimeout < c.lingersBy {
		c.loop.setTimeout(c, lingerTimeout)
	}
}

// orderly tells whether all that was to be sent has been handed to the kernel, so that close may deliver it.
func (c *conn) orderly() bool { return len(c.out) == 0 && c.source == nil }

// timedOut ends a connection for which the event of kind did not come in time.
func (c *conn) timedOut(kind timeoutKind) {
	switch {
	case kind == bodyTimeout && c.pending.skip:
		c.finish()
	case kind == headerTimeout && c.begun(), kind == bodyTimeout:
		c.loop.out = c.loop.out[:0]
		request := c.in
		if c.pending != nil {
			request = c.pending.head
		}
		c.refuse(errRequestTimeout, request)
		if c.send() {
			c.finish()
		}
	case kind == quickTimeout:
		c.waitForHandler()
	case kind == handlerTimeout:
		c.endHandling()
	case kind == ackTimeout:
		c.awaitAck()
	case kind == spreadTimeout && c.drain():
		c.abortIdle()
	case kind == spreadTimeout: // what it does has begun just now
	case kind == writeTimeout:
		// The kernel takes more only when a good part of its buffer is free, which a slow reader may need long for.
		if before := c.unacked; c.countUnacked() < before {
			c.loop.setTimeout(c, writeTimeout)
		} else {
			c.abort()
		}
	case kind == lingerTimeout && c.loop.run.draining.Load():
		c.awaitAck()
	default:
		c.close()
	}
	c.settle()
}

// countUnacked notes how much the client has not acknowledged of what was handed to the kernel (SIOCOUTQ, tcp(7)).
func (c *conn) countUnacked() int {
	c.unacked, _ = unix.IoctlGetInt(c.sock.FD, unix.SIOCOUTQ)
	return c.unacked
}

// describe is what hooks get to know.
func (c *conn) describe() Conn { return Conn{ID: c.id, Remote: c.sock.RemoteAddr()} }

// setActivity notes what the connection is doing, for the Report.
func (c *conn) setActivity(a linger.Activity) {
	if c.activity != a {
		c.activity = a
		c.loop.run.table.SetActivity(c.sock.FD, a)
	}
}
