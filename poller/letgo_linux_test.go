//go:build linux

package poller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rstserver/httpcodec"
	"rstserver/internal/lingertest"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// gate is a handler that holds requests until it is opened.
type gate struct {
	entered chan *http.Request
	open    chan struct{}
}

func newGate() *gate { return &gate{make(chan *http.Request, 100), make(chan struct{})} }

// ServeHTTP answers /free at once and others when the gate is open.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/free":
	case "/begun":
		w.(http.Flusher).Flush()
		fallthrough
	default:
		g.entered <- r
		select {
		case <-g.open:
		case <-r.Context().Done():
		}
	}
	_, _ = io.WriteString(w, "through the gate")
}

// shutdown calls Shutdown on a goroutine of its own and returns when the server drains.
func (s *served) shutdown(t *testing.T, ctx context.Context) chan error {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- s.Shutdown(ctx) }()
	lingertest.Wait(t, "the server drains", func() bool { return s.state.Load() >= stateDraining })
	return result
}

func wait[T any](t *testing.T, what string, result chan T) (r T) {
	t.Helper()
	select {
	case r = <-result:
	case <-time.After(lingertest.Patience):
		t.Fatalf("%s does not return", what)
	}
	return r
}

func TestShutdown(t *testing.T) {
	g := newGate()
	s := start(t, &Server{Handler: g})
	fresh, idle, slow, begun, old, half := s.dial(t), s.dial(t), s.dial(t), s.dial(t), s.dial(t), s.dial(t)
	idle.get("/free")
	slow.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	begun.send("GET /begun HTTP/1.1\r\nHost: x\r\n\r\n")
	old.send("GET /begun HTTP/1.0\r\n\r\n")
	for range 3 {
		<-g.entered
	}
	half.send("GET /free HTTP/1.1\r\n")
	lingertest.Wait(t, "all are accepted, and half of a request received", func() bool {
		live := s.Report().Connections
		return live.Total() == 6 && live[linger.Receiving] == 1
	})
	result := s.shutdown(t, context.Background())

	fresh.wantReset()
	idle.wantReset()
	<-s.run.refused // before that a client would be one more
	if c, err := net.Dial("tcp", s.addr.String()); err == nil {
		c.Close()
		t.Error("the port takes a client in")
	}
	close(g.open)
	half.send("Host: x\r\n\r\n")
	for _, c := range []*client{slow, half} {
		res, body := c.answer("GET")
		if res.StatusCode != 200 || body != "through the gate" || !res.Close {
			t.Errorf("answer in the drain = %s %q, close %v", res.Status, body, res.Close)
		}
		_ = c.Close()
	}
	if res, body := begun.answer("GET"); body != "through the gate" {
		t.Errorf("answer that had begun before = %s %q", res.Status, body)
	}
	begun.wantReset()
	if res, body := old.answer("GET"); body != "through the gate" {
		t.Errorf("answer that ends with the connection = %s %q", res.Status, body)
	}
	if err := wait(t, "Shutdown", result); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	if err := s.wait(t); err != ErrServerClosed {
		t.Errorf("Serve = %v", err)
	}
	s.assertGone(t)
	rep := s.Report()
	// A client that a busy machine keeps from closing for longer than drainLinger is reset.
	if rep.Mode != linger.ModeDrain || !rep.Complete() || rep.Closed > 2 || rep.AtDeadline.Total() != 0 ||
		rep.Closed+rep.Connections.Total() != 6 {
		t.Errorf("report = %+v\n%s", rep, rep)
	}
}

