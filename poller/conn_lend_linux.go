//go:build linux

package poller

import (
	"bytes"

	"rstserver/httpcodec"
)

// goesToHandler reports whether the request in l.request is for the http.Handler.
func (c *conn) goesToHandler() bool {
	cfg := &c.loop.run.cfg
	switch {
	case cfg.loopHandler == nil:
		return true
	case cfg.onLoop == nil:
		return false
	}
	onLoop := false
	if !c.loop.call(c.id, "OnLoop", func() { onLoop = cfg.onLoop(&c.loop.request.Request) }) {
		c.abort()
	}
	return !onLoop
}

// lend hands the request in l.request, whose head is data[:n], and the connection with it to a worker. All answers before it
// have been handed to the kernel.
func (c *conn) lend(data []byte, n int) {
	l := c.loop
	r := l.run
	x := &exchange{run: r, loop: l, conn: c, fd: c.sock.FD, head: bytes.Clone(data[:n]), peer: c.describe(), site: c.site, tls: c.tls, secure: c.tls != nil, behind: len(c.in) > 0, state: lent}
	x.writer.x = x
	if err := x.body.init(x, &l.request.Request, data[n:], len(c.in) == 0); err != nil {
		c.refuse(err, data)
		return
	}
	x.began, x.opened, x.before, x.entered = l.clock.now, c.opened, int64(c.requests), c.entered
	if r.server.Answered != nil {
		x.writer.answer = new(Answer)
	}
	x.request = requests.Get().(*httpcodec.Request)
	*x.request, l.request.Request = l.request.Request, *x.request
	x.request.Move(data[:n], x.head)
	c.lent = int32(cap(x.head) + x.body.weight() + c.tls.weight())
	c.in, c.lease = nil, x
	c.become(lent)
	r.pool.submit(x)
}

// lookOut lets a handler that is not quick hear of its client's FIN, or learns that it was.
func (c *conn) lookOut() {
	switch {
	case c.catchUp():
	case c.lease.watch():
		c.become(handling)
	default:
		c.catchUp() // or else it comes back by itself
	}
}

// takeBack goes on with a connection that was lent to x.
func (c *conn) takeBack(x *exchange) {
	if c.lease != x || c.loop.run.closing() {
		return
	}
	c.loop.clock.tick()
	c.endLease(x)
	switch o := x.outcome; {
	case c.over():
	case o.kind == refused:
		c.refuseLast(o.refusal(), x.head)
	case o.kind == aborted:
		c.abort()
	case o.kind == established:
		c.established()
	case o.kind == taken:
		rest := append(x.body.input, c.in...)
		if c.tls != nil {
			rest = c.tls.open(rest, nil)
		}
		c.upgrade = o.upgrade()
		c.become(serving)
		c.handOver(rest)
	case o.kind == failedHandshake:
		c.handshakeFailed(o.refusal())
		c.then = lastToEnd // the answer to a client without TLS has no length
		c.become(serving)
		c.finish()
	default:
		if !x.body.decoder.Done() {
			c.pending = &pending{skip: true, decoder: x.body.decoder, patience: c.loop.newPatience()}
			c.until = c.loop.clock.now + lingerLimit
		}
		c.in = append(x.body.input, c.in...)
		if c.tls != nil {
			c.in = c.tls.open(c.in, nil) // what else was in the records that the handler has read
		}
		from := c.state
		c.become(serving)
		c.loop.out = c.loop.out[:0]
		c.then = o.kind
		c.proceed(c.in, from)
	}
	c.settle()
}

// catchUp tells the loop of a connection that a worker has given back without a word, and reports whether it has.
func (c *conn) catchUp() bool {
	x := c.lease
	if x == nil || x.now() != left {
		return false
	}
	c.endLease(x)
	c.state, c.activity = left, table[left].activity // as the worker has it
	c.become(quiet)
	return true
}

// endLease makes the connection the loop's again, whatever x, whose time is over, knows of it.
func (c *conn) endLease(x *exchange) {
	c.lease = nil
	switch s := x.now(); s {
	case hijacked, lost:
		c.tls = nil // it is the handler's
		c.become(s)
	case ended: // by revoke, and the worker may still be finding out
	default:
		c.site = x.site
	}
}

// endHandling ends the time of a handler that has taken too long.
func (c *conn) endHandling() {
	x := c.lease
	unanswered, ok := x.revoke(errHandlerTimeout)
	if !ok {
		return // it comes back by itself
	}
	c.endLease(x)
	if unanswered {
		c.refuseLast(errUnavailable, x.head)
	} else {
		c.abort()
	}
}

// loseLease tells the handler that its connection is about to be closed, and reports whether one had it.
func (c *conn) loseLease() bool {
	c.catchUp()
	x := c.lease
	if x == nil {
		return false
	}
	x.revoke(c.loop.run.whyGone())
	if c.endLease(x); x.shakes {
		c.loop.counts.shookNot.Add(1)
	}
	if x.now() == returned && x.outcome.kind == taken {
		x.outcome.upgrade().end(c.loop.run.whyGone())
	}
	return true
}

// whyGone is why a connection is no more that a handler had.
func (r *run) whyGone() error {
	if r.closing() {
		return ErrServerClosed
	}
	return errConnGone
}
