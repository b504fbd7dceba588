//go:build linux

package poller

import (
	"bytes"
	"sync"

	"rstserver/httpcodec"
)

// flushAt is how many bytes of answers a batch of pipelined requests collects before they are sent in between.
const flushAt = 64 << 10

// receivePlain serves what has come, which is behind TLS, if there is that.
func (c *conn) receivePlain(data []byte) {
	switch {
	case c.isToGreet(): // in a drain
		c.become(greeting)
		c.greet(data)
		return
	case c.tls == nil:
		c.serve(data)
		return
	}
	l := c.loop
	l.plain = c.tls.open(l.plain[:0], data)
	c.serve(l.plain)
	if cap(l.plain) > keepCapacity {
		l.plain = nil
	}
}

// serve answers the requests in data, which may be c.in.
func (c *conn) serve(data []byte) {
	if len(c.in) > 0 {
		c.in = append(c.in, data...)
		data = c.in
	}
	from := c.state
	c.become(serving)
	c.loop.out = c.loop.out[:0]
	c.proceed(data, from)
}

// proceed answers the requests in data, which may be c.in, keeps what is left of it, and has the connection, which is being
// served and was in state from, enter another state. The answers leave in one write for each flushAt of them. It takes up to
// one request whose answers the client does not read, or that it lends to the http.Handler: from there on the rest waits.
func (c *conn) proceed(data []byte, from state) {
	l := c.loop
	served := from == lent || from == handling || from == sending
	for more := true; more && c.then == keepAlive; {
		var n int
		n, more = c.takeRequest(data)
		data = data[n:]
		served = served || more
		if c.state == serving && (!more || c.then != keepAlive || c.source != nil || len(l.out) >= flushAt) {
			c.send()
		}
		if c.state != serving {
			break
		}
	}
	switch {
	case c.over() || c.state == lent:
		return
	case c.state == serving && c.then == taken:
		c.handOver(bytes.Clone(data))
		return
	case c.state == serving && c.then != keepAlive:
		c.finish()
		return
	}
	if c.then != keepAlive && c.then != taken {
		data = nil
	}
	c.keep(data)
	if c.state == serving {
		c.await(from, served)
	}
}

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

// await puts the connection into the state in which it waits for what comes next. served says that requests were answered since it last did.
func (c *conn) await(from state, served bool) {
	switch {
	case c.tls.ended():
		c.finish() // as by a FIN, but what there was to say was said
	case c.pending != nil && c.pending.skip:
		c.become(skipping)
	case c.pending != nil:
		c.become(content)
	case c.begun() && served:
		c.become(head)
	case c.begun():
		c.pass(head) // further bytes of one head do not win it more time
	case c.loop.run.closing():
		c.become(idle) // for the sweep, which comes to it, and counts it
	case c.loop.ending && from == fresh && c.loop.timeForFirst() > 0:
		c.awaitTurn(c.loop.timeForFirst()) // it has only just made its handshake
	case c.loop.ending:
		c.rest()
	case !served:
		c.pass(from)
	case c.leaves, c.loop.run.server.noReuse.Load():
		c.close() // its last answer did not say so
	case from == lent || from == handling:
		c.become(quiet)
	default:
		c.become(idle)
	}
}

// begun reports whether part of a request's head has come, or part of the record that it may be in. Some clients send an empty line behind a
// request's content, which is not the beginning of another (RFC 9112, section 2.2).
func (c *conn) begun() bool {
	return c.tls.cut() || len(c.in) > 2 || len(c.in) > 0 && !bytes.HasPrefix([]byte("\r\n"), c.in)
}

// isHead reports whether a request that may not have been understood has the method HEAD. data begins with it.
func isHead(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimPrefix(data, []byte("\r\n")), []byte("HEAD "))
}

