//go:build linux

package poller

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"rstserver/httpcodec"
	"rstserver/poller/internal/onloop"
)

// upgrade is a connection that another protocol has, on its loop. It implements [onloop.Conn]. It begins with a handler's Take, and ends
// when the connection does, or when the protocol has ended and HTTP's end of a connection follows.
type upgrade struct {
	c          *conn // immutable, as are the next three
	protocol   onloop.Protocol
	name, path string // of the protocol, and of the request that led to it

	// Owned by the loop.
	lasts   time.Duration // see Await
	chunked bool          // see Chunked; immutable once the protocol has been given the connection
	ending  bool          // End was called
	why     error         // for Protocol.Ended
	blocked bool          // the kernel has not taken all
	watched bool          // the watcher says when it takes more

	mu     sync.Mutex // guards what follows, and the connection's tlsLayer; held for system calls, so that the descriptor is not closed meanwhile
	over   bool       // there is no descriptor any more
	sealed bool       // the last output has been given
	corked bool       // output is collected
	held   bool       // as corked, and nothing of it is sent: the connection is not the protocol's yet, and an answer may have to go out before
	woken  bool       // see Wake
	queue  *outQueue  // what the kernel has not taken; nil: it has all
	room   roomWaits
}

// newUpgrade returns an upgrade of c, whose output is collected until it has been handed over.
func newUpgrade(c *conn, p onloop.Protocol, name, path string) *upgrade {
	return &upgrade{c: c, protocol: p, name: cmp.Or(name, "upgraded"), path: path, corked: true, held: true}
}

// streamName is the protocol of content that goes on: event-stream.
func streamName(header http.Header) string {
	_, name, _ := strings.Cut(header.Get("Content-Type"), "/")
	return name
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
	name := upgradeName(x.head)
	if status != http.StatusSwitchingProtocols {
		if err := w.goesOn(); err != nil {
			return err
		}
		w.last, name = true, streamName(header)
	}
	u := newUpgrade(x.conn, p, name, pathOf(x.head))
	u.chunked = status != http.StatusSwitchingProtocols && w.head.minorVersion > 0
	p.Taken(u) // before the client knows
	if !w.encoded || len(w.w.content) > 0 {
		if err := w.emit(nil, false); err != nil {
			u.close()
			return err
		}
	}
	if !x.giveBack(outcome{kind: taken, what: u}) {
		u.close()
		return w.whyNot()
	}
	w.closeBuffers()
	return nil
}

// goesOn is why content of the answer cannot go on for as long as it likes.
func (w *responseWriter) goesOn() error {
	switch {
	case w.head.encoded:
		return errEncoded
	case w.head.hasLength || w.method == http.MethodHead || !hasContent(w.status):
		return errNoContent
	}
	return nil
}

// hasContent reports whether an answer of that status can have content.
func hasContent(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusResetContent && status != http.StatusNotModified
}

// errEncoded is that the content would have to be compressed, or the like.
var errEncoded = errors.New("poller: the answer has a Content-Encoding, of something around the handler that has to leave it alone")

// errNoContent is that an answer ends with its head, or after a length.
var errNoContent = errors.New("poller: the answer has no content that could go on: it has a length, its request is HEAD, or its status has none")

var errUnread = fmt.Errorf("poller: the request's content has not been read to its end")

// loopOffer is the Offer of a request that the LoopHandler has.
type loopOffer struct{ w *Responder }

func init() {
	onloop.FromResponder = func(responder any) onloop.Offer {
		switch w, _ := responder.(*Responder); {
		case w == nil:
		case w.stream != nil:
			return h2LoopOffer{w}
		case w.conn != nil:
			return loopOffer{w}
		}
		return nil
	}
}

