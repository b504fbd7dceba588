//go:build linux

package poller

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"rstserver/httpcodec"
	"rstserver/poller/internal/onloop"
)

// upgrade is a connection that another protocol has, on its loop. It implements [onloop.Conn]. It begins with a handler's Take, and ends
// when the connection does, or when the protocol has ended and HTTP's end of a connection follows.
type upgrade struct {
	c        *conn // immutable, as is the next
	protocol onloop.Protocol

	// Owned by the loop.
	lasts   time.Duration // see Await
	ending  bool          // End was called
	why     error         // for Protocol.Ended
	blocked bool          // the kernel has not taken all
	watched bool          // the watcher says when it takes more

	mu     sync.Mutex // guards what follows, and the connection's tlsLayer; held for system calls, so that the descriptor is not closed meanwhile
	over   bool       // there is no descriptor any more
	sealed bool       // the last output has been given
	corked bool       // output is collected
	woken  bool       // see Wake
	queue  *outQueue  // what the kernel has not taken; nil: it has all
	room   []roomWait
}

// newUpgrade returns an upgrade of c, whose output is collected until it has been handed over.
func newUpgrade(c *conn, p onloop.Protocol) *upgrade {
	return &upgrade{c: c, protocol: p, corked: true}
}

// Take implements onloop.Offer for Handler.
func (x *exchange) Take(status int, header http.Header, p onloop.Protocol) error {
	err := x.writer.take(status, header, p)
	if err == nil {
		x.writer.report()
	}
	return err
}

func (w *responseWriter) take(status int, header http.Header, p onloop.Protocol) error {
	w.mu.Lock()
	defer w.unlock()
	x := w.x
	switch why := w.whyNot(); {
	case why != nil:
		return why
	case x.body.rest.Load() != 0:
		return errUnread
	case w.status == 0:
		if w.header == nil {
			w.header = make(http.Header)
		}
		for name, values := range header {
			w.header[name] = values
		}
		w.writeHeader(status)
	}
	if w.status != status {
		return fmt.Errorf("poller: the handler has answered with %d already", w.status)
	}
	if !w.encoded || len(w.w.content) > 0 {
		if err := w.emit(nil, false); err != nil {
			return err
		}
	}
	u := newUpgrade(x.conn, p)
	p.Taken(u)
	if !x.giveBack(outcome{kind: taken, what: u}) {
		return w.whyNot()
	}
	w.closeBuffers()
	return nil
}

var errUnread = fmt.Errorf("poller: the request's content has not been read to its end")

// loopOffer is the Offer of a request that the LoopHandler has.
type loopOffer struct{ w *Responder }

func init() {
	onloop.FromResponder = func(responder any) onloop.Offer {
		if w, ok := responder.(*Responder); ok && w.conn != nil {
			return loopOffer{w}
		}
		return nil
	}
}

// Take implements onloop.Offer. The answer follows when the handler has returned.
func (o loopOffer) Take(status int, header http.Header, p onloop.Protocol) error {
	w := o.w
	if w.upgrade != nil {
		return errNotLent
	}
	w.response.Status = status
	for name, values := range header {
		for _, v := range values {
			w.response.Fields = append(w.response.Fields, httpcodec.HeaderField{Name: name, Value: v})
		}
	}
	w.upgrade = newUpgrade(w.conn, p)
	p.Taken(w.upgrade)
	return nil
}

// dropUpgrade is what becomes of a Take when the answer cannot be sent.
func (w *Responder) dropUpgrade() {
	if u := w.upgrade; u != nil {
		w.upgrade = nil
		u.end(errNotLent)
	}
}

// handOver has the protocol in c.upgrade have the connection, which is being served. rest has come behind the request; it is the protocol's.
func (c *conn) handOver(rest []byte) {
	u := c.upgrade
	c.in, c.pending, c.site, c.then = nil, nil, nil, keepAlive
	c.become(upgraded)
	if c.state != upgraded { // what is polled for could not be changed
		return
	}
	u.Want(true)
	u.protocol.Began()
	if len(rest) > 0 {
		u.protocol.Received(rest)
	}
	if c.tls.ended() {
		u.hangUp()
	}
	u.uncork()
	if c.loop.ending && c.upgrade != nil && !c.over() {
		c.tell()
	}
}

