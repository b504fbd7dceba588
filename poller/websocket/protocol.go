package websocket

import "rstserver/poller/internal/onloop"

// protocol is a Conn in the hands of its event loop.
type protocol Conn

var _ onloop.Protocol = (*protocol)(nil)

// ending is how a connection ends.
type ending struct {
	code    Status // for OnClose
	reason  string
	reply   Status // what the client is sent
	explain bool   // with the reason
}

// Taken implements onloop.Protocol.
func (p *protocol) Taken(conn onloop.Conn) { p.conn = conn }

// Began implements onloop.Protocol.
func (p *protocol) Began() {
	c := (*Conn)(p)
	switch {
	case c.options.OnOpen == nil:
	case c.options.OnLoop:
		c.conn.Call(func() { c.options.OnOpen(c) })
	default:
		c.push(item{what: callOpen}, true)
	}
	c.listen()
}

// Received implements onloop.Protocol.
func (p *protocol) Received(data []byte) {
	c := (*Conn)(p)
	switch {
	case c.stopped:
	case len(c.rest) > 0:
		c.rest = append(c.rest, data...)
	default:
		c.listen()
		c.consume(data)
		c.hold()
	}
}

// hold stops reading while something of what was read has to wait.
func (c *Conn) hold() {
	if len(c.rest) > 0 && c.options.OnLoop {
		c.conn.Want(false)
		c.conn.Wake() // the kernel may take all that waits at once
	}
}

// Woken implements onloop.Protocol: a worker is done, there may be room again, or a close frame was sent.
func (p *protocol) Woken() { (*Conn)(p).goOn() }

// Sent implements onloop.Protocol.
func (p *protocol) Sent() {
	if c := (*Conn)(p); len(c.rest) > 0 {
		c.goOn()
	}
}

// goOn does what has waited.
func (c *Conn) goOn() {
	if c.busy() || len(c.rest) > 0 && c.isFull() {
		return // and it comes back to this
	}
	if rest := c.rest; len(rest) > 0 {
		c.rest = nil
		c.consume(rest)
		c.hold()
	}
	if c.busy() || len(c.rest) > 0 {
		return
	}
	c.finish()
	if c.stopped {
		return
	}
	c.conn.Want(true)
	c.mu.Lock()
	sent := c.closeSent
	c.mu.Unlock()
	if sent && c.turn == 0 && c.await != closeReply {
		c.await = closeReply
		c.conn.Await(or(c.options.CloseTimeout, DefaultCloseTimeout))
	}
}

// listen starts the time of silence anew.
func (c *Conn) listen() {
	if c.await == closeReply {
		return
	}
	c.await = silence
	if d := or(c.options.PingInterval, DefaultPingInterval); d > 0 {
		c.conn.Await(d)
	}
}

// Late implements onloop.Protocol.
func (p *protocol) Late() {
	c := (*Conn)(p)
	switch {
	case c.await == closeReply:
		c.end(ending{code: Abnormal})
	case c.isDelivering():
		c.listen() // nothing is read meanwhile
	case c.await == pong:
		c.conn.Abort()
	default:
		_ = c.sendControl(opPing, nil, false)
		c.await = pong
		c.conn.Await(or(c.options.PongTimeout, DefaultPongTimeout))
	}
}

// Turn implements onloop.Protocol.
func (p *protocol) Turn(restart bool) {
	c := (*Conn)(p)
	switch {
	case c.options.DrainStatus != 0:
		c.turn = c.options.DrainStatus
	case restart:
		c.turn = ServiceRestart
	default:
		c.turn = GoingAway
	}
	c.finish()
}

// Weight implements onloop.Protocol.
func (p *protocol) Weight() int {
	n := cap(p.rest)
	if !p.options.OnLoop {
		n += (*Conn)(p).charged()
	}
	if p.partial != nil {
		n += cap(p.partial.content) + cap(p.partial.control)
	}
	if p.deflate != nil && p.deflate.in != nil {
		n += cap(p.deflate.in.plain)
	}
	return n
}

// Ended implements onloop.Protocol.
func (p *protocol) Ended(error) {
	c := (*Conn)(p)
	c.stopped, c.rest, c.partial = true, nil, nil
	c.tellClosed(Abnormal, "")
}

// end ends the connection when all that has come before was delivered.
func (c *Conn) end(e ending) {
	c.stopped, c.rest, c.partial, c.ending = true, nil, nil, &e
	c.finish()
}

// finish does what comes when all that has come was delivered.
func (c *Conn) finish() {
	if c.ending == nil && c.turn == 0 || c.ended || c.busy() {
		return
	}
	if c.ending == nil {
		c.sendClose(c.turn, drainReasons[c.turn])
		return
	}
	e := c.ending
	reason := ""
	if e.explain {
		reason = e.reason
	}
	c.sendClose(e.reply, reason)
	c.conn.End()
	c.tellClosed(e.code, e.reason)
}

// drainReasons are those of a drain's close frames.
var drainReasons = map[Status]string{GoingAway: "going away", ServiceRestart: "service restart"}

// tellClosed sees to it that OnClose is called, once, behind everything else, and leaves all groups.
func (c *Conn) tellClosed(code Status, reason string) {
	if c.ended {
		return
	}
	c.ended = true
	onloop.Leave((*member)(c))
	switch {
	case c.options.OnClose == nil:
	case c.options.OnLoop:
		c.conn.Call(func() { c.options.OnClose(c, code, reason) })
	default:
		c.push(item{what: callClose, code: code, reason: reason}, true)
	}
}
