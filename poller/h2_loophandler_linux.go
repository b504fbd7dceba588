//go:build linux

package poller

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"rstserver/httpcodec"
)

// h2LoopHandler answers a stream by the Server's LoopHandler, on net/http's goroutine. What it gets to see is the request as it would stand
// in HTTP/1.1, read by the same parser under the same limits.
type h2LoopHandler struct {
	h       *h2
	*h2Loop // from parse on
}

// h2Loop is the memory that this takes.
type h2Loop struct {
	head    []byte
	body    []byte
	charged int // bytes of body, to the memory of the run
	request Request
	respond Responder
}

var h2Loops = sync.Pool{New: func() any { return new(h2Loop) }}

// close gives the memory back.
func (l *h2LoopHandler) close() {
	s := l.h2Loop
	if s == nil {
		return
	}
	l.h2Loop = nil
	l.h.run.memory.add(int64(-s.charged))
	s.charged = 0
	s.request.Body, s.request.Trailers, s.request.stream, s.respond.stream = nil, nil, nil, nil
	if cap(s.body) <= keepCapacity && cap(s.head) <= keepCapacity && cap(s.respond.content) <= keepCapacity {
		h2Loops.Put(s)
	}
}

// parse reads the head of req.
func (l *h2LoopHandler) parse(req *http.Request) error {
	cfg := &l.h.run.cfg
	l.h2Loop = h2Loops.Get().(*h2Loop)
	b := append(l.head[:0], req.Method...)
	b = append(append(append(b, ' '), req.RequestURI...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, req.Host...), "\r\n"...)
	for name, values := range req.Header {
		for _, v := range values {
			b = append(append(append(append(b, name...), ": "...), v...), "\r\n"...)
		}
	}
	l.head = append(b, "\r\n"...)
	l.request.stream = req
	var parser httpcodec.Parser
	n, err := parser.Parse(l.head, httpcodec.Limits{HeaderBytes: max(cfg.maxHeaderBytes, len(l.head)), Fields: cfg.maxFields + 1, // and Host
		LaxTarget: !l.h.run.server.StrictTargets}, &l.request.Request)
	if err == nil && n != len(l.head) {
		err = &httpcodec.Error{Status: http.StatusBadRequest, Reason: "malformed request"}
	}
	return err
}

// answers reports whether it is the LoopHandler that answers.
func (l *h2LoopHandler) answers() (yes bool) {
	onLoop := l.h.run.cfg.onLoop
	if onLoop == nil {
		return true
	}
	if !guard(l.h.run.cfg.log, l.request.describe().ID, "OnLoop", func() { yes = onLoop(&l.request.Request) }) {
		panic(http.ErrAbortHandler)
	}
	return yes
}

// ServeHTTP implements http.Handler.
func (l *h2LoopHandler) ServeHTTP(out http.ResponseWriter, req *http.Request) {
	r := l.h.run
	w := out.(*h2Writer)
	s, id := l.h2Loop, l.request.describe().ID
	if err := l.read(req); err != nil {
		w.refuseUnanswered(err)
		return
	}
	s.respond.reset(r.cfg.maxOutputBytes)
	s.respond.stream = w
	if !guard(r.cfg.log, id, "handler", func() { r.cfg.loopHandler.ServeLoop(&s.respond, &s.request) }) {
		guard(r.cfg.log, id, "content's Close", s.respond.dropSource)
		panic(http.ErrAbortHandler)
	}
	if w.isTaken() {
		guard(r.cfg.log, id, "content's Close", s.respond.dropSource)
		return
	}
	if err := l.check(); err != nil {
		r.cfg.log.Error("the handler's answer cannot be sent, 500 was sent in its place", "conn", id, "target", req.RequestURI, "error", err)
		guard(r.cfg.log, id, "content's Close", s.respond.dropSource)
		w.refuse(errInternal)
		return
	}
	err := s.write(w)
	guard(r.cfg.log, id, "content's Close", s.respond.dropSource)
	if err != nil {
		panic(http.ErrAbortHandler) // the client must not take it for whole
	}
}