// takeRequest answers the first request in data, where it is complete, or lends it. n bytes are consumed. answered says that it is
// worth looking at what is behind them.
func (c *conn) takeRequest(data []byte) (n int, answered bool) {
	if c.pending != nil {
		return c.receive(data)
	}
	if len(data) == 0 {
		return 0, false
	}
	if is, may := c.mayBeH2(data); is {
		c.turnToH2(data)
		return len(data), false
	} else if may {
		return 0, false
	}
	l := c.loop
	if c.padded && len(data) > 2 && bytes.HasPrefix([]byte("\r\n\r\n"), data[:min(len(data), 4)]) {
		if len(data) < 4 {
			return 0, false
		}
		// Some old clients send more than the one that the parser passes over, and net/http puts up with it.
		c.parser.Reset()
		c.padded = false
		n, answered = c.takeRequest(data[2:])
		return n + 2, answered
	}
	n, err := c.parser.Parse(data, l.limits(), &l.request.Request)
	if n > 0 {
		c.requests++
	}
	c.padded = n > 0 && l.request.HasBody() || n == 0 && c.padded
	switch {
	case err != nil:
		c.refuse(err, data)
		return 0, false
	case n == 0 && len(data) > largeRequest && l.run.memory.isShort():
		c.refuseShort(data)
		return 0, false
	case n == 0:
		return 0, false
	case c.goesToHandler():
		if c.over() || !c.send() {
			return 0, false // it waits until the answers before it are sent
		}
		c.lend(data, n)
		return len(data), false
	case l.request.HasBody():
		return c.begin(data, n)
	}
	l.request.Body, l.request.Trailers = nil, nil
	c.answer(&l.request, data[:n])
	return n, true
}

// pending is a request whose content has not come whole.
type pending struct {
	request  Request // its slices are views into head
	head     []byte
	content  *[]byte // from contents; what has come of it is request.Body
	decoder  httpcodec.BodyDecoder
	patience patience
	// skip: it has been answered, and the rest of its content is thrown away. Of the fields above only decoder and patience are in use.
	skip    bool
	skipped int
	large   bool // more than largeRequest has been let in
}

// begin takes the content of the request in l.request, whose head was data[:n].
func (c *conn) begin(data []byte, n int) (consumed int, answered bool) {
	l := c.loop
	r := &l.request
	most, none := c.allowance()
	if c.over() {
		return 0, false
	}
	var decoder httpcodec.BodyDecoder
	if err := decoder.Reset(&r.Request, most); err != nil {
		c.refuse(err, data)
		return 0, false
	}
	if none {
		return c.answerAhead(data, n, &decoder)
	}
	body, m, err := l.collect(&decoder, data[n:])
	if err != nil {
		c.refuse(err, data)
		return 0, false
	}
	if decoder.Done() {
		r.Body, r.Trailers = body, decoder.Trailers()
		c.answer(r, data[:n])
		return n + m, true
	}
	p := &pending{head: bytes.Clone(data[:n]), decoder: decoder, content: contents.Get().(*[]byte), patience: l.newPatience()}
	p.request.Request, r.Request = r.Request, httpcodec.Request{}
	p.request.Move(data[:n], p.head)
	p.request.Body = (*p.content)[:0]
	if !c.take(p, body) {
		return 0, false
	}
	if p.request.ExpectContinue && m == 0 {
		l.out = httpcodec.AppendContinue(l.out)
	}
	c.pending = p
	return n + m, false
}

// allowance is that of the request in l.request. Where the user's function panics the connection is over.
func (c *conn) allowance() (most int64, none bool) {
	most, none, ok := c.loop.run.allowance(c.id, &c.loop.request.Request)
	if !ok {
		c.abort()
	}
	return most, none
}

// allowance is how many bytes of content a request to the LoopHandler may have, 0 for any number, and whether they are not for the handler. ok
// is false where the user's function panics.
func (r *run) allowance(conn uint64, head *httpcodec.Request) (most int64, none, ok bool) {
	cfg := &r.cfg
	if cfg.loopContent == nil {
		return cfg.maxLoopBodyBytes, false, true
	}
	ok = guard(cfg.log, conn, "LoopContent", func() { most = cfg.loopContent(head) })
	switch {
	case most == 0:
		return cfg.maxBodyBytes, true, ok
	case most < 0, cfg.maxBodyBytes > 0 && most > cfg.maxBodyBytes:
		return cfg.maxBodyBytes, false, ok
	}
	return most, false, ok
}

