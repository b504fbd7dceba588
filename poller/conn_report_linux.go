//go:build linux

package poller

import (
	"bytes"
	"time"
)

// report counts the answer in w, and calls the Server's hook. r is nil where the request could not be read to its end; then request
// begins with what has come of it.
func (c *conn) report(w *Responder, r *Request, request []byte) {
	l := c.loop
	took := time.Since(epoch) - l.clock.now
	l.counts.answered(w.response.Status, took)
	if l.run.server.Answered == nil {
		return
	}
	a := Answer{
		Conn: c.describe(), RequestLine: requestLine(request), Status: w.response.Status, Bytes: w.response.ContentLength,
		Began: epoch.Add(l.clock.now), Took: took, TLS: c.tls.version(),
	}
	if w.response.Head || w.upgrade != nil || a.Status == 204 || a.Status == 205 || a.Status == 304 {
		a.Bytes = 0
	}
	if r != nil {
		a.Referer, a.UserAgent, a.Traceparent = string(r.Get("Referer")), string(r.Get("User-Agent")), string(r.Get("Traceparent"))
	}
	l.run.report(a)
}

// report calls the Server's hook. Any goroutine may call it.
func (r *run) report(a Answer) {
	guard(r.cfg.log, a.Conn.ID, "answer hook", func() { r.server.Answered(a) })
}

// requestLine is the first line of what a client has sent, if it came whole.
func requestLine(request []byte) string {
	request = bytes.TrimPrefix(request, []byte("\r\n")) // RFC 9112, section 2.2
	line, _, whole := bytes.Cut(request, []byte("\n"))
	if !whole {
		return ""
	}
	return string(bytes.TrimSuffix(line, []byte("\r")))
}