// receiveUpgraded gives the protocol what has come.
func (c *conn) receiveUpgraded(data []byte) {
	u := c.upgrade
	u.cork()
	if c.tls != nil {
		l := c.loop
		u.mu.Lock()
		l.plain = c.tls.open(l.plain[:0], data)
		u.mu.Unlock()
		data = l.plain
		if cap(l.plain) > keepCapacity {
			l.plain = nil
		}
	}
	if len(data) > 0 {
		u.protocol.Received(data)
	}
	if c.tls.ended() {
		u.hangUp()
	}
	u.uncork()
}

// hangUp is what follows the end of TLS: nothing will come, as after FIN.
func (u *upgrade) hangUp() {
	if !u.ending {
		u.ending, u.why = true, errConnGone
	}
}

// resume has the protocol's turn come that it has asked for, or goes on with output. On the loop.
func (u *upgrade) resume() {
	c := u.c
	if c.upgrade != u || c.over() || c.loop.run.closing() {
		return
	}
	c.loop.clock.tick()
	u.watched = false
	u.mu.Lock()
	woken := u.woken
	u.woken, u.corked = false, true
	u.mu.Unlock()
	if woken {
		u.protocol.Woken()
	}
	u.uncork()
	c.settle()
}

// protocolLate has the protocol know that its time is over.
func (c *conn) protocolLate() {
	c.upgrade.cork()
	c.upgrade.protocol.Late()
	c.upgrade.uncork()
}

// tell has the protocol bring the connection to an end.
func (c *conn) tell() {
	u := c.upgrade
	c.become(told)
	c.countUnacked()
	u.cork()
	u.protocol.Turn(c.loop.run.restarts())
	u.uncork()
}

// toldLate ends a connection in a drain whose client acknowledges nothing: it has gone without a word. Others are waited for.
func (c *conn) toldLate() {
	if before := c.progress; before > 0 && c.countUnacked() >= before {
		c.abort()
		return
	}
	c.countUnacked()
	c.loop.setTimeout(c, writeTimeout)
}

// Await implements onloop.Conn.
func (u *upgrade) Await(d time.Duration) {
	u.lasts = d
	u.await()
}

func (u *upgrade) await() {
	switch l := u.c.loop; {
	case u.c.state != upgraded:
	case u.lasts > 0:
		l.setTimeout(u.c, l.kindOf(u.lasts))
	default:
		l.setTimeout(u.c, noTimeout)
	}
}

// Want implements onloop.Conn.
func (u *upgrade) Want(input bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return
	}
	if err := u.c.sock.Want(input); err != nil {
		_, _ = u.c.loop.run.table.Abort(u.c.sock.FD) // the loop finds out
	}
}

// Wake implements onloop.Conn.
func (u *upgrade) Wake() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.over && !u.woken {
		u.woken = true
		u.c.loop.turn(u.c)
	}
}

// Go implements onloop.Conn.
func (u *upgrade) Go(f func()) {
	u.c.loop.run.pool.submit(task(func() { u.Call(f) }))
}

// Call implements onloop.Conn.
func (u *upgrade) Call(f func()) {
	returned := false
	defer func() {
		if !returned {
			u.Abort()
		}
	}()
	returned = u.c.loop.call(u.c.id, "handler", f)
}

// End implements onloop.Conn.
func (u *upgrade) End() { u.ending = true }

// Abort implements onloop.Conn.
func (u *upgrade) Abort() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.over {
		// A refusal has armed the connection, so that closing it has the same effect. The loop finds out.
		_, _ = u.c.loop.run.table.Abort(u.c.sock.FD)
	}
}

// Loop implements onloop.Conn.
func (u *upgrade) Loop() onloop.Loop { return u.c.loop }

// Remote implements onloop.Conn.
func (u *upgrade) Remote() netip.AddrPort { return u.c.sock.RemoteAddr() }

// leave has HTTP's end of a connection follow, as the protocol has ended, and all of its output is with the kernel.
func (u *upgrade) leave() {
	c := u.c
	u.end(u.why)
	c.upgrade = nil
	c.then, c.inOrder = lastToEnd, c.loop.run.draining()
	c.become(serving)
	c.finish()
}

// end is the end of the upgrade, and reports whether all of its output was with the kernel. On the loop.
func (u *upgrade) end(err error) (sentAll bool) {
	u.mu.Lock()
	if u.over {
		u.mu.Unlock()
		return true
	}
	u.over, u.sealed = true, true
	sentAll = u.queue == nil
	u.dropQueueLocked()
	u.tellRoomLocked()
	u.mu.Unlock()
	if u.why != nil {
		err = u.why
	}
	u.protocol.Ended(err)
	return sentAll
}
