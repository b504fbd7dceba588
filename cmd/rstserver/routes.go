package main

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"rstserver/httpcodec"
	"rstserver/poller"
	"rstserver/poller/websocket"
)

// methods are those of RFC 9110, section 9, and RFC 5789. Others are not implemented.
var methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

// reading are the methods of all that is only read.
var reading = []string{"GET", "HEAD"}

// maxEcho bounds what /echo holds when --max-body-bytes sets no bound.
const maxEcho = 1 << 30

const hello = "Hello, World!"

// site is all that is served: some of it on the event loops, and the rest, which may wait, by workers.
type site struct {
	maxBody int64        // bytes of content for /echo; negative: no bound
	files   http.Handler // what is under filesPath; nil: nothing is
	room    room
	ticks   ticks
	events  eventRoom
	// processField is the name of a field of every answer that has process, the number of this process; empty: none has.
	processField, process string
}

// onLoop reports whether ServeLoop answers r. It sends to the workers only what they answer, so that it can be refused here.
func (s *site) onLoop(r *httpcodec.Request) bool {
	p := path(r)
	if s.worker(p) == nil {
		return true
	}
	// The comparisons do not copy the method.
	return !slices.Contains(reading, string(r.Method)) && !(string(r.Method) == "POST" && string(p) == eventRoomPath)
}

// loopContent is how much content comes with a request that ServeLoop answers: only /echo has a use for it.
func (s *site) loopContent(r *httpcodec.Request) int64 {
	if string(path(r)) == "/echo" {
		return s.maxBody
	}
	return 0
}

// worker returns the handler that answers for a path, if that is one for workers.
func (s *site) worker(path []byte) http.Handler {
	switch string(path) {
	case "/slow":
		return http.HandlerFunc(slow)
	case "/stream":
		return http.HandlerFunc(stream)
	case "/upgrade":
		return http.HandlerFunc(upgrade)
	case "/ws/room":
		return http.HandlerFunc(s.joinRoom)
	case "/events":
		return http.HandlerFunc(s.ticks.serve)
	case eventRoomPath:
		return http.HandlerFunc(s.events.serve)
	}
	if s.files != nil && bytes.HasPrefix(path, []byte(filesPath)) {
		return s.files
	}
	return nil
}

// ServeHTTP implements http.Handler: it answers what onLoop leaves to the workers.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := s.worker([]byte(r.URL.Path))
	if h == nil {
		h = http.NotFoundHandler()
	}
	if s.processField != "" {
		w.Header().Set(s.processField, s.process)
	}
	h.ServeHTTP(w, r)
}

// ServeLoop implements poller.LoopHandler.
func (s *site) ServeLoop(w *poller.Responder, r *poller.Request) {
	s.answer(w, r)
	if s.processField != "" {
		w.AddField(s.processField, s.process)
	}
}

func (s *site) answer(w *poller.Responder, r *poller.Request) {
	if !slices.Contains(methods, string(r.Method)) {
		w.Error(501, "method not implemented")
		return
	}
	switch path := path(&r.Request); string(path) {
	case "/":
		if allow(w, r, reading...) {
			w.SetContentType("text/plain; charset=utf-8")
			_, _ = w.WriteString(hello)
		}
	case "/echo":
		if len(r.Body) > 0 || allow(w, r, "POST", "PUT", "PATCH") {
			echo(w, r)
		}
	case "/bytes":
		if allow(w, r, reading...) {
			sendBytes(w, r)
		}
	case "/ws":
		_, _ = websocket.AcceptOnLoop(w, r, &echoing) // an error is the client's, and answered
	case "*":
		w.SetStatus(204)
		w.AddField("Allow", strings.Join(methods, ", "))
	default:
		allowed := reading
		if string(path) == eventRoomPath {
			allowed = []string{"GET", "HEAD", "POST"}
		}
		if s.worker(path) == nil || allow(w, r, allowed...) {
			w.Error(404, "not found")
		}
	}
}

// path is the target's path with what it escapes (RFC 3986, section 6.2.2).
func path(r *httpcodec.Request) []byte {
	if bytes.IndexByte(r.Path, '%') < 0 {
		return r.Path
	}
	p, err := url.PathUnescape(string(r.Path))
	if err != nil {
		return r.Path
	}
	return []byte(p)
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
