//go:build linux

package poller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
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

// h2Writer is what a handler answers a stream with. It has what the writer of net/http has.
type h2Writer struct {
	run  *run
	conn *h2Conn
	ctx  h2Context // of req
	req  *http.Request

	reported bool // see report; owned by the goroutine of the stream

	timers sync.Mutex // guards closed; held while a timer uses control(), which it must not when net/http has out back
	closed bool

	mu      sync.Mutex // guards what follows; held by a Write that waits
	out     http.ResponseWriter
	header  http.Header // the handler's; nil: that of out
	status  int         // 0 before WriteHeader
	bytes   int64
	late    error      // why the handler can answer no more
	upgrade *h2Upgrade // has the stream when the handler has returned; nil: nobody has
	after   []func()   // see AfterAnswer
	served  bool       // they have been called
}

// control controls the stream.
func (w *h2Writer) control() *http.ResponseController { return http.NewResponseController(w.out) }

func (w *h2Writer) Header() http.Header {
	if w.header != nil {
		return w.header
	}
	return w.out.Header()
}

// WriteHeader implements http.ResponseWriter.
func (w *h2Writer) WriteHeader(code int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeHeaderLocked(code)
}

func (w *h2Writer) writeHeaderLocked(code int) {
	if w.late != nil {
		return
	}
	if w.status == 0 {
		h := w.out.Header()
		if w.header != nil {
			clear(h)
			maps.Copy(h, w.header)
		}
		w.settle(h)
		if code >= 200 {
			w.status = code
		}
	}
	w.out.WriteHeader(code)
}

// settle takes out of a header what HTTP/1.1 alone has (RFC 9113, section 8.2.2), and says in it if the connection ends. For its stack see
// setContext.
//
//go:noinline
func (w *h2Writer) settle(h http.Header) {
	for _, name := range []string{"Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade"} {
		delete(h, name)
	}
	if !w.run.reuses() || w.conn.taken != nil && w.conn.taken.leaves.Load() {
		h["Connection"] = []string{"close"} // of which net/http makes GOAWAY
	}
}

// Write implements http.ResponseWriter. A client that takes nothing for Server.WriteTimeout loses the stream.
func (w *h2Writer) Write(p []byte) (int, error) {
	return w.write(len(p), func(from, to int) (int, error) { return w.out.Write(p[from:to]) })
}

// WriteString implements io.StringWriter.
func (w *h2Writer) WriteString(s string) (int, error) {
	return w.write(len(s), func(from, to int) (int, error) { return io.WriteString(w.out, s[from:to]) })
}

// h2Buffer is how much of an answer net/http keeps until the handler has returned: to write so much waits for nobody.
const h2Buffer = 4 << 10

// write calls f to write size bytes, in pieces, each of which the client has to take in time.
func (w *h2Writer) write(size int, f func(from, to int) (int, error)) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.late != nil {
		return 0, w.late
	}
	if w.status == 0 {
		w.writeHeaderLocked(http.StatusOK)
	}
	const piece = 32 << 10
	for more := true; more && err == nil; more = n < size {
		over := func() {}
		if w.bytes+int64(size) > h2Buffer {
			over = w.inTime()
		}
		var m int
		m, err = f(n, min(n+piece, size))
		over()
		n += m
		w.bytes += int64(m)
	}
	return n, err
}

// inTime ends the stream if what it returns is not called in time.
func (w *h2Writer) inTime() (over func()) {
	timeout := w.run.cfg.writeTimeout
	if timeout <= 0 {
		return func() {}
	}
	t := time.AfterFunc(timeout, func() { w.overdue(w.control().SetWriteDeadline) })
	return func() { t.Stop() }
}

// overdue sets a deadline of the stream that has passed, unless the stream is net/http's again.
func (w *h2Writer) overdue(set func(time.Time) error) {
	w.timers.Lock()
	defer w.timers.Unlock()
	if !w.closed {
		_ = set(time.Unix(1, 0))
	}
}

// close is called before net/http has the stream back.
func (w *h2Writer) close() {
	w.timers.Lock()
	defer w.timers.Unlock()
	w.closed = true
}

