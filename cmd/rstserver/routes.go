package main

import (
	"bytes"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"rstserver/poller"
)

// methods are those of RFC 9110, section 9, and RFC 5789. Others are not implemented.
var methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

// maxEcho bounds what /echo holds when --max-body-bytes sets no bound.
const maxEcho = 1 << 30

const hello = "Hello, World!"

// route answers everything on the event loop.
func route(w *poller.Responder, r *poller.Request) {
	// The comparison does not copy the method.
	if !slices.Contains(methods, string(r.Method)) {
		w.Error(501, "method not implemented")
		return
	}
	switch path(r) {
	case "/":
		if allow(w, r, "GET", "HEAD") {
			w.SetContentType("text/plain; charset=utf-8")
			_, _ = w.WriteString(hello)
		}
	case "/echo":
		if len(r.Body) > 0 || allow(w, r, "POST", "PUT", "PATCH") {
			echo(w, r)
		}
	case "/bytes":
		if allow(w, r, "GET", "HEAD") {
			sendBytes(w, r)
		}
	case "*":
		w.SetStatus(204)
		w.AddField("Allow", strings.Join(methods, ", "))
	default:
		w.Error(404, "not found")
	}
}

// path is the target's path with what it escapes (RFC 3986, section 6.2.2).
func path(r *poller.Request) string {
	if bytes.IndexByte(r.Path, '%') < 0 {
		return string(r.Path)
	}
	p, err := url.PathUnescape(string(r.Path))
	if err != nil {
		return string(r.Path)
	}
	return p
}

// allow refuses methods other than those given.
func allow(w *poller.Responder, r *poller.Request, allowed ...string) bool {
	if slices.Contains(allowed, string(r.Method)) {
		return true
	}
	w.Error(405, "method not allowed")
	w.AddField("Allow", strings.Join(allowed, ", "))
	return false
}

func echo(w *poller.Responder, r *poller.Request) {
	t := string(r.Get("Content-Type"))
	if t == "" {
		t = "application/octet-stream"
	}
	w.SetContentType(t)
	if _, err := w.Write(r.Body); err != nil {
		w.Error(413, "content too large to be echoed")
	}
}

// sendBytes answers with as many bytes as the query's n says, made as the client takes them.
func sendBytes(w *poller.Responder, r *poller.Request) {
	q, err := url.ParseQuery(string(r.Query))
	if err != nil {
		w.Error(400, "the query cannot be understood; write /bytes?n=1000")
		return
	}
	n, err := strconv.ParseInt(q.Get("n"), 10, 64)
	if err != nil || n < 0 {
		w.Error(400, "n has to be a number of bytes, 0 or more; write /bytes?n=1000")
		return
	}
	w.SetContentType("application/octet-stream")
	w.SetContent(&counting{}, n)
}

// counting reads as the bytes 0 to 255, over and over, so that a reader can tell a byte that is missing from one that is
// not.
type counting struct{ next byte }

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = c.next
		c.next++
	}
	return len(p), nil
}

var _ io.Reader = (*counting)(nil)