// A loop that gives the last answer of a connection before it is told to drain leaves the client its time to close.
func TestLastAnswerBeforeDrainOfTheLoop(t *testing.T) {
	lingers := make(chan bool, 1)
	result := make(chan error, 1)
	var s *served
	started := make(chan struct{})
	s = start(t, &Server{Loops: 1, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
		<-started
		go func() { result <- s.Shutdown(context.Background()) }()
		for !s.run.draining() {
			runtime.Gosched()
		}
		l := s.run.loops[0]
		l.post(func() { // behind the end of the answer
			l.drainOwn()
			lingers <- l.lists[partTimeout].first != nil
		})
		hello(w, r)
	})})
	close(started)
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if res, _ := c.answer("GET"); !res.Close {
		t.Error("the answer does not say that it is the last")
	}
	if !<-lingers {
		t.Error("the client was reset, or is to be as soon as it has acknowledged its answer")
	}
	_ = c.Close()
	if err := wait(t, "Shutdown", result); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
}

func TestShutdownDeadline(t *testing.T) {
	g := newGate()
	s := start(t, &Server{Handler: g})
	slow, idle := s.dial(t), s.dial(t)
	idle.get("/free")
	slow.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	r := <-g.entered
	ctx, cancel := context.WithCancelCause(context.Background())
	result := s.shutdown(t, ctx)
	idle.wantReset()
	cancel(errors.New("enough"))
	if err := wait(t, "Shutdown", result); err != context.Canceled {
		t.Errorf("Shutdown = %v, want context.Canceled", err)
	}
	slow.wantReset()
	<-r.Context().Done()
	s.assertGone(t)
	if rep := s.Report(); rep.AtDeadline[linger.Handling] != 1 || rep.Connections.Total() != 2 || !rep.Complete() {
		t.Errorf("report = %s", rep)
	}
}

// A context that has ended leaves nothing to wait for.
func TestShutdownTooLate(t *testing.T) {
	g := newGate()
	s := start(t, &Server{Handler: g})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-g.entered
	ctx, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	if err := s.Shutdown(ctx); err != context.DeadlineExceeded {
		t.Errorf("Shutdown = %v", err)
	}
	c.wantReset()
	s.assertGone(t)
}

// A client that does not close after its last answer is reset when it has all of it.
func TestShutdownOfClientThatStays(t *testing.T) {
	g := newGate()
	s := start(t, &Server{Handler: g})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-g.entered
	result := s.shutdown(t, context.Background())
	close(g.open)
	if res, body := c.answer("GET"); body != "through the gate" || !res.Close {
		t.Errorf("answer = %s %q", res.Status, body)
	}
	c.wantReset()
	if err := wait(t, "Shutdown", result); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	s.assertGone(t)
}

// What is on its way to a slow reader when the drain begins arrives whole, and nothing is left.
func TestShutdownOfSlowReaders(t *testing.T) {
	s := start(t, &Server{
		OnLoop:      func(r *httpcodec.Request) bool { return string(r.Path) != "/pool" },
		LoopHandler: LoopHandlerFunc(bytesHandler),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.CopyN(w, pattern{}, int64(plenty()))
		}),
	})
	requests := []string{
		"GET /bytes HTTP/1.1\r\nHost: x\r\n\r\n", "GET /bytes HTTP/1.0\r\n\r\n",
		"GET /pool HTTP/1.1\r\nHost: x\r\n\r\n", "GET /pool HTTP/1.0\r\n\r\n",
		"GET /bytes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
	}
	var clients []*client
	for _, request := range requests {
		c := s.dialBuffered(t, 64<<10)
		c.send(request)
		clients = append(clients, c)
	}
	lingertest.Wait(t, "answers wait for their readers", func() bool {
		live := s.Report().Connections
		return live[linger.Sending]+live[linger.Handling] == len(requests)
	})
	result := s.shutdown(t, context.Background())
	for i, c := range clients {
		if _, body := c.answer("GET"); len(body) != plenty() {
			t.Errorf("%q: %d bytes, want %d", requests[i], len(body), plenty())
		}
	}
	if err := wait(t, "Shutdown", result); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	s.assertGone(t)
}

