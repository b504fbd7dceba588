//go:build linux

package poller

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/httpcodec"
	"rstserver/linger"
)

// exchange is one request in the hands of Server.Handler. For its time the connection is lent: the loop has paused reading
// and writes nothing, and the goroutines of the handler do their own system calls, which never block, on its descriptor.
// They wait for the watcher. So the handler's pace is the client's, in both directions, and an answer that fits into the
// kernel's buffer costs the loop nothing but taking the connection back.
//
// The loop remains the one that closes the descriptor, which can happen at any time: mu is held for each system call, and
// phase says under mu whether the exchange may still make one.
//
//	lent ── the handler has returned, or was cut short ──▶ returned   (the loop goes on with the connection)
//	lent ── Hijack ──▶ hijacked                                       (the handler has it for good)
//	lent ── the loop closes the connection ──▶ over
type exchange struct {
	run   *run // immutable, as are the next five
	loop  *loop
	conn  *conn // the loop's
	fd    int
	head  []byte // of the request; strings of the http.Request are views into it
	began time.Time

	queued *list.Element // in pool.queue; nil if it is not. Guarded by pool.mu.

	// Owned by the worker, and after phase has become returned by the loop.
	body   body
	web    *webConn
	writer responseWriter

	mu      sync.Mutex // guards what follows; held for system calls, never while waiting
	phase   phase
	outcome outcome
	wrote   bool // the kernel has got some of the final answer
	known   bool // to the watcher
	slow    bool // the loop does not look after the handler any more, before its time is up
	resumed bool // reading from the connection, once, by the worker; see leave
	aborted bool // hijack came too late: the connection was aborted, and is not in the table any more
	// continued: 100 (Continue) was sent.
	continued bool
	// readClosed: the request's content is not wanted any more.
	readClosed  bool
	in, out     chan struct{} // capacity 1; an element for each event waited for; nil until somebody waits
	cancel      context.CancelCauseFunc
	cause       error // for cancel, if that comes before there is a context
	read, write deadline
}

// phase says who has the connection of an exchange.
type phase uint8

const (
	lent phase = iota
	returned
	hijacked
	over
)

// outcome is what the loop is to do with a connection that it gets back.
type outcome struct {
	refusal error // to answer with, if not nil; see conn.refuse
	abort   bool
	close   bool // the answer was the last
	toEnd   bool // the answer ends with the connection
}

var (
	// errNotLent is what the handler's reads and writes fail with after its time.
	errNotLent = errors.New("poller: the connection is not the handler's any more")
	// errConnGone is the cause of a context that is cancelled since the connection is no more.
	errConnGone = fmt.Errorf("poller: the connection was reset or closed: %w", unix.ECONNRESET)
	// errStalled: the client neither sent nor took anything in time.
	errStalled = fmt.Errorf("poller: the client made no progress in time: %w", os.ErrDeadlineExceeded)
	// errHandlerTimeout is the cause of a context that HandlerTimeout cancels.
	errHandlerTimeout = fmt.Errorf("poller: Server.HandlerTimeout: %w", context.DeadlineExceeded)
)

// errUnavailable answers a request whose handler took too long (RFC 9110, section 15.6.4).
var errUnavailable = &httpcodec.Error{Status: 503, Reason: "handler did not answer in time"}

// serve runs the handler and gives the connection back. On a worker.
func (x *exchange) serve(w *worker) {
	var req *http.Request
	normal := false
	defer func() {
		if !normal {
			x.broken(recover(), req)
		}
		x.end(context.Canceled)
		x.writer.detach()
	}()
	req, err := x.prepare(w)
	switch {
	case err != nil:
		x.refuse(err)
	case req != nil:
		x.writer.init(w, req)
		x.handler(req).ServeHTTP(&x.writer, req)
		x.finish()
	}
	normal = true
}

// prepare makes the request of what came. It is nil when the connection is gone.
func (x *exchange) prepare(w *worker) (*http.Request, error) {
	if !x.live() {
		return nil, nil
	}
	if _, err := new(httpcodec.Parser).Parse(x.head, x.loop.limits(), &w.request); err != nil {
		return nil, err // it passed on the loop
	}
	if x.web.ctx == nil {
		x.web.init(x)
	}
	ctx, cancel := context.WithCancelCause(x.web.ctx)
	x.mu.Lock()
	x.cancel = cancel
	gone, cause := x.phase != lent, x.cause
	x.mu.Unlock()
	if gone {
		cancel(cause)
		return nil, nil
	}
	return x.newRequest(ctx, &w.request)
}

// handler is what answers req.
func (x *exchange) handler(req *http.Request) http.Handler {
	if req.RequestURI == "*" && req.Method == http.MethodOptions {
		return http.HandlerFunc(answerAsterisk)
	}
	return x.run.cfg.handler
}

