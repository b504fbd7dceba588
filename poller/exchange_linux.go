//go:build linux

package poller

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/httpcodec"
)

// exchange is one request in the hands of Server.Handler. For its time the connection is lent: the loop does not read and writes
// nothing, and the goroutines of the handler do their own system calls, which never block, on its descriptor. They wait for the
// watcher. So the handler's pace is the client's, in both directions, and an answer that fits into the kernel's buffer costs the
// loop nothing but taking the connection back.
//
// The loop remains the one that closes the descriptor, which can happen at any time: mu is held for each system call, and the
// exchange makes none unless its state is lent or handling.
type exchange struct {
	run     *run // immutable, as are the next twelve
	loop    *loop
	conn    *conn // the loop's
	fd      int
	opened  time.Duration // when the connection was accepted
	before  int64         // requests on it
	entered bool          // see conn.entered
	began   time.Duration // when, by the loop's clock; of a request
	peer    Conn
	head    []byte // of the request; strings of the http.Request are views into it
	secure  bool   // there is TLS
	behind  bool   // there was a request before it in the same input, the answer to which may not have been read
	shakes  bool   // it is no request but a TLS handshake

	leaves atomic.Bool  // its answer is the connection's last
	held   atomic.Int32 // bytes beside those that it began with; see hold

	queued *list.Element // in pool.queue; nil if it is not. Guarded by pool.mu.

	// Owned by the worker, and by the loop once the worker has given the connection back.
	request *httpcodec.Request // until the http.Request is made
	site    *site
	body    body
	writer  responseWriter

	mu          sync.Mutex // guards what follows; held for system calls, never while waiting
	state       state      // lent, handling, left, returned, hijacked, lost, or ended: it was taken away
	wrote       bool       // the kernel has got some of the final answer
	more        bool       // what is sent next goes out with what follows it
	continued   bool       // 100 (Continue) was sent
	readClosed  bool       // the request's content is not wanted any more
	served      bool       // what after holds has been called
	after       []func()   // see AfterAnswer
	outcome     outcome
	tls         *tlsLayer       // nil: there is none, or it has been hijacked
	taken       takenConn       // by hijack
	cancellable context.Context // see requestContext; nil until somebody asks for it
	cancel      context.CancelCauseFunc
	cause       error // why the request's context has ended
	read, write side
}

// outcome is how an exchange has ended.
type outcome struct {
	kind outcomeKind
	what any // the error of refused and failedHandshake, the *upgrade of taken
}

func (o outcome) refusal() error { err, _ := o.what.(error); return err }

func (o outcome) upgrade() *upgrade { u, _ := o.what.(*upgrade); return u }

// outcomeKind says what the loop is to do with the connection.
type outcomeKind uint8

const (
	keepAlive       outcomeKind = iota // the next request can come
	last                               // the answer was the last
	lastToEnd                          // the answer was the last, and has no length: it ends with the connection
	refused                            // there is no answer; the loop gives one, as the last
	aborted                            // the answer has broken off
	established                        // the first request can come, after a handshake
	failedHandshake                    // the client has been told so
	taken                              // another protocol has the connection from here on
)

var (
	// errNotLent is what the handler's reads and writes fail with after its time.
	errNotLent = errors.New("poller: the connection is not the handler's any more")
	// errConnGone is the cause of a context that is cancelled since the connection is no more.
	errConnGone = fmt.Errorf("poller: the connection was reset or closed: %w", unix.ECONNRESET)
	// errHalfClosed is the cause of a context that is cancelled since the client has sent FIN.
	errHalfClosed = fmt.Errorf("poller: the client has closed its side of the connection: %w", io.EOF)
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
		if x.held.Load() != 0 {
			x.body.shut() // what the connection was taken away with
		}
		x.runAfter()
	}()
	if x.shakes {
		x.shake()
		normal = true
		return
	}
	req, err := x.prepare()
	switch {
	case err != nil:
		x.refuse(err)
	case req != nil:
		x.writer.init(w, req)
		x.run.handlerOf(req).ServeHTTP(&x.writer, req)
		o, ok := x.writer.finish(false)
		removeParts(req)
		if ok {
			x.giveBack(o)
		}
	}
	normal = true
}

// requests holds those that loops have parsed for workers.
var requests = sync.Pool{New: func() any { return new(httpcodec.Request) }}

// prepare makes the request of what came. It is nil when the connection is gone.
func (x *exchange) prepare() (*http.Request, error) {
	if !x.live() {
		return nil, nil
	}
	x.findSite()
	if !x.live() {
		return nil, nil // findSite may have taken its time
	}
	req, err := x.newRequest(x.request)
	requests.Put(x.request)
	x.request = nil
	return req, err
}

// handlerOf is what answers req.
func (r *run) handlerOf(req *http.Request) http.Handler {
	if req.RequestURI == "*" && req.Method == http.MethodOptions {
		return http.HandlerFunc(answerAsterisk)
	}
	return r.cfg.handler
}

