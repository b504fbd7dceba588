//go:build linux

package poller

import (
	"io"
	"sync/atomic"
	"time"

	"rstserver/httpcodec"
	"rstserver/linger"
	"rstserver/poller/internal/engine"
)

// conn is one connection. It is owned by its loop: only that goroutine touches it. From elsewhere a connection is reached
// through the table (abort), or by giving the loop a task.
//
// An idle connection holds no buffer: in, pending and out exist only while they hold something.
type conn struct {
	loop *loop // immutable, as are the next two
	sock engine.Conn
	id   uint64

	parser   httpcodec.Parser
	in       []byte    // bytes received and not consumed: part of a head, or requests behind one that is being answered
	pending  *pending  // the request whose content is being received
	lease    *exchange // in whose hands the connection is; nil: the loop's
	site     *site     // for requests to the http.Handler; nil before the first
	out      []byte    // bytes that the kernel did not take
	source   io.Reader // content to be sent behind out
	left     int64     // bytes still to be read from source
	taking   *patience // of the client that does not take its answer; nil: it does, or need not
	tls      *tlsLayer // nil: there is none, or no ClientHello yet
	charged  int       // bytes; see weigh
	requests uint32    // that have come
	lent     int32     // of these, bytes that went with the lease
	padded   bool      // the last request had content, behind which there may be two empty lines
	inOrder  bool      // in a drain: ends with FIN when all before is acknowledged
	upgrade  *upgrade  // another protocol has the connection; nil: HTTP has

	prev, next *conn         // within the timeout list of what it waits for
	opened     time.Duration // when it was accepted
	deadline   time.Duration // of what it waits for; 0: it is in no list
	until      time.Duration // skipping, lingering, acking and resting: when that ends in any case
	progress   int64         // of the client: bytes that it has not acknowledged; lingering and parting: that were thrown away

	state    state
	waits    timeoutKind
	activity linger.Activity
	end      End         // how it ends, if that is not told by whether it is reset
	hidden   bool        // ConnOpened was not called; it waits for a PROXY header
	entered  bool        // it counts in run.clients
	leaves   bool        // its next answer is its last
	hurried  bool        // the client had its time, and is not to have more after its last answer
	borrowed bool        // an exchange has, or had, a descriptor of its own; set under its mu
	closed   atomic.Bool // it is over. Any goroutine may read it
	then     outcomeKind // keepAlive, last or lastToEnd: what comes after the answers being sent
}

// Received implements engine.Session.
func (c *conn) Received(data []byte) (open bool) {
	c.loop.clock.tick()
	c.catchUp()
	table[c.state].received(c, data)
	before := c.charged
	if c.weigh(); c.charged > before && c.loop.run.memory.isExceeded() {
		c.loop.makeRoom()
	}
	return !c.over()
}

// hold keeps what comes although nothing is polled for: only what had been read before comes so, once.
func (c *conn) hold(data []byte) { c.in = append(c.in, data...) }

// Ready implements watch.Waiter: the kernel takes output again.
func (c *conn) Ready(uint32) { c.loop.turn(c) }

// resume continues a connection whose output was held up.
func (c *conn) resume() {
	if c.upgrade != nil && c.state != sending { // the answer goes out before what the protocol sends
		c.upgrade.resume()
		return
	}
	// During a teardown the sweep is what is urgent.
	if c.state != sending || c.loop.run.closing() {
		return
	}
	c.loop.clock.tick()
	c.loop.out = c.loop.out[:0]
	c.countTaken()
	c.become(serving)
	if c.send() {
		c.taking = nil
		c.proceed(c.in, sending)
	}
	c.settle()
}

// settle ends what the loop does with the connection outside of the engine's calls: it closes it if that was decided, or weighs it.
func (c *conn) settle() {
	switch {
	case !c.over():
		c.weigh()
	case c.state != gone:
		c.sock.Close()
	}
}

// admit lets a parked connection begin.
func (c *conn) admit() {
	if c.state == parked {
		c.loop.clock.tick()
		c.welcome()
		c.settle()
	}
}

// isToGreet reports whether the next thing to come is a ClientHello.
func (c *conn) isToGreet() bool { return c.tls == nil && c.loop.run.cfg.tls != nil }

// welcome puts the connection into the state in which it waits for what a client sends first.
func (c *conn) welcome() {
	switch {
	case c.hidden:
		c.become(proxied)
	case c.isToGreet():
		c.become(greeting)
	default:
		c.become(fresh)
	}
}

// close ends the connection with FIN; whatever was handed to the kernel is delivered.
func (c *conn) close() {
	if !c.over() {
		c.become(ended)
	}
}

// abort ends the connection with RST.
func (c *conn) abort() {
	// A refusal has armed the connection, so that closing it has the same effect.
	_, _ = c.loop.run.table.Abort(c.sock.FD)
	c.close()
}

// Closed implements engine.Session.
func (c *conn) Closed(by engine.Closer) {
	l := c.loop
	r := l.run
	r.closed.Add(1)
	orderly := !c.loseLease()
	was := c.state
	if c.upgrade != nil {
		orderly = c.upgrade.end(r.whyGone()) && orderly
	}
	orderly = orderly && c.sentAll() // when nobody sends any more
	c.become(gone)
	l.forget(c)
	l.charge(int64(-c.charged))
	c.charged = 0
	if r.watcher.Awaits(c.sock.FD) { // or did, when its time ended
		r.watcher.Forget(c.sock.FD)
	}
	if c.borrowed {
		c.sock.Forget()
	}
	c.dropSource()
	if was == hijacked || was == opening { // which is not in the table
		return
	}
	if by == engine.Here && was < hijacked {
		// The engine ends without having been asked to. Its connections must not look as if they had ended in order.
		c.abortCounted()
	}
	c.leaveClient()
	if c.hidden {
		c.announce()
	}
	aborted := r.table.Close(c.sock.FD) || was == lost
	if !aborted {
		if orderly && by == engine.Here {
			_ = c.tls.closeNotify()
		}
		r.noteClosed(c.sock.FD)
		if r.cfg.arm && orderly {
			if err := linger.Disarm(c.sock.FD); err != nil {
				l.log.Warn("a connection ends with RST in place of FIN", "conn", c.id, "error", err)
			}
		}
	}
	c.closed.Store(true)
	r.turns.forget(c.id)
	r.hook(aborted, c.describe)
	r.admission.closed(c, was)
	if was != reset {
		r.ended(&l.counts, max(c.end, endOf(aborted)), aborted)
	}
}

// sentAll reports whether the kernel has got all that there is to send.
func (c *conn) sentAll() bool { return !c.holdsOutput() && c.source == nil }

// leaveClient counts the connection off for its client.
func (c *conn) leaveClient() {
	if c.entered {
		c.loop.run.clients.leave(c.sock.RemoteAddr().Addr())
	}
}

// endOf is the end of a connection of which no more is known.
func endOf(aborted bool) End {
	if aborted {
		return EndAborted
	}
	return EndClosed
}

// describe is what hooks get to know.
func (c *conn) describe() Conn { return Conn{ID: c.id, Remote: c.sock.RemoteAddr()} }