// Clients that wait to be accepted when Shutdown or Release is called are taken in.
func TestAcceptQueueIsTakenIn(t *testing.T) {
	for _, how := range []string{"Shutdown", "Release"} {
		t.Run(how, func(t *testing.T) {
			blocked := make(chan struct{})
			s := start(t, &Server{Loops: 1, StuckGrace: time.Minute, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
				if string(r.Path) == "/block" {
					<-blocked
				}
				hello(w, r)
			})})
			blocker := s.dial(t)
			blocker.send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
			lingertest.Wait(t, "the loop is blocked", func() bool { return s.run.loops[0].handling.Load() >= 0 })
			var waiting []*client
			for range 20 {
				c := s.dial(t)
				c.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				waiting = append(waiting, c)
			}
			result := make(chan error, 1)
			go func() {
				if how == "Release" {
					result <- s.Release()
				} else {
					result <- s.Shutdown(context.Background())
				}
			}()
			lingertest.Wait(t, "the server lets go", func() bool { return s.state.Load() > stateServing })
			close(blocked)
			for _, c := range waiting {
				if res, _ := c.answer("GET"); res.StatusCode != 200 {
					t.Errorf("got %s", res.Status)
				}
				_ = c.Close()
			}
			blocker.answer("GET")
			_ = blocker.Close()
			if err := wait(t, how, result); err != nil {
				t.Errorf("%s = %v", how, err)
			}
			if err := s.wait(t); err != ErrServerClosed {
				t.Errorf("Serve = %v", err)
			}
		})
	}
}

func TestRelease(t *testing.T) {
	g := newGate()
	s := start(t, &Server{Handler: g})
	idle, slow := s.dial(t), s.dial(t)
	idle.get("/free")
	slow.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-g.entered
	if err := s.Release(); err != nil {
		t.Fatal(err)
	}
	if rep := s.Report(); rep.Mode != linger.ModeRelease || rep.Steps.Refused == 0 || rep.Connections.Total() != 2 || rep.Steps.Done != 0 {
		t.Errorf("report while connections live on = %s", rep)
	}
	successor, err := Listen(context.Background(), s.addr.String(), false)
	if err != nil {
		t.Fatalf("a successor cannot listen: %v", err)
	}
	defer successor.Close()
	close(g.open)
	idle.get("/free")
	if res, body := slow.answer("GET"); body != "through the gate" || res.Close {
		t.Errorf("answer = %s %q, close %v", res.Status, body, res.Close)
	}
	slow.get("/free")
	if err := s.Release(); err != nil {
		t.Errorf("second Release = %v", err)
	}
	_ = idle.Close()
	select {
	case err := <-s.result:
		t.Fatalf("Serve = %v while a connection lives", err)
	default:
	}
	slow.get("/free")
	_ = slow.Close()
	if err := s.wait(t); err != ErrServerClosed {
		t.Errorf("Serve = %v", err)
	}
	if rep := s.Report(); rep.Mode != linger.ModeRelease || !rep.Complete() || rep.Closed != 2 || rep.Connections.Total() != 0 ||
		rep.Left.Others[sockdiag.Listen] != 1 {
		t.Errorf("report = %s", rep)
	}
}

