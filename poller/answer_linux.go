//go:build linux

package poller

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"

	"rstserver/httpcodec"
	"rstserver/linger"
)

// errRequestTimeout answers a request that did not come to its end in time (RFC 9110, section 15.5.9).
var errRequestTimeout = &httpcodec.Error{Status: 408, Reason: "request did not arrive in time"}

// answer has the handler answer r, and appends the answer to l.out.
func (c *conn) answer(r *Request) {
	l := c.loop
	w := &l.respond
	w.reset(l.run.cfg.maxOutputBytes)
	r.conn = c
	c.setActivity(linger.Handling)
	if !l.call(c, func() { l.run.cfg.handler.ServeLoop(w, r) }) {
		closeSource(w.source)
		c.abort()
		return
	}
	w.response.MinorVersion = r.MinorVersion
	w.response.Head = string(r.Method) == "HEAD"
	w.response.KeepAlive = r.KeepAlive
	if err := c.encode(w); err != nil {
		l.log.Error("the handler's answer cannot be sent, 500 was sent in its place", "conn", c.id,
			"target", string(r.RequestTarget), "error", err)
		closeSource(w.source)
		w.response.Fields, w.response.Reason = w.response.Fields[:0], ""
		w.Error(500, "internal server error")
		_ = c.encode(w)
	}
}

// refuse appends the answer to a message that cannot be understood or is not wanted, after which the connection ends.
func (c *conn) refuse(err error) {
	refusal := &httpcodec.Error{Status: 400, Reason: "bad request"}
	errors.As(err, &refusal)
	l := c.loop
	c.in, c.pending = nil, nil
	w := &l.respond
	w.reset(l.run.cfg.maxOutputBytes)
	w.Error(refusal.Status, refusal.Reason)
	w.response.MinorVersion = 1
	_ = c.encode(w)
}

// encode appends the answer in w to l.out. On an error nothing was appended.
func (c *conn) encode(w *Responder) error {
	l := c.loop
	if w.response.Status < 200 {
		return fmt.Errorf("poller: status %d is not that of a final answer", w.response.Status)
	}
	if w.source == nil {
		w.response.ContentLength = int64(len(w.content))
	} else if w.response.ContentLength < 0 {
		return fmt.Errorf("poller: SetContent with a length of %d", w.response.ContentLength)
	}
	w.response.Date = l.clock.date
	out, framing, err := w.response.AppendHead(l.out)
	if err != nil {
		return err
	}
	l.out = out
	c.closeAfter = !framing.KeepAlive
	switch {
	case w.source != nil && framing.Kind == httpcodec.Length && w.response.ContentLength > 0:
		c.source, c.left = w.source, w.response.ContentLength
	case w.source != nil:
		closeSource(w.source)
	case framing.Kind == httpcodec.Length:
		l.out = append(l.out, w.content...)
	}
	if cap(w.content) > keepCapacity {
		w.content = nil
	}
	w.source = nil
	return nil
}

// keepCapacity is the size up to which a loop keeps a buffer for the next request.
const keepCapacity = 1 << 20

// call runs what a user of the package wrote, and tells whether it returned.
func (l *loop) call(c *conn, f func()) (returned bool) {
	defer func() {
		if returned {
			return
		}
		if p := recover(); p != http.ErrAbortHandler {
			l.log.Error("a handler panicked, its connection is aborted", "conn", c.id, "panic", fmt.Sprint(p),
				"stack", string(debug.Stack()))
		}
	}()
	f()
	return true
}

func closeSource(r io.Reader) {
	if closer, ok := r.(io.Closer); ok {
		_ = closer.Close()
	}
}