// read takes the content, which a LoopHandler gets whole.
func (l *h2LoopHandler) read(req *http.Request) error {
	r := l.h.run
	limit, none, ok := r.allowance(l.request.describe().ID, &l.request.Request)
	switch {
	case !ok:
		panic(http.ErrAbortHandler)
	case limit > 0 && req.ContentLength > limit:
		return httpcodec.ErrBodyTooLarge
	case none, req.ContentLength == 0 && len(req.Trailer) == 0:
		return nil // net/http throws it away
	}
	l.body = l.body[:0]
	for {
		if len(l.body) == cap(l.body) {
			l.body = append(l.body, 0)[:len(l.body)]
			r.memory.add(int64(cap(l.body) - l.charged))
			l.charged = cap(l.body)
		}
		if len(l.body) > largeRequest && r.memory.isShort() {
			return errShort
		}
		n, err := req.Body.Read(l.body[len(l.body):cap(l.body)])
		l.body = l.body[:len(l.body)+n]
		switch {
		case limit > 0 && int64(len(l.body)) > limit:
			return httpcodec.ErrBodyTooLarge
		case err == io.EOF:
			l.request.Body = l.body
			for name, values := range req.Trailer {
				for _, v := range values {
					l.request.Trailers = append(l.request.Trailers, httpcodec.Field{Name: []byte(name), Value: []byte(v)})
				}
			}
			return nil
		case err != nil:
			return err
		}
	}
}

// check is why the answer cannot be sent, by what holds in HTTP/1.1.
func (s *h2Loop) check() error {
	res := &s.respond.response
	switch {
	case res.Status < 200:
		return fmt.Errorf("poller: status %d is not that of a final answer", res.Status)
	case s.request.Form == httpcodec.AuthorityForm && res.Status/100 == 2:
		return errors.New("poller: a CONNECT request gets no tunnel")
	case s.respond.source == nil:
		res.ContentLength = int64(len(s.respond.content))
	case res.ContentLength < 0:
		return fmt.Errorf("poller: SetContent with a length of %d", res.ContentLength)
	}
	var err error
	s.head, _, err = res.AppendHead(s.head[:0]) // the request is not needed any more
	return err
}

// write sends the answer.
func (s *h2Loop) write(w *h2Writer) error {
	res := &s.respond.response
	h := w.Header()
	if res.ContentType != "" {
		h["Content-Type"] = []string{res.ContentType}
	} else {
		h["Content-Type"] = nil // net/http is not to guess
	}
	for _, f := range res.Fields {
		if strings.EqualFold(f.Name, "Content-Type") {
			h["Content-Type"] = []string{f.Value} // it wins
			continue
		}
		h.Add(f.Name, f.Value)
	}
	bodiless := res.Status == http.StatusNoContent || res.Status == http.StatusNotModified
	// Net/http says it itself of what it has whole when the handler returns.
	if !bodiless && (s.respond.source != nil || len(s.respond.content) > h2Buffer || string(s.request.Method) == http.MethodHead) {
		h["Content-Length"] = []string{strconv.FormatInt(res.ContentLength, 10)}
	}
	w.WriteHeader(res.Status)
	switch {
	case bodiless || string(s.request.Method) == http.MethodHead:
		return nil
	case s.respond.source == nil:
		_, err := w.Write(s.respond.content)
		return err
	}
	buf := pieces.Get().(*[]byte)
	defer pieces.Put(buf)
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, exactly(s.respond.source, res.ContentLength), *buf)
	return err
}

// exactly reads n bytes of r, and fails where there are fewer.
func exactly(r io.Reader, n int64) io.Reader { return &exact{r, n} }

type exact struct {
	r    io.Reader
	left int64
}

func (e *exact) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.left)])
	if n < 0 || n > len(p) {
		return 0, invalidRead(n, len(p))
	}
	if e.left -= int64(n); err == io.EOF && e.left > 0 {
		err = io.ErrUnexpectedEOF
	} else if err == io.EOF {
		err = nil
	}
	return n, err
}