// A server without connections has nothing to wait for.
func TestReleaseWithoutConnections(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	if err := s.Release(); err != nil {
		t.Error(err)
	}
	if err := s.wait(t); err != ErrServerClosed {
		t.Errorf("Serve = %v", err)
	}
	s.assertGone(t)
	if err := errors.Join(s.Release(), s.Shutdown(context.Background()), s.Close()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestLettingGoBeforeServe(t *testing.T) {
	for _, f := range []func(*Server) error{
		(*Server).Release,
		func(s *Server) error { return s.Shutdown(context.Background()) },
	} {
		var s Server
		if err := f(&s); err != nil {
			t.Error(err)
		}
		if err := s.Serve(listenAlone(t)); err != ErrServerClosed {
			t.Errorf("Serve = %v, want ErrServerClosed", err)
		}
	}
}

// The more forceful call wins.
func TestMoreForcefulCallsWin(t *testing.T) {
	g := newGate()
	s := start(t, &Server{Handler: g})
	c, idle := s.dial(t), s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-g.entered
	idle.get("/free")
	if err := s.Release(); err != nil {
		t.Fatal(err)
	}
	idle.get("/free")
	first := s.shutdown(t, context.Background())
	second := s.shutdown(t, context.Background())
	idle.wantReset()
	if err := s.Release(); err != nil {
		t.Errorf("Release during Shutdown = %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	c.wantReset()
	for _, result := range []chan error{first, second} {
		if err := wait(t, "Shutdown", result); err != nil {
			t.Errorf("Shutdown that Close has overtaken = %v", err)
		}
	}
	s.assertGone(t)
}

// A handler can let go of the port itself, and its client gets what it has said.
func TestLettingGoFromHandler(t *testing.T) {
	const farewell = "server is going down NOW"
	calls := map[string]func(*Server) error{
		"Close":    (*Server).Close,
		"Shutdown": func(s *Server) error { return s.Shutdown(context.Background()) },
		"Release":  (*Server).Release,
	}
	for name, call := range calls {
		for range lingertest.Times(5, 20) {
			results := make(chan error, 1)
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/stop" {
					return
				}
				_, _ = io.WriteString(w, farewell)
				results <- call(r.Context().Value(http.ServerContextKey).(*Server))
				if _, err := io.WriteString(w, "too late"); err == nil && name != "Release" {
					t.Errorf("%s: writing after it = nil", name)
				}
			})
			idle, c := s.dial(t), s.dial(t)
			idle.get("/")
			c.send("GET /stop HTTP/1.1\r\nHost: x\r\n\r\n")
			res, body := c.answer("GET")
			want := farewell
			if name == "Release" {
				want += "too late"
			}
			if res.StatusCode != 200 || body != want || res.Close != (name != "Release") {
				t.Errorf("%s: answer = %s %q, close %v", name, res.Status, body, res.Close)
			}
			if name == "Release" {
				idle.get("/")
				_ = idle.Close()
			} else {
				idle.wantReset()
			}
			_ = c.Close()
			if err := wait(t, name, results); err != nil {
				t.Errorf("%s = %v", name, err)
			}
			if err := s.wait(t); err != ErrServerClosed {
				t.Errorf("%s: Serve = %v", name, err)
			}
			s.assertGone(t)
		}
	}
}

// Close does not wait for handlers; the report counts them.
func TestCloseCountsHandlers(t *testing.T) {
	stay, left := make(chan struct{}), new(sync.WaitGroup)
	left.Add(3)
	var entered atomic.Int32
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		defer left.Done()
		entered.Add(1)
		<-stay // whatever becomes of the connection
		if _, err := r.Body.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("Read after Close = %v", err)
		}
		if _, err := w.Write(make([]byte, 1)); err == nil {
			t.Error("Write after Close = nil")
		}
	})
	for range 3 {
		s.dial(t).send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
	}
	lingertest.Wait(t, "the handlers run", func() bool { return entered.Load() == 3 })
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if rep := s.Report(); rep.HandlersRunning != 3 || rep.Connections[linger.Handling] != 3 || !rep.Complete() {
		t.Errorf("report = %s", rep)
	}
	s.assertGone(t)
	close(stay)
	left.Wait()
}

func TestShutdownWaitsForHijackedConnections(t *testing.T) {
	conns := make(chan net.Conn, 2)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conns <- conn
	})
	polite, stubborn := s.dial(t), s.dial(t)
	polite.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	conn := <-conns
	stubborn.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	other := <-conns
	defer other.Close()
	s.RegisterOnShutdown(func() {
		_, _ = io.WriteString(conn, "goodbye")
		_ = conn.Close()
	})
	ctx, cancel := context.WithCancel(context.Background())
	result := s.shutdown(t, ctx)
	if got, err := polite.ended(); got != "goodbye" || err != nil {
		t.Errorf("a hijacked connection ended with %q, %v", got, err)
	}
	_ = polite.Close()
	select {
	case err := <-result:
		t.Fatalf("Shutdown = %v while a hijacked connection lives", err)
	default:
	}
	// The client reads FIN before the server has taken the connection out of its table.
	lingertest.Wait(t, "the other hijacked connection alone is left", func() bool { return s.Report().Connections == linger.Tally{linger.Hijacked: 1} })
	cancel()
	stubborn.wantReset()
	if err := wait(t, "Shutdown", result); err != context.Canceled {
		t.Errorf("Shutdown = %v", err)
	}
	if rep := s.Report(); rep.AtDeadline[linger.Hijacked] != 1 || !rep.Complete() {
		t.Errorf("report = %s", rep)
	}
}

