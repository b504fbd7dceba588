//go:build linux

package poller

import (
	"bytes"

	"rstserver/httpcodec"
	"rstserver/linger"
)

// goesToHandler tells whether the request in l.request is for the http.Handler.
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
	x := &exchange{run: r, loop: l, conn: c, fd: c.sock.FD, head: bytes.Clone(data[:n]), known: c.watched}
	x.writer.x = x
	rest := data[n:]
	if len(c.in) == 0 {
		rest = bytes.Clone(rest) // the engine's
	}
	if err := x.body.init(x, &l.request.Request, rest); err != nil {
		c.refuse(err, data)
		return
	}
	if r.answered != nil {
		x.began = epoch.Add(l.clock.now)
	}
	if c.web == nil {
		c.web = &webConn{conn: c.describe()}
	}
	x.web = c.web
	c.in, c.lease = nil, x
	if c.reading != readingDeaf {
		c.pauseReading()
	}
	c.setActivity(linger.Handling)
	l.setTimeout(c, quickTimeout)
	r.pool.submit(x)
}

// waitForHandler settles down to a handler that is not quick, or learns that it was.
func (c *conn) waitForHandler() {
	if c.catchUp() || c.lease == nil {
		return
	}
	if !c.lease.isSlow() {
		c.catchUp() // or else it comes back by itself
		return
	}
	c.pauseReading() // but hear of a reset
	if limit := c.loop.run.cfg.handlerTimeout; limit > 0 && limit <= quickHandler {
		c.endHandling()
		return
	}
	c.loop.setTimeout(c, handlerTimeout)
}

// init prepares for the content of the request head, of which input has come. A refusal is that of a content that is known
// to be too long.
func (b *body) init(x *exchange, head *httpcodec.Request, input []byte) error {
	b.x, b.input, b.sized = x, input, restUnknown
	if !head.Chunked {
		b.sized = max(head.ContentLength, 0)
	}
	b.expect = head.ExpectContinue && len(input) == 0
	if err := b.decoder.Reset(head, x.run.cfg.maxBodyBytes); err != nil {
		return err
	}
	b.noteRest()
	return nil
}

// takeBack goes on with a connection that was lent to x.
func (c *conn) takeBack(x *exchange) {
	if c.gone || c.lease != x || c.loop.run.closing() {
		return
	}
	l := c.loop
	l.clock.tick()
	l.out = l.out[:0]
	c.recover(x)
	switch o := x.outcome; {
	case c.hijacked:
		c.close()
	case o.refusal != nil:
		c.refuse(o.refusal, x.head)
		if c.send() {
			c.finish()
		}
	case o.abort:
		c.abort()
	case o.close:
		c.toEnd = o.toEnd
		c.finish()
	default:
		if !x.body.decoder.Done() {
			c.pending = &pending{skip: true, decoder: x.body.decoder}
		}
		c.in = append(x.body.input, c.in...)
		c.serve(c.in)
	}
	c.settle()
}

// catchUp makes the connection the loop's again if a worker has given it back without a word.
func (c *conn) catchUp() bool {
	if c.lease == nil || !c.lease.hasLeft() {
		return false
	}
	c.recover(c.lease)
	c.activity, c.reading = linger.Idle, readingOnce
	c.loop.setTimeout(c, idleTimeout)
	return true
}

// recover makes the connection the loop's again, whatever x, whose time is over, knows of it.
func (c *conn) recover(x *exchange) {
	c.lease = nil
	c.watched = x.known
	c.hijacked = x.phase == hijacked
	c.aborted = x.aborted
}

// endHandling ends the time of a handler that has taken too long.
func (c *conn) endHandling() {
	x := c.lease
	unanswered, ok := x.expire()
	if !ok {
		return // it comes back by itself
	}
	c.loop.run.pool.withdraw(x)
	c.recover(x)
	if !unanswered {
		c.abort()
		return
	}
	c.loop.out = c.loop.out[:0]
	c.refuse(errUnavailable, x.head)
	if c.send() {
		c.finish()
	}
}

// loseLease has the handler know that its connection is about to be closed, and tells whether one had it.
func (c *conn) loseLease() bool {
	c.catchUp()
	x := c.lease
	if x == nil {
		return false
	}
	cause := errConnGone
	if c.loop.run.closing() {
		cause = ErrServerClosed
	}
	x.lost(cause)
	c.loop.run.pool.withdraw(x)
	c.recover(x)
	return !c.hijacked
}
