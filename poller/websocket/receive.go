package websocket

import (
	"sync"
	"unicode/utf8"
)

// partial is what has come of a message, or of a frame, that has not come whole.
type partial struct {
	head    [maxHeader]byte // the beginning of a frame's header
	have    int
	inFrame bool
	frame   header // whose payload is coming
	left    int64  // bytes of it to come
	control []byte // what has come of a control frame's payload

	within     bool // a message has begun
	op         byte // of the message
	compressed bool
	size       int64 // bytes of payload that have come
	content    []byte
	text       utf8Check
}

var partials = sync.Pool{New: func() any { return new(partial) }}

func (c *Conn) partially() *partial {
	if c.partial == nil {
		c.partial = partials.Get().(*partial)
	}
	return c.partial
}

// settle gives the partial back if nothing is partial any more.
func (c *Conn) settle() {
	p := c.partial
	if p == nil || p.have > 0 || p.inFrame || p.within {
		return
	}
	*p = partial{control: p.control[:0]}
	c.partial = nil
	partials.Put(p)
}

// consume deals with what has come. What it cannot deal with yet it leaves in c.rest.
func (c *Conn) consume(data []byte) {
	for len(data) > 0 && !c.stopped {
		if c.isFull() {
			c.rest = append([]byte(nil), data...)
			return
		}
		var f *failure
		if p := c.partial; p != nil && p.inFrame {
			data, f = c.payload(data)
		} else {
			data, f = c.header(data)
		}
		if f != nil {
			c.fail(f)
			return
		}
	}
	c.settle()
}

// header reads a frame's header, and the frame where it has come whole. It returns what is behind.
func (c *Conn) header(data []byte) (rest []byte, f *failure) {
	p := c.partial
	within := p != nil && p.within
	if p == nil || p.have == 0 {
		h, n, f := parseHeader(data, within, c.deflate != nil)
		switch {
		case f != nil:
			return nil, f
		case n > 0:
			if f := c.checkLength(h); f != nil {
				return nil, f
			}
			return c.frame(h, data[n:])
		}
		p = c.partially()
	}
	// Byte by byte, as little is missing.
	for len(data) > 0 {
		p.head[p.have] = data[0]
		p.have++
		data = data[1:]
		h, n, f := parseHeader(p.head[:p.have], within, c.deflate != nil)
		switch {
		case f != nil:
			return nil, f
		case n > 0:
			p.have = 0
			if f := c.checkLength(h); f != nil {
				return nil, f
			}
			return c.frame(h, data)
		}
		if h.length > 0 {
			if f := c.checkLength(h); f != nil {
				return nil, f
			}
		}
	}
	return data, nil
}

// checkLength refuses what would make a message too long.
func (c *Conn) checkLength(h header) *failure {
	if h.op&8 != 0 {
		return nil
	}
	limit, size := c.options.readLimit(), int64(0)
	compressed := h.rsv1
	if p := c.partial; p != nil && p.within {
		size, compressed = p.size, p.compressed
	}
	if compressed {
		limit += limit>>8 + 64 // of what cannot be compressed
		if limit < 0 {
			limit = 1<<63 - 1
		}
	}
	if h.length > limit-size {
		return tooBig
	}
	return nil
}

var tooBig = &failure{MessageTooBig, "message too big"}

var notText = &failure{InvalidData, "text that is not UTF-8"}

// frame deals with a frame, whose payload is what data begins with, or part of it. It returns what is behind.
func (c *Conn) frame(h header, data []byte) (rest []byte, f *failure) {
	p := c.partial
	if whole := h.length <= int64(len(data)); whole && (p == nil || !p.within || h.op&8 != 0) {
		payload, rest := data[:h.length], data[h.length:]
		if h.op&8 != 0 {
			unmask(payload, h.key)
			return rest, c.control(h.op, payload)
		}
		if h.fin && !h.rsv1 {
			unmask(payload, h.key)
			if h.op == opText && !utf8.Valid(payload) {
				return nil, notText
			}
			c.deliver(Type(h.op), payload, true, false)
			return rest, nil
		}
	}
	p = c.partially()
	p.inFrame, p.frame, p.left = true, h, h.length
	if h.op == opText || h.op == opBinary {
		p.within, p.op, p.compressed, p.size = true, h.op, h.rsv1, 0
		p.content, p.text = nil, utf8Check{}
	}
	return c.payload(data)
}

// payload takes what has come of the payload of a frame. It returns what is behind.
func (c *Conn) payload(data []byte) (rest []byte, f *failure) {
	p := c.partial
	n := min(p.left, int64(len(data)))
	piece, rest := data[:n], data[n:]
	p.left -= n
	p.frame.key = unmask(piece, p.frame.key)
	p.inFrame = p.left > 0
	if p.frame.op&8 != 0 {
		p.control = append(p.control, piece...)
		if p.inFrame {
			return rest, nil
		}
		payload := p.control
		p.control = p.control[:0]
		return rest, c.control(p.frame.op, payload)
	}
	p.size += n
	last := p.frame.fin && !p.inFrame
	switch {
	case p.compressed:
		p.content = append(p.content, piece...)
		if last {
			content := p.content
			p.within, p.content = false, nil
			return rest, c.inflate(p.op, content)
		}
		return rest, nil
	case p.op == opText && (!p.text.add(piece) || last && !p.text.whole()):
		return nil, notText
	case c.options.OnFragment != nil:
		p.within = !last
		if len(piece) > 0 || last {
			c.deliver(Type(p.op), piece, last, false)
		}
		return rest, nil
	}
	p.content = append(p.content, piece...)
	if last {
		content := p.content
		p.within, p.content = false, nil
		c.deliver(Type(p.op), content, true, true)
	}
	return rest, nil
}

// inflate delivers a message that was compressed.
func (c *Conn) inflate(op byte, content []byte) *failure {
	plain, f := c.deflate.inflate(content, c.options.readLimit())
	switch {
	case f != nil:
		return f
	case op == opText && !utf8.Valid(plain):
		return notText
	}
	c.deliver(Type(op), plain, true, true)
	return nil
}

// control deals with a control frame (RFC 6455, section 5.5).
func (c *Conn) control(op byte, payload []byte) *failure {
	switch op {
	case opPing:
		_ = c.sendControl(opPong, payload, false) // one that is not taken for others before it is left out: a later one answers for both
	case opClose:
		return c.closed(payload)
	}
	return nil
}

// closed deals with the client's close frame.
func (c *Conn) closed(payload []byte) *failure {
	code, reason := NoStatus, ""
	if len(payload) > 0 {
		if len(payload) == 1 {
			return malformed("close frame with half a status code")
		}
		code, reason = Status(payload[0])<<8|Status(payload[1]), string(payload[2:])
		switch {
		case !code.sendable():
			return malformed("status code that cannot be sent")
		case !utf8.ValidString(reason):
			return &failure{InvalidData, "reason that is not UTF-8"}
		}
	}
	c.end(ending{code: code, reason: reason, reply: code})
	return nil
}

// fail ends a connection whose client has broken the protocol, or a bound.
func (c *Conn) fail(f *failure) {
	c.end(ending{code: f.code, reason: f.reason, reply: f.code, explain: true})
}
