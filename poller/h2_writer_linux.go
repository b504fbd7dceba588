//go:build linux

package poller

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"sync"
	"time"

	"rstserver/httpcodec"
)

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