// Take implements onloop.Offer. The answer follows when the handler has returned.
func (o loopOffer) Take(status int, header http.Header, p onloop.Protocol) error {
	w := o.w
	switch {
	case w.upgrade != nil:
		return errNotLent
	case status == http.StatusSwitchingProtocols:
	case w.HasField("Content-Encoding"):
		return errEncoded
	case !hasContent(status) || w.response.Head:
		return errNoContent
	default:
		w.response.KeepAlive = false
	}
	w.response.Status = status
	for name, values := range header {
		for _, v := range values {
			w.response.Fields = append(w.response.Fields, httpcodec.HeaderField{Name: name, Value: v})
		}
	}
	request := &w.conn.loop.request
	name := strings.ToLower(string(request.Get("Upgrade")))
	if status != http.StatusSwitchingProtocols {
		if name = streamName(header); name == "" { // see Responder.ContentType
			_, name, _ = strings.Cut(w.response.ContentType, "/")
		}
	}
	w.upgrade = newUpgrade(w.conn, p, name, targetPath(string(request.RequestTarget)))
	w.upgrade.chunked = status != http.StatusSwitchingProtocols && w.response.MinorVersion > 0
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

// handOver gives the protocol in c.upgrade the connection, which is being served. rest has come behind the request; it is the protocol's.
func (c *conn) handOver(rest []byte) {
	u := c.upgrade
	c.in, c.pending, c.site, c.then = nil, nil, nil, keepAlive
	c.become(upgraded)
	if c.state != upgraded { // what is polled for could not be changed
		return
	}
	u.Want(true)
	u.protocol.Began()
	u.mu.Lock()
	woken := u.woken
	u.woken = false
	u.mu.Unlock()
	if woken { // before there was anything to wake
		u.protocol.Woken()
	}
	if len(rest) > 0 {
		u.protocol.Received(rest)
	}
	if c.tls.ended() {
		u.hangUp()
	}
	u.uncork()
	switch {
	case c.upgrade == nil || c.over():
	case c.loop.ending:
		c.tell()
	case c.leaves:
		c.partUpgrade()
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

// resume gives the protocol the turn that it has asked for, or goes on with output. On the loop.
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

// protocolLate tells the protocol that its time is over.
func (c *conn) protocolLate() {
	c.upgrade.cork()
	c.upgrade.protocol.Late()
	c.upgrade.uncork()
}

// tell asks the protocol to end the connection, in a drain.
func (c *conn) tell() { c.tellThat(c.loop.run.restarts()) }

// tellThat is tell. restart says that the client may come back at once.
func (c *conn) tellThat(restart bool) {
	u := c.upgrade
	c.become(told)
	c.countUnacked()
	u.cork()
	u.protocol.Turn(restart)
	u.uncork()
}

// toldLate ends a connection in a drain whose client acknowledges nothing: it has gone without a word. Others are waited for.
func (c *conn) toldLate() {
	if before := c.progress; c.leaves && !c.loop.run.draining() || before > 0 && c.countUnacked() >= before {
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

// Chunked implements onloop.Conn.
func (u *upgrade) Chunked() bool { return u.chunked }

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
	if u.chunked { // the client knows where the end is, and closes; a FIN of ours that crossed its own would leave TIME_WAIT
		c.then, c.inOrder = last, false
	}
	c.become(serving)
	c.finish()
	if c.state == parting {
		c.loop.setTimeout(c, c.loop.kindOf(chunkedLinger))
	}
}

// chunkedLinger takes the place of drainLinger where a client has waited for the end of its content, and for nothing else. After that, and when it has
// acknowledged all, it is reset, which takes nothing away from it.
const chunkedLinger = 200 * time.Millisecond

// end is the end of the upgrade, and reports whether all of its output was with the kernel. On the loop.
func (u *upgrade) end(err error) (sentAll bool) {
	sentAll, open := u.close()
	if open {
		if u.why != nil {
			err = u.why
		}
		u.protocol.Ended(err)
	}
	return sentAll
}

// close is end without a word to the protocol.
func (u *upgrade) close() (sentAll, open bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return true, false
	}
	u.over, u.sealed = true, true
	sentAll = u.queue == nil
	u.dropQueueLocked()
	u.tellRoomLocked()
	return sentAll, true
}
