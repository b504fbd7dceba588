//go:build linux

package poller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"rstserver/poller/internal/onloop"
)

// h2Upgrade is a stream whose content a protocol goes on with. It implements [onloop.Conn]. What is the loop elsewhere is the goroutine that net/http
// has for the stream. It begins with a handler's Take, and follows when the handler has returned.
type h2Upgrade struct {
	w        *h2Writer // immutable, as are the next three
	req      *http.Request
	protocol onloop.Protocol
	look     chan struct{} // capacity 1; an element says to look again

	// Owned by the goroutine.
	timer  *time.Timer // see Await
	ending bool        // End was called

	mu      sync.Mutex // guards what follows
	over    bool       // nothing is sent any more
	sealed  bool       // the last output has been given
	woken   bool       // see Wake
	aborted bool       // see Abort
	queue   *outQueue  // what the goroutine has not begun to write; nil: nothing
	writing int        // bytes that it has
	room    roomWaits
}

// errNoUpgrade is that HTTP/2 has no 101 (RFC 9113, section 8.6).
var errNoUpgrade = errors.New("poller: HTTP/2 has no 101 (Switching Protocols)")

// Take implements onloop.Offer for Handler.
func (w *h2Writer) Take(status int, header http.Header, p onloop.Protocol) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	own := w.Header()
	for name, values := range header {
		own[name] = values
	}
	switch {
	case w.late != nil:
		return w.late
	case status < 200:
		return errNoUpgrade
	case w.status != 0 && w.status != status:
		return fmt.Errorf("poller: the handler has answered with %d already", w.status)
	case own.Get("Content-Encoding") != "":
		return errEncoded
	case own.Get("Content-Length") != "" || w.req.Method == http.MethodHead || !hasContent(status):
		return errNoContent
	}
	u := &h2Upgrade{w: w, req: w.req, protocol: p, look: make(chan struct{}, 1)}
	p.Taken(u)
	if w.status == 0 {
		w.writeHeaderLocked(status)
	}
	w.upgrade, w.late = u, errNotLent
	return nil
}

// h2LoopOffer is the Offer of a stream that the LoopHandler has.
type h2LoopOffer struct{ w *Responder }

// Take implements onloop.Offer.
func (o h2LoopOffer) Take(status int, header http.Header, p onloop.Protocol) error {
	h := make(http.Header)
	for _, f := range o.w.response.Fields {
		h.Add(f.Name, f.Value)
	}
	if t := o.w.response.ContentType; t != "" {
		h.Set("Content-Type", t)
	}
	for name, values := range header {
		h[name] = values
	}
	return o.w.stream.Take(status, h, p)
}

// follow gives the protocol the stream, if it was taken, and returns at its end. The handler has returned.
func (w *h2Writer) follow(began time.Time) {
	w.mu.Lock()
	u := w.upgrade
	w.mu.Unlock()
	if u == nil {
		return
	}
	w.report(u.req, began) // what follows takes as long as it likes
	w.runAfter()
	err := u.serve()
	u.end(err)
	u.mu.Lock()
	aborted := u.aborted
	u.mu.Unlock()
	if aborted || err != nil {
		panic(http.ErrAbortHandler) // the client must not take it for whole
	}
}

// dropTaken is what becomes of a Take whose handler does not return.
func (w *h2Writer) dropTaken() {
	w.mu.Lock()
	u := w.upgrade
	w.mu.Unlock()
	if u != nil {
		u.end(errNotLent)
	}
}

// serve is the protocol's time. The error is why it has ended, where that is not End.
func (u *h2Upgrade) serve() error {
	u.timer = time.NewTimer(time.Hour)
	defer u.timer.Stop()
	u.Await(0)
	gone := u.req.Context().Done()
	turn := h2Turn{u.w.run, u.w.conn.ID}.Turn().Done()
	u.protocol.Began()
	for {
		if err := u.flush(); err != nil {
			return err
		}
		u.mu.Lock()
		woken, idle := u.woken, u.queue == nil
		u.woken = false
		u.mu.Unlock()
		switch {
		case woken:
			u.protocol.Woken()
			continue
		case u.ending && idle:
			return nil
		}
		select {
		case <-u.look:
		case <-u.timer.C:
			u.protocol.Late()
		case <-turn:
			turn = nil
			u.protocol.Turn(u.w.run.restarts())
		case <-gone:
			return context.Cause(u.req.Context())
		}
	}
}

