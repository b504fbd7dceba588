//go:build linux

package poller

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"rstserver/httpcodec"
)

// errRequestTimeout answers a request that did not come to its end in time (RFC 9110, section 15.5.9).
var errRequestTimeout = &httpcodec.Error{Status: 408, Reason: "request did not arrive in time"}

// answer calls the handler for r, whose head is given, and appends the answer to l.out.
func (c *conn) answer(r *Request, head []byte) {
	l := c.loop
	w := &l.respond
	w.reset(l.run.cfg.maxOutputBytes)
	r.conn, w.conn = c, c
	w.response.MinorVersion = r.MinorVersion
	w.response.Head = string(r.Method) == "HEAD"
	w.response.KeepAlive = r.KeepAlive
	// Not the connection's activity in the table: two loops whose slots lie side by side would slow each other down.
	l.handling.Store(int64(c.sock.FD))
	if !l.call(c.id, "handler", func() { l.run.cfg.loopHandler.ServeLoop(w, r) }) {
		l.call(c.id, "content's Close", w.dropSource)
		w.dropUpgrade()
		// The answers before it are complete.
		if len(l.out) > 0 {
			c.send()
		}
		c.abort()
		return
	}
	w.response.KeepAlive = w.response.KeepAlive && l.run.reuses() && !c.leaves
	err := c.encodeTo(r, w)
	if err != nil {
		l.log.Error("the handler's answer cannot be sent, 500 was sent in its place", "conn", c.id,
			"target", string(r.RequestTarget), "error", err)
		l.call(c.id, "content's Close", w.dropSource)
		w.dropUpgrade()
		w.response.Fields, w.response.Reason = w.response.Fields[:0], ""
		w.Error(500, "internal server error")
		_ = c.encode(w)
	}
	c.report(w, r, head)
}

// encodeTo is encode with what an answer to r in particular may not be.
func (c *conn) encodeTo(r *Request, w *Responder) error {
	if r.Form == httpcodec.AuthorityForm && w.response.Status/100 == 2 {
		return fmt.Errorf("poller: status %d to CONNECT opens a tunnel (RFC 9110, section 9.3.6), and there is none", w.response.Status)
	}
	return c.encode(w)
}

// refuse appends the answer to a message that cannot be understood or is not wanted, after which the connection ends.
// request begins with what has come of it.
func (c *conn) refuse(err error, request []byte) {
	refusal := &httpcodec.Error{Status: 400, Reason: "bad request"}
	errors.As(err, &refusal)
	l := c.loop
	c.in, c.pending = nil, nil
	c.hurried = refusal == errRequestTimeout
	w := &l.respond
	w.reset(l.run.cfg.maxOutputBytes)
	w.Error(refusal.Status, refusal.Reason)
	w.response.MinorVersion = 1
	w.response.Head = isHead(request) // which gets no content
	_ = c.encode(w)
	c.report(w, nil, request)
}

// wholeContent is content of an answer that a handler has written.
type wholeContent struct {
	bytes.Reader
	capacity int
}

// encode appends the answer in w to l.out. On an error nothing was appended.
func (c *conn) encode(w *Responder) error {
	l := c.loop
	switch {
	case w.upgrade != nil:
		w.dropSource()
		w.content = w.content[:0]
		w.response.ContentLength = -1
	case w.response.Status < 200:
		return fmt.Errorf("poller: status %d is not that of a final answer", w.response.Status)
	case w.source == nil:
		w.response.ContentLength = int64(len(w.content))
	case w.response.ContentLength < 0:
		return fmt.Errorf("poller: SetContent with a length of %d", w.response.ContentLength)
	}
	framing, err := l.appendHead(&w.response)
	if err != nil {
		return err
	}
	switch {
	case w.upgrade != nil:
		c.then, c.upgrade = taken, w.upgrade
	case framing.Kind == httpcodec.UntilClose:
		c.then = lastToEnd
	case !framing.KeepAlive:
		c.then = last
	}
	switch {
	case w.source != nil && framing.Kind == httpcodec.Length && w.response.ContentLength > 0:
		c.source, c.left = w.source, w.response.ContentLength
	case w.source != nil:
		l.call(c.id, "content's Close", w.dropSource)
	case framing.Kind == httpcodec.Length && len(w.content) > keepCapacity:
		// To copy it twice, into l.out and to what waits, would take its memory three times.
		c.source, c.left = &wholeContent{*bytes.NewReader(w.content), cap(w.content)}, int64(len(w.content))
	case framing.Kind == httpcodec.Length:
		l.out = append(l.out, w.content...)
	}
	if cap(w.content) > keepCapacity {
		w.content = nil
	}
	w.source = nil
	return nil
}

// refuseLast is refuse for a connection that is not being served yet, and sends the answer.
func (c *conn) refuseLast(err error, request []byte) {
	c.become(serving)
	c.loop.out = c.loop.out[:0]
	c.refuse(err, request)
	if c.send() {
		c.finish()
	}
}

// lastHead is the head of the last answer that had no fields of its own. Answers in a row are mostly alike, and to compare
// is cheaper than to encode. Owned by the loop.
type lastHead struct {
	of      headKey
	bytes   []byte
	framing httpcodec.Framing
}

// headKey is all that such a head depends on.
type headKey struct {
	status, minorVersion int
	head, keepAlive      bool
	contentLength        int64
	contentType          string
	second               time.Duration // what the date is of, see clock
}

// appendHead appends the head of res to l.out. On an error nothing was appended.
func (l *loop) appendHead(res *httpcodec.Response) (httpcodec.Framing, error) {
	res.Date = l.clock.date
	if len(res.Fields) > 0 {
		if err := checkHead(res.Fields); err != nil {
			return httpcodec.Framing{}, err
		}
		out, framing, err := res.AppendHead(l.out)
		l.out = out
		return framing, err
	}
	last := &l.lastHead
	key := headKey{res.Status, res.MinorVersion, res.Head, res.KeepAlive, res.ContentLength, res.ContentType, l.clock.due}
	if len(last.bytes) == 0 || key != last.of {
		var err error
		if last.bytes, last.framing, err = res.AppendHead(last.bytes[:0]); err != nil {
			return httpcodec.Framing{}, err
		}
		key.contentType = strings.Clone(key.contentType) // it may be the handler's view of a buffer
		last.of = key
	}
	l.out = append(l.out, last.bytes...)
	return last.framing, nil
}

// keepCapacity is the size up to which a loop keeps a buffer for the next request.
const keepCapacity = 1 << 20

// call runs what a user of the package wrote, for the connection with that id, and reports whether it returned.
func (l *loop) call(id uint64, what string, f func()) (returned bool) {
	return guard(l.log, id, what, f)
}

// guard is call on whatever goroutine.
func guard(log *slog.Logger, id uint64, what string, f func()) (returned bool) {
	defer func() {
		if returned {
			return
		}
		switch p := recover(); p {
		case http.ErrAbortHandler:
		case nil:
			log.Error("the "+what+" called runtime.Goexit, which ends its goroutine: an event loop with all of its connections, "+
				"if it was one", "conn", id, "stack", string(debug.Stack()))
		default:
			log.Error("the "+what+" panicked", "conn", id, "panic", fmt.Sprint(p),
				"stack", string(debug.Stack()))
		}
	}()
	f()
	return true
}