// A request that comes while the one before it is answered is served in a drain too, although the loop was too busy to read
// it in the time that the handler before it had.
func TestShutdownWithAnotherRequest(t *testing.T) {
	for _, limit := range []time.Duration{0, 100 * time.Millisecond} {
		inHandler, proceed, inLoop, unblock := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
		s := start(t, &Server{
			Loops: 1, HandlerTimeout: limit, StuckGrace: time.Minute,
			OnLoop: func(r *httpcodec.Request) bool { return string(r.Path) == "/block" },
			LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
				close(inLoop)
				<-unblock
			}),
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/begun" {
					w.(http.Flusher).Flush()
					close(inHandler)
					<-proceed
				}
			}),
		})
		c, blocker := s.dial(t), s.dial(t)
		blocker.get("/")
		c.send("GET /begun HTTP/1.1\r\nHost: x\r\n\r\n")
		<-inHandler
		blocker.send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
		<-inLoop
		result := s.shutdown(t, context.Background())
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		close(proceed)
		time.Sleep(150 * time.Millisecond) // the time of the handler is over before the loop gets to anything
		close(unblock)
		blocker.answer("GET")
		_ = blocker.Close()
		c.answer("GET")
		if res, _ := c.answer("GET"); res.StatusCode != 200 || !res.Close {
			t.Errorf("answer to the request behind it = %s, close %v", res.Status, res.Close)
		}
		_ = c.Close()
		if err := wait(t, "Shutdown", result); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		s.assertGone(t)
	}
}

// An answer of a handler that calls Close is whole also where nothing but the end of the connection says so.
func TestCloseFromHandlerOfOldClient(t *testing.T) {
	for range lingertest.Times(5, 20) {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "server is going ")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "down NOW")
			_ = r.Context().Value(http.ServerContextKey).(*Server).Close()
		})
		c := s.dial(t)
		c.send("GET / HTTP/1.0\r\n\r\n")
		if _, body := c.answer("GET"); body != "server is going down NOW" {
			t.Errorf("answer = %q", body)
		}
		_ = s.wait(t)
		s.assertGone(t)
	}
}

// A handler whose client takes nothing can let go of the port as well.
func TestLettingGoFromStalledHandler(t *testing.T) {
	calls := map[string]func(*Server) error{
		"Close": (*Server).Close,
		"Shutdown": func(s *Server) error {
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			if err := s.Shutdown(ctx); err != context.DeadlineExceeded {
				return fmt.Errorf("Shutdown of a stalled handler = %w", err)
			}
			return nil
		},
	}
	for name, call := range calls {
		stalled, results := make(chan struct{}), make(chan error, 1)
		s := start(t, &Server{WriteTimeout: -1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			broken := make(chan struct{})
			go func() {
				defer close(broken)
				_, _ = io.Copy(w, pattern{})
			}()
			<-stalled
			results <- call(r.Context().Value(http.ServerContextKey).(*Server))
			<-broken
		})})
		idle, c := s.dial(t), s.dialSlow(t)
		lingertest.Wait(t, "both are accepted", func() bool { return s.Report().Connections.Total() == 2 })
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		lingertest.Wait(t, "the answer waits for its reader", func() bool {
			for _, x := range s.run.pool.busy() {
				if x.unacked() > 0 && s.run.watcher.Awaits(x.fd) {
					return true
				}
			}
			return false
		})
		close(stalled)
		if err := wait(t, name, results); err != nil {
			t.Error(err)
		}
		idle.wantReset()
		c.wantReset()
		s.assertGone(t)
	}
}