// answerAhead answers the request in l.request, whose head was data[:n], without its content, which is thrown away.
func (c *conn) answerAhead(data []byte, n int, decoder *httpcodec.BodyDecoder) (consumed int, answered bool) {
	r := &c.loop.request
	r.Body, r.Trailers = nil, nil
	came := n
	for !decoder.Done() {
		_, m, err := decoder.Next(data[came:])
		if err != nil {
			c.refuse(err, data)
			return 0, false
		}
		if m == 0 {
			break
		}
		came += m
	}
	if !decoder.Done() && (r.Chunked || r.ContentLength > maxSkip || r.ExpectContinue && came == n) {
		r.KeepAlive = false // as nobody knows how much is to come, or whether
	}
	c.answer(r, data[:n])
	if !decoder.Done() {
		c.pending = &pending{skip: true, decoder: *decoder, patience: c.loop.newPatience()}
		c.until = c.loop.clock.now + lingerLimit
	}
	return came, true
}

// take appends content to that of the pending request, and reports whether there was room for it. If not, the request has been refused.
func (c *conn) take(p *pending, content []byte) bool {
	had, most := len(p.request.Body), p.request.ContentLength
	if n := max(int64(had+len(content)), most); !p.large && n > largeRequest {
		if c.loop.run.memory.isShort() {
			c.refuseShort(p.head)
			return false
		}
		p.large = true
	}
	if room := cap(p.request.Body); had+len(content) > room {
		// Grown by append it could be far larger than all that will come.
		room = max(2*room, had+len(content))
		if most > 0 {
			room = min(room, int(most))
		}
		p.request.Body = append(make([]byte, 0, room), p.request.Body...)
	}
	p.request.Body = append(p.request.Body, content...)
	return true
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
func (c *conn) receive(data []byte) (n int, answered bool) {
	p := c.pending
	if len(data) > 0 {
		p.patience.moved(c.loop.clock.now, int64(len(data)), c.loop.run.cfg.minBodyRate)
	}
	for !p.decoder.Done() {
		content, m, err := p.decoder.Next(data[n:])
		p.skipped += len(content)
		switch {
		case p.skip && (err != nil || p.skipped > maxDiscard || c.loop.clock.now > c.until):
			// It has its answer, so there is nothing to say but the end. The answer has promised that the connection goes on,
			// and a client that relies on it would lose its next request to a FIN, so this takes as much as after a last one.
			c.pending, c.then = nil, last
			return len(data), false
		case err != nil:
			c.refuse(err, p.head)
			return 0, false
		case m == 0 && !p.skip && p.patience.isSlow(c.loop.clock.now, c.loop.run.cfg.minBodyRate):
			c.refuse(errRequestTimeout, p.head)
			return 0, false
		case m == 0:
			return n, false
		}
		n += m
		if !p.skip && !c.take(p, content) {
			return 0, false
		}
	}
	c.pending = nil
	if !p.skip {
		p.request.Trailers = p.decoder.Trailers()
		c.answer(&p.request, p.head)
		if *p.content = p.request.Body; cap(*p.content) <= largeRequest {
			contents.Put(p.content)
		}
	}
	return n, true
}

// contents holds buffers for contents that do not come whole, which would be garbage as soon as they are answered.
var contents = sync.Pool{New: func() any { return new([]byte) }}

// headLate ends a connection that has not sent a request's head in time.
func (c *conn) headLate() {
	if c.begun() {
		c.requestLate()
	} else {
		c.close()
	}
}

// requestLate answers a request that did not come to its end in time.
func (c *conn) requestLate() {
	request := c.in
	if c.pending != nil {
		request = c.pending.head
	}
	c.refuseLast(errRequestTimeout, request)
}

// stopSkipping ends a connection whose request has its answer, and does not come to its end.
func (c *conn) stopSkipping() {
	c.become(serving)
	c.finish()
}