// answerAsterisk answers OPTIONS *, which asks about the server and no resource of it (RFC 9110, section 9.3.7), as
// net/http does.
func answerAsterisk(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "0") }

// broken deals with a handler that did not return: its connection is aborted, if it has not hijacked it.
func (x *exchange) broken(p any, req *http.Request) {
	request := "none yet"
	if req != nil {
		request = req.Method + " " + req.RequestURI
	}
	switch p {
	case http.ErrAbortHandler:
	case nil:
		x.run.cfg.log.Error("the handler called runtime.Goexit", "conn", x.conn.id, "request", request)
	default:
		x.run.cfg.log.Error("the handler panicked", "conn", x.conn.id, "request", request,
			"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
	x.writer.abandon()
	x.giveBack(outcome{abort: true})
}

// finish sends what is left of the answer and gives the connection back.
func (x *exchange) finish() {
	if o, ok := x.writer.finish(); ok && !x.leave(o) {
		x.giveBack(o)
	}
}

// leave gives the connection back without a word to the loop, which would only have to resume reading: the worker does that
// itself, and the loop learns of it when the next request comes, or when it looks after the handler. It does nothing and
// returns false where there is more to do.
func (x *exchange) leave(o outcome) bool {
	if o != (outcome{}) || !x.body.settled() {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	// A drain sets its flag before it looks at the phase.
	if x.phase != lent || x.slow || x.run.draining.Load() || x.run.closing() {
		return false
	}
	if x.conn.sock.Interest(unix.EPOLLIN|unix.EPOLLONESHOT) != nil {
		return false
	}
	x.run.table.SetActivity(x.fd, linger.Idle)
	x.resumed = true
	return x.leaveLocked(returned)
}

// leaveLocked ends the handler's time, and with it all waits, and tells whether it was not over already.
func (x *exchange) leaveLocked(p phase) bool {
	if x.phase != lent {
		return false
	}
	x.phase = p
	x.signalLocked()
	return true
}

// giveBack gives the connection back to its loop, if the handler's time is not over already. Any goroutine may call it.
func (x *exchange) giveBack(o outcome) {
	x.stopReading()
	x.body.shut()
	x.mu.Lock()
	gave := x.leaveLocked(returned)
	if gave {
		x.outcome = o
	}
	x.mu.Unlock()
	if gave {
		x.loop.takeBack(x)
	}
}

// refuse has the loop answer in the handler's place, if nothing of the handler's answer has been sent. Any goroutine may call
// it.
func (x *exchange) refuse(err error) {
	x.mu.Lock()
	gave := !x.wrote && x.leaveLocked(returned)
	if gave {
		x.outcome = outcome{refusal: err}
	}
	x.mu.Unlock()
	if gave {
		x.end(err)
		x.loop.takeBack(x)
	}
}

// expire ends the handler's time because it is up. On the loop, which has the connection back then, and is told whether
// nothing of an answer has been sent. ok is false when the exchange has come to an end just now.
func (x *exchange) expire() (unanswered, ok bool) {
	x.mu.Lock()
	ok = x.leaveLocked(returned)
	unanswered = !x.wrote
	x.mu.Unlock()
	if ok {
		x.end(errHandlerTimeout)
	}
	return unanswered, ok
}

// lost ends the handler's time because the connection is about to be closed. On the loop, or for one that is stuck.
func (x *exchange) lost(cause error) {
	x.mu.Lock()
	x.leaveLocked(over)
	x.mu.Unlock()
	x.end(cause)
}

// end cancels the request's context. The first cause counts.
func (x *exchange) end(cause error) {
	x.mu.Lock()
	cancel := x.cancel
	if x.cause == nil {
		x.cause = cause
	}
	x.mu.Unlock()
	if cancel != nil {
		cancel(cause)
	}
}

// live tells whether the exchange still has its connection.
func (x *exchange) live() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.phase == lent
}

// hasLeft tells whether leave has given the connection back.
func (x *exchange) hasLeft() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.resumed
}

// isSlow notes that the handler is not quick, unless its time is over already, and tells which.
func (x *exchange) isSlow() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.slow = x.phase == lent
	return x.slow
}

// isHijacked tells whether the handler has taken the connection over.
func (x *exchange) isHijacked() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.phase == hijacked
}

// whyNotLent is the error for a handler that goes on after its time.
func (x *exchange) whyNotLent() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.phase == hijacked:
		return http.ErrHijacked
	case errors.Is(x.cause, errHandlerTimeout):
		return http.ErrHandlerTimeout
	case x.phase == over && x.cause != nil:
		return x.cause
	}
	return errNotLent
}

// wroteAny tells whether the kernel has got some of the final answer.
func (x *exchange) wroteAny() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.wrote
}
