//go:build linux

package poller

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"runtime/debug"
	"time"

	"rstserver/httpcodec"
	"rstserver/internal/turnkey"
	"rstserver/poller/internal/onloop"
)

// ServeHTTP implements http.Handler for net/http: it answers a stream with the Server's handlers, under the Server's bounds.
func (c *h2Conn) ServeHTTP(out http.ResponseWriter, req *http.Request) {
	h := c.of
	h.streams.Add(1)
	defer h.streams.Add(-1)
	r := h.run
	began := time.Now()
	w := &h2Writer{run: r, conn: c, out: out, req: req}
	if c.taken != nil {
		c.taken.requests.Add(1)
		if before := c.taken.path.Load(); before == nil || *before != req.URL.Path {
			path := req.URL.Path
			c.taken.path.Store(&path)
		}
	}
	w.ctx = h2Context{req.Context(), w}
	setContext(req, &w.ctx)
	defer w.close()
	_, length := req.Header["Content-Length"]
	if r.cfg.bodyTimeout > 0 && (req.ContentLength != 0 || length) { // or net/http has seen that there is no content
		req.Body = &h2Body{req.Body, w, r.cfg.bodyTimeout}
	}
	defer w.report(req, began)
	defer w.runAfter()
	defer w.dropTaken()
	h.answer(w, req)
	w.follow(began)
}

// setContext gives req another context in place: so there is no second request to make for each, and net/http finds the parts of a form that it is
// to delete. What it needs of the stack is not to be there for all that the handler calls: a stack that has to grow is copied for each request.
//
//go:noinline
func setContext(req *http.Request, ctx context.Context) { *req = *req.WithContext(ctx) }

// report counts the answer, once, and calls the Server's hook.
func (w *h2Writer) report(req *http.Request, began time.Time) {
	if w.reported {
		return
	}
	w.reported = true
	w.mu.Lock()
	status, sent := w.status, w.bytes
	w.mu.Unlock()
	r, took := w.run, time.Since(began)
	r.counts.answered(status, took)
	if r.server.Answered == nil {
		return
	}
	a := Answer{
		Conn: w.conn.Conn, RequestLine: req.Method + " " + req.RequestURI + " " + req.Proto,
		Referer: req.Referer(), UserAgent: req.UserAgent(), Status: status, Bytes: sent, Began: began, Took: took, Traceparent: req.Header.Get("Traceparent"),
	}
	if req.TLS != nil {
		a.TLS = req.TLS.Version
	}
	if req.Method == http.MethodHead {
		a.Bytes = 0
	}
	r.report(a)
}

// answer calls the handler that is to answer req.
func (h *h2) answer(w *h2Writer, req *http.Request) {
	r := h.run
	loop := h2LoopHandler{h: h}
	defer loop.close()
	switch onLoop, err := h.choose(&loop, req); {
	case err != nil:
		w.refuse(err)
	case onLoop:
		loop.ServeHTTP(w, req)
	case r.cfg.handlerTimeout > 0:
		h.serveWithin(r.cfg.handlerTimeout, w, req)
	default:
		if !r.pool.enter(req.Context()) {
			panic(http.ErrAbortHandler)
		}
		defer r.pool.leave()
		defer h.broken(req)
		r.handlerOf(req).ServeHTTP(w, req)
		w.finish()
	}
}

// choose reports whether loop answers req, or Handler. The error is a refusal.
func (h *h2) choose(loop *h2LoopHandler, req *http.Request) (onLoop bool, err error) {
	cfg := &h.run.cfg
	if cfg.loopHandler != nil || h.run.server.StrictTargets {
		if err := loop.parse(req); err != nil { // of too many fields, too
			return false, err
		}
		if cfg.loopHandler != nil && loop.answers() {
			return true, nil
		}
	} else if countFields(req.Header) > cfg.maxFields {
		return false, httpcodec.ErrTooManyFields
	}
	if limit := cfg.maxBodyBytes; limit > 0 {
		if req.ContentLength > limit {
			return false, httpcodec.ErrBodyTooLarge
		}
		req.Body = http.MaxBytesReader(nil, req.Body, limit)
	}
	return false, nil
}

func countFields(header http.Header) (n int) {
	for _, values := range header {
		n += len(values)
	}
	return n
}

// broken logs that a handler did not return, and has net/http end the stream with RST_STREAM. It is called by defer.
func (h *h2) broken(req *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	h.logPanic(p, req)
	panic(http.ErrAbortHandler)
}

func (h *h2) logPanic(p any, req *http.Request) {
	if p != http.ErrAbortHandler {
		h.run.cfg.log.Error("the handler panicked", "conn", h2ConnOf(req).ID, "request", req.Method+" "+req.RequestURI,
			"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}

// serveWithin gives handler so much time to answer. After that the client gets 503, or RST_STREAM if the answer had begun; the handler may run on.
func (h *h2) serveWithin(long time.Duration, w *h2Writer, req *http.Request) {
	ctx, cancel := context.WithCancelCause(req.Context())
	defer cancel(context.Canceled)
	timer := time.NewTimer(long)
	defer timer.Stop()
	req = req.WithContext(ctx)
	w.header = make(http.Header) // which the handler can change when its time is over
	maps.Copy(w.header, w.out.Header())
	done := make(chan any, 1)
	go func() {
		returned := false
		defer func() {
			if p := recover(); p != nil || !returned {
				done <- p
			}
		}()
		if h.run.pool.enter(ctx) {
			defer h.run.pool.leave()
			defer removeParts(req)
			h.run.handlerOf(req).ServeHTTP(w, req)
			close(done)
		} else {
			done <- http.ErrAbortHandler // the client has gone
		}
		returned = true
	}()
	select {
	case p, broken := <-done:
		if broken {
			h.logPanic(p, req)
			panic(http.ErrAbortHandler)
		}
		w.finish()
	case <-timer.C:
		if !w.mu.TryLock() {
			w.overdue(w.control().SetWriteDeadline) // of a write that waits for its client
			w.mu.Lock()
		}
		w.mu.Unlock()
		unanswered := w.expire()
		cancel(errHandlerTimeout)
		if !unanswered {
			panic(http.ErrAbortHandler)
		}
	}
}

// h2Context is the context of a request: net/http's, with the Server in place of its own, and its writer.
type h2Context struct {
	context.Context
	w *h2Writer
}

type h2WriterKey struct{}

func (c *h2Context) Value(key any) any {
	switch key {
	case http.ServerContextKey:
		return c.w.run.server
	case h2WriterKey{}, onloop.OfferKey:
		return c.w
	case turnkey.Key{}:
		return h2Turn{c.w.run, c.w.conn.ID}
	}
	return c.Context.Value(key)
}

// h2Turn is the turn of a connection.
type h2Turn struct {
	run *run
	id  uint64
}

func (t h2Turn) Turn() context.Context {
	turn := t.run.turns.of(t.id)
	t.run.forgetTaken(t.id)
	return turn
}