// answerAsterisk answers OPTIONS *, which asks about the server and no resource of it (RFC 9110, section 9.3.7), as
// net/http does.
func answerAsterisk(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "0") }

// removeParts deletes the files in which parts of a form have been kept, as net/http does.
func removeParts(req *http.Request) {
	if req != nil && req.MultipartForm != nil {
		_ = req.MultipartForm.RemoveAll()
	}
}

// broken deals with a handler that did not return: its connection is aborted, even if it has hijacked it.
func (x *exchange) broken(p any, req *http.Request) {
	request := "none yet"
	if x.shakes {
		request = "TLS handshake"
	}
	if req != nil {
		request = req.Method + " " + req.RequestURI
	}
	switch p {
	case http.ErrAbortHandler:
	case nil:
		x.run.cfg.log.Error("the handler called runtime.Goexit", "conn", x.peer.ID, "request", request)
	default:
		x.run.cfg.log.Error("the handler panicked", "conn", x.peer.ID, "request", request,
			"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
	x.writer.abandon()
	removeParts(req)
	x.giveBack(outcome{kind: aborted})
	x.abortTaken()
}

// giveBack gives the connection back to its loop with what has come of the exchange, and reports whether it was still the
// exchange's to give. Any goroutine may call it.
//
// The loop is told, unless it would have nothing to do: then its half of what follows is left to the time when the next
// request comes or the loop looks after the handler, and the worker does the other half, see left. So nothing may be left that the
// kernel does not report: bytes behind the request that have been read, or, where there are layers between the descriptor and HTTP, that
// these hold.
func (x *exchange) giveBack(o outcome) (gave bool) {
	nothingLeft := o.kind == keepAlive && x.body.settled()
	// One that is refused may go on, and its reads fail as the one did that it is refused for.
	if !nothingLeft && o.kind != refused {
		x.stopReading()
		x.body.shut()
	}
	x.mu.Lock()
	if !x.isMineLocked() || o.kind == refused && x.wrote {
		x.mu.Unlock()
		return false
	}
	x.outcome = o
	// A drain notes that it has begun before it looks at the state.
	quietly := nothingLeft && x.state == lent && x.run.reuses() && !x.leaves.Load() && !x.tls.blocked() && !x.tls.ended() &&
		x.conn.sock.Want(true) == nil
	if quietly {
		x.run.table.SetActivity(x.fd, table[left].activity)
		x.becomeLocked(left)
	} else {
		x.becomeLocked(returned)
	}
	x.mu.Unlock()
	if !quietly {
		x.loop.takeBack(x)
	}
	return true
}

// refuse makes the loop answer in the handler's place, if nothing of the handler's answer has been sent. Any goroutine may call
// it.
func (x *exchange) refuse(err error) {
	if x.giveBack(outcome{kind: refused, what: err}) {
		x.end(err)
	}
}

// revoke ends the handler's time, with the given cause, and reports whether it was not over already, and whether nothing of an
// answer has been sent. On the loop, which has the connection back then, or for one that is stuck.
func (x *exchange) revoke(cause error) (unanswered, ok bool) {
	x.mu.Lock()
	unanswered, ok = !x.wrote, x.isMineLocked()
	if ok {
		if x.cause == nil {
			x.cause = cause // before those who wait ask for it
		}
		x.becomeLocked(ended)
	}
	x.mu.Unlock()
	if ok {
		x.end(cause)
		x.pool().withdraw(x)
	}
	return unanswered, ok
}

// becomeLocked ends the handler's time, and with it all waits.
func (x *exchange) becomeLocked(s state) {
	if changed != nil && s == left {
		changed(x.state, s)
	}
	if x.state == handling {
		x.run.watcher.Drop(x.fd, x) // who must not be remembered for the FIN of an idle client
	}
	x.state = s
	x.signalLocked()
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

// pool is that whose worker the exchange waits for.
func (x *exchange) pool() *pool {
	if x.shakes {
		return x.run.handshakes
	}
	return x.run.pool
}

// isMineLocked reports whether the exchange still has its connection.
func (x *exchange) isMineLocked() bool { return x.state == lent || x.state == handling }

func (x *exchange) live() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.isMineLocked()
}

// now is the state as it is.
func (x *exchange) now() state {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.state
}

// watch lets the exchange hear of the client's FIN, as the handler is not quick. It reports whether the handler's time is not over.
func (x *exchange) watch() (slow bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state != lent {
		return false
	}
	x.state = handling
	x.awaitFINLocked()
	return true
}

// whyNotLocked is the error for a handler that goes on after its time.
func (x *exchange) whyNotLocked() error {
	switch {
	case x.isMineLocked():
		return nil
	case x.state == hijacked:
		return http.ErrHijacked
	case errors.Is(x.cause, errHandlerTimeout):
		return http.ErrHandlerTimeout
	case x.state == ended && x.cause != nil:
		return x.cause
	}
	return errNotLent
}

// whyNot is that error.
func (x *exchange) whyNot() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.whyNotLocked()
}

// wroteAny reports whether the kernel has got some of the final answer.
func (x *exchange) wroteAny() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.wrote
}