// FlushError sends what has been written.
func (w *h2Writer) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.late != nil {
		return w.late
	}
	if w.status == 0 {
		w.writeHeaderLocked(http.StatusOK)
	}
	defer w.inTime()()
	return w.control().Flush()
}

// Flush implements http.Flusher.
func (w *h2Writer) Flush() { _ = w.FlushError() }

// Push implements http.Pusher.
func (w *h2Writer) Push(target string, o *http.PushOptions) error {
	if pusher, ok := w.out.(http.Pusher); ok {
		return pusher.Push(target, o)
	}
	return http.ErrNotSupported
}

// CloseNotify implements http.CloseNotifier, which is deprecated.
func (w *h2Writer) CloseNotify() <-chan bool {
	return w.out.(interface{ CloseNotify() <-chan bool }).CloseNotify()
}

// Unwrap is for http.ResponseController.
func (w *h2Writer) Unwrap() http.ResponseWriter { return w.out }

// isTaken reports whether a protocol goes on with the content.
func (w *h2Writer) isTaken() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.upgrade != nil
}

// finish completes the answer of a handler that has returned.
func (w *h2Writer) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 {
		w.writeHeaderLocked(http.StatusOK)
	} else if w.header != nil {
		maps.Copy(w.out.Header(), w.header) // trailers
	}
}

// expire ends the handler's time, and reports whether the client gets an answer: not if the handler's has begun.
func (w *h2Writer) expire() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.late = http.ErrHandlerTimeout
	if w.status != 0 {
		return false
	}
	w.refuseLocked(errUnavailable)
	return true
}

// refuse answers in the handler's place.
func (w *h2Writer) refuse(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuseLocked(err)
}

func (w *h2Writer) refuseLocked(err error) {
	refusal := &httpcodec.Error{Status: http.StatusBadRequest, Reason: "bad request"}
	errors.As(err, &refusal)
	text := fmt.Sprintf("%d %s\n", refusal.Status, refusal.Reason)
	h := w.out.Header()
	clear(h)
	h.Set("Content-Type", "text/plain; charset=utf-8")
	w.settle(h)
	w.out.WriteHeader(refusal.Status)
	w.status = refusal.Status
	n, _ := io.WriteString(w.out, text)
	w.bytes += int64(n)
}

// afterAnswer is AfterAnswer.
func (w *h2Writer) afterAnswer(f func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.served {
		w.after = append(w.after, f)
	}
	return !w.served
}

// runAfter calls what AfterAnswer was given, when the client has acknowledged what is sent when the handler has returned. Net/http sends the
// rest after that, at least the end of the stream.
func (w *h2Writer) runAfter() {
	w.mu.Lock()
	after := w.after
	w.after, w.served = nil, true
	w.mu.Unlock()
	if len(after) == 0 {
		return
	}
	c := w.conn
	sent := sentOn(c.conn)
	go func() {
		ticker := time.NewTicker(queueInterval)
		defer ticker.Stop()
		for over := time.Now().Add(lastWords); time.Now().Before(over); <-ticker.C {
			if now := sentOn(c.conn); now == 0 || now > sent && unackedOf(c.conn) == 0 {
				break
			}
		}
		for _, f := range after {
			f()
		}
	}()
}

// h2Body is the content of a request, of which more has to come in time.
type h2Body struct {
	io.ReadCloser
	w       *h2Writer
	timeout time.Duration
}

func (b *h2Body) Read(p []byte) (int, error) {
	t := time.AfterFunc(b.timeout, func() { b.w.overdue(b.w.control().SetReadDeadline) })
	n, err := b.ReadCloser.Read(p)
	if !t.Stop() && errors.Is(err, os.ErrDeadlineExceeded) {
		b.w.refuseUnanswered(errRequestTimeout)
	}
	return n, err
}

// refuseUnanswered answers in the place of a handler that has not begun to.
func (w *h2Writer) refuseUnanswered(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 && w.late == nil {
		w.refuseLocked(err)
		w.late = errNotLent
	}
}