// flush writes what waits, and returns when net/http has sent it, as the client allows.
func (u *h2Upgrade) flush() error {
	for {
		u.mu.Lock()
		if u.aborted { // what waits is dropped in the end
			u.mu.Unlock()
			return errConnGone
		}
		q := u.queue
		if q != nil {
			u.queue, u.writing = nil, q.bytes
		}
		u.mu.Unlock()
		var err error
		if q != nil {
			err = u.w.put(q.pieces)
		}
		if err == nil {
			err = u.w.flush()
		}
		if q == nil {
			return err
		}
		u.mu.Lock()
		u.writing = 0
		u.dropLocked(q, err == nil)
		u.tellRoomLocked()
		u.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// put writes what a protocol sends. Each piece has to be taken in time.
func (w *h2Writer) put(pieces [][]byte) error {
	for _, p := range pieces {
		over := w.inTime()
		n, err := w.out.Write(p)
		over()
		w.mu.Lock()
		w.bytes += int64(n)
		w.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *h2Writer) flush() error {
	defer w.inTime()()
	return w.control().Flush()
}

// dropLocked is the end of a queue. What is not sent of it counts, for the Report, if the server is letting go.
func (u *h2Upgrade) dropLocked(q *outQueue, sent bool) {
	r := u.w.run
	if len(q.ends) > 0 && (sent || !r.lettingGo()) {
		r.unsent.Add(int64(-len(q.ends)))
	}
	r.memory.add(int64(-q.weight()))
	q.release()
}

// end tells the protocol that it is over, once.
func (u *h2Upgrade) end(err error) {
	u.mu.Lock()
	if u.over {
		u.mu.Unlock()
		return
	}
	u.over, u.sealed = true, true
	if q := u.queue; q != nil {
		u.queue = nil
		u.dropLocked(q, false)
	}
	u.tellRoomLocked()
	u.mu.Unlock()
	u.protocol.Ended(err)
}

// lookAgain wakes the goroutine, to look at what has changed.
func (u *h2Upgrade) lookAgain() {
	select {
	case u.look <- struct{}{}:
	default:
	}
}

// Send implements onloop.Conn.
func (u *h2Upgrade) Send(o onloop.Output) (waits bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	queued := u.queuedLocked()
	switch {
	case u.sealed:
		return false, onloop.ErrOver
	case o.Bound > 0 && queued >= o.Bound:
		return true, onloop.ErrFull
	}
	u.sealed = o.Last
	if len(o.Head)+len(o.Body) == 0 {
		return queued > 0, nil
	}
	q := u.queue
	if q == nil {
		q = outQueues.Get().(*outQueue)
		u.w.run.memory.add(int64(q.weight()))
		u.queue = q
	}
	before := q.weight()
	q.add(o, 0, u.w.run.memory)
	u.w.run.memory.add(int64(q.weight() - before))
	if o.Message {
		u.w.run.unsent.Add(1)
	}
	u.lookAgain()
	return queued > 0, nil
}

// Queued implements onloop.Conn.
func (u *h2Upgrade) Queued() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.queuedLocked()
}

func (u *h2Upgrade) queuedLocked() int {
	n := u.writing
	if u.queue != nil {
		n += u.queue.bytes
	}
	return n
}

// Room implements onloop.Conn.
func (u *h2Upgrade) Room(bound int) <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	ready := u.room.add(bound)
	u.tellRoomLocked()
	return ready
}

func (u *h2Upgrade) tellRoomLocked() { u.room.tell(u.queuedLocked(), u.sealed) }

// Wake implements onloop.Conn.
func (u *h2Upgrade) Wake() {
	u.mu.Lock()
	u.woken = true
	u.mu.Unlock()
	u.lookAgain()
}

// Go implements onloop.Conn.
func (u *h2Upgrade) Go(f func()) { u.w.run.pool.submit(task(func() { u.Call(f) })) }

// Call implements onloop.Conn.
func (u *h2Upgrade) Call(f func()) {
	returned := false
	defer func() {
		if !returned {
			u.Abort()
		}
	}()
	returned = guard(u.w.run.cfg.log, u.w.conn.ID, "handler", f)
}

// Want implements onloop.Conn. Nothing is read.
func (u *h2Upgrade) Want(bool) {}

// Await implements onloop.Conn.
func (u *h2Upgrade) Await(d time.Duration) {
	if u.timer.Stop(); d > 0 {
		u.timer.Reset(d)
	}
}

// End implements onloop.Conn.
func (u *h2Upgrade) End() { u.ending = true }

// Abort implements onloop.Conn: it ends the stream with RST_STREAM.
func (u *h2Upgrade) Abort() {
	u.mu.Lock()
	over := u.over
	u.aborted, u.sealed = true, true
	u.mu.Unlock()
	if !over {
		u.w.overdue(u.w.control().SetWriteDeadline) // of a write that waits for its client
		u.lookAgain()
	}
}

// Chunked implements onloop.Conn.
func (u *h2Upgrade) Chunked() bool { return false }

// Loop implements onloop.Conn.
func (u *h2Upgrade) Loop() onloop.Loop { return &u.w.run.h2.rounds }

// Remote implements onloop.Conn.
func (u *h2Upgrade) Remote() netip.AddrPort { return u.w.conn.Remote }

// h2Rounds takes the place of a loop for what is sent to many streams, each of which has a goroutine of its own to write. Any goroutine may call its
// method.
type h2Rounds struct {
	mu   sync.Mutex // guards what follows
	work []onloop.Work
}

// Rounds implements onloop.Loop.
func (l *h2Rounds) Rounds(w onloop.Work) {
	l.mu.Lock()
	l.work = append(l.work, w)
	if len(l.work) == 1 {
		go l.do(w)
	}
	l.mu.Unlock()
}

// do does w, and all that comes after it.
func (l *h2Rounds) do(w onloop.Work) {
	for {
		for w.Step() {
		}
		l.mu.Lock()
		if l.work = l.work[1:]; len(l.work) == 0 {
			l.work = nil
			l.mu.Unlock()
			return
		}
		w = l.work[0]
		l.mu.Unlock()
	}
}
