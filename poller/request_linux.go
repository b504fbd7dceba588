//go:build linux

package poller

import (
	"bytes"

	"rstserver/httpcodec"
	"rstserver/linger"
)

// flushAt is how many bytes of answers a batch of pipelined requests collects before they are sent in between.
const flushAt = 64 << 10

// serve answers the requests in data, which may be c.in, keeps what is left of it, and sees to what the connection does
// next. The answers leave in one write for each flushAt of them. It takes up to one request whose answers the client does
// not read, or that it lends to the http.Handler: from there on the rest waits, and reading pauses.
func (c *conn) serve(data []byte) {
	l := c.loop
	l.out = l.out[:0]
	lent := c.activity == linger.Handling // until now
	served, sent := lent || c.activity == linger.Sending, true
	for more := !c.closeAfter; more; {
		n, next := c.takeRequest(data)
		data = data[n:]
		switch {
		case c.ending || next == lentOut:
			return
		case next == heldUp:
			c.keep(data)
			return
		}
		more = next == answered
		served = served || more
		if c.closeAfter || c.source != nil || len(l.out) >= flushAt {
			if sent = c.send(); !sent || c.closeAfter {
				break
			}
		}
	}
	if sent {
		sent = c.send()
	}
	if c.ending {
		return
	}
	if sent && c.closeAfter {
		c.finish()
		return
	}
	c.keep(data)
	if !sent {
		return
	}
	switch c.await(served); {
	case c.ending || c.idleInDrain:
	case lent && c.pending == nil:
		c.resumeReadingOnce()
	default:
		c.resumeReading()
	}
}

// taken is what became of the first request in the input.
type taken uint8

const (
	answered taken = iota // its answer is in l.out, and it is worth looking at what is behind it
	starved               // it is not complete; or it was refused, and the connection ends
	heldUp                // it waits until the answers before it are sent
	lentOut               // the http.Handler has it, and the connection
)

// keep holds on to what the requests so far have left of the input.
func (c *conn) keep(rest []byte) {
	switch {
	case len(rest) == 0:
		c.in = nil
	case cap(c.in) > 4*len(rest) && cap(c.in) > 4<<10:
		c.in = bytes.Clone(rest)
	default:
		c.in = append(c.in[:0], rest...) // rest may be the end of c.in: append moves it
	}
}

// await notes what the connection waits for. served says that requests were answered since it last did.
func (c *conn) await(served bool) {
	l := c.loop
	switch {
	case c.pending != nil:
		c.setActivity(linger.Receiving)
		l.setTimeout(c, bodyTimeout)
	case c.begun():
		c.setActivity(linger.Receiving)
		// Further bytes of one head do not win it more time.
		if served || c.waits != headerTimeout {
			l.setTimeout(c, headerTimeout)
		}
	case l.run.draining.Load():
		c.restInDrain()
	case served:
		c.setActivity(linger.Idle)
		l.setTimeout(c, idleTimeout)
	}
}

// begun tells whether part of a request's head has come. Some clients send an empty line behind a request's content, which
// is not the beginning of another (RFC 9112, section 2.2).
func (c *conn) begun() bool {
	return len(c.in) > 2 || len(c.in) > 0 && !bytes.HasPrefix([]byte("\r\n"), c.in)
}

// isHead tells whether a request that may not have been understood has the method HEAD. data begins with it.
func isHead(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimPrefix(data, []byte("\r\n")), []byte("HEAD "))
}

// takeRequest answers the first request in data, where it is complete, or lends it. n bytes are consumed.
func (c *conn) takeRequest(data []byte) (n int, what taken) {
	if c.pending != nil {
		return c.receive(data)
	}
	if len(data) == 0 {
		return 0, starved
	}
	l := c.loop
	n, err := c.parser.Parse(data, l.limits(), &l.request.Request)
	switch {
	case err != nil:
		c.refuse(err, data)
		return len(data), starved
	case n == 0:
		return 0, starved
	case c.goesToHandler():
		if c.ending || !c.send() {
			return 0, heldUp
		}
		if c.lend(data, n); c.lease == nil {
			return len(data), starved // refused
		}
		return len(data), lentOut
	case l.request.HasBody():
		return c.begin(data, n)
	}
	l.request.Body, l.request.Trailers = nil, nil
	c.answer(&l.request, data[:n])
	return n, answered
}

// pending is a request whose content has not come whole.
type pending struct {
	request Request // its slices are views into head
	head    []byte
	decoder httpcodec.BodyDecoder
	parser  httpcodec.Parser
	// skip: it has been answered, and the rest of its content is thrown away. Of the fields above only decoder is in use.
	skip    bool
	skipped int
}

// begin takes the content of the request in l.request, whose head was data[:n].
func (c *conn) begin(data []byte, n int) (consumed int, what taken) {
	l := c.loop
	r := &l.request
	var decoder httpcodec.BodyDecoder
	if err := decoder.Reset(&r.Request, l.run.cfg.maxLoopBodyBytes); err != nil {
		c.refuse(err, data)
		return len(data), starved
	}
	body, m, err := l.collect(&decoder, data[n:])
	if err != nil {
		c.refuse(err, data)
		return len(data), starved
	}
	if decoder.Done() {
		r.Body, r.Trailers = body, decoder.Trailers()
		c.answer(r, data[:n])
		return n + m, answered
	}
	if r.ExpectContinue && m == 0 {
		l.out = httpcodec.AppendContinue(l.out)
	}
	p := &pending{head: bytes.Clone(data[:n]), decoder: decoder}
	// The head passed before; this time its views are into memory that stays.
	if _, err := p.parser.Parse(p.head, l.limits(), &p.request.Request); err != nil {
		c.refuse(err, data)
		return len(data), starved
	}
	p.request.Body = bytes.Clone(body)
	c.pending = p
	return n + m, starved
}

// collect decodes the content in src as far as it goes. Content in one piece is a view into src, other is in l.body.
func (l *loop) collect(decoder *httpcodec.BodyDecoder, src []byte) (body []byte, n int, err error) {
	for !decoder.Done() {
		data, m, err := decoder.Next(src[n:])
		if err != nil {
			return nil, n, err
		}
		if m == 0 {
			break
		}
		n += m
		switch {
		case len(data) == 0:
		case body == nil:
			body = data
		default:
			if len(body) > 0 && (len(l.body) == 0 || &body[0] != &l.body[0]) {
				l.body = append(l.body[:0], body...)
			}
			l.body = append(l.body, data...)
			body = l.body
		}
	}
	return body, n, nil
}

// receive takes more of the content of the pending request.
func (c *conn) receive(data []byte) (n int, what taken) {
	p := c.pending
	for !p.decoder.Done() {
		content, m, err := p.decoder.Next(data[n:])
		p.skipped += len(content)
		switch {
		case p.skip && (err != nil || p.skipped > maxDiscard):
			// It has its answer, so there is nothing to say but the end. The answer has promised that the connection goes on,
			// and a client that relies on it would lose its next request to a FIN, so this takes as much as after a last one.
			c.pending, c.closeAfter = nil, true
			return len(data), starved
		case err != nil:
			c.refuse(err, p.head)
			return len(data), starved
		case m == 0:
			return n, starved
		}
		n += m
		if !p.skip {
			p.request.Body = append(p.request.Body, content...)
		}
	}
	c.pending = nil
	if !p.skip {
		p.request.Trailers = p.decoder.Trailers()
		c.answer(&p.request, p.head)
	}
	return n, answered
}
