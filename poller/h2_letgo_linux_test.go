//go:build linux

package poller

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// TestH2Close resets connections with streams and without, those that come meanwhile, and leaves nothing.
func TestH2Close(t *testing.T) {
	inBothH2(t, func(t *testing.T, config *tls.Config) {
		const n, streams = 20, 4
		var ended sync.WaitGroup
		var waiting sync.WaitGroup
		waiting.Add(n * streams)
		s := start(t, &Server{TLSConfig: config, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				return
			}
			ended.Add(1)
			defer ended.Done()
			waiting.Done()
			<-r.Context().Done()
		})})
		var clients []*rawH2
		for range n {
			c := s.dialH2(t)
			for i := range streams {
				c.get(uint32(2*i+1), "/wait")
			}
			clients = append(clients, c)
		}
		idle := s.dialH2(t)
		idle.get(1, "/")
		idle.answer(1)
		waiting.Wait()
		if rep := s.Report(); rep.Connections != (linger.Tally{linger.HTTP2: n + 1}) || rep.Streams != n*streams || rep.HandlersRunning != n*streams {
			t.Errorf("report = %s", rep)
		}
		lingertest.Must(t, s.Close())
		for _, c := range append(clients, idle) {
			if c.wantReset() {
				t.Error("GOAWAY came before the reset")
			}
		}
		if rep := s.Report(); rep.Connections != (linger.Tally{linger.HTTP2: n + 1}) || rep.Streams != n*streams || !rep.Complete() {
			t.Errorf("report = %s", rep)
		}
		s.assertGone(t)
		ended.Wait()
	})
}

// TestH2Shutdown ends idle connections at once, has streams come to their ends, and refuses new ones.
func TestH2Shutdown(t *testing.T) {
	inBothH2(t, func(t *testing.T, config *tls.Config) {
		g := newGate()
		s := start(t, &Server{TLSConfig: config, Handler: g})
		idle, silent, busy, polite := s.dialH2(t), s.dialH2(t), s.dialH2(t), s.dialH2(t)
		idle.get(1, "/free")
		idle.answer(1)
		for _, c := range []*rawH2{busy, polite} {
			c.get(1, "/")
			<-g.entered
		}
		result := s.shutdown(t, context.Background())
		idle.wantReset()
		silent.wantReset()
		busy.wantGoAway()
		g.open <- struct{}{}
		g.open <- struct{}{}
		if status, _, _ := busy.answer(1); status != 200 {
			t.Errorf("a stream that was under way got %d", status)
		}
		status, _, goAway := polite.answer(1)
		if status != 200 || !goAway {
			t.Errorf("another one got %d, GOAWAY %t", status, goAway)
		}
		_ = polite.Close()
		busy.wantReset() // it does not close by itself
		if err := wait(t, "Shutdown", result); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		if rep := s.Report(); rep.AtDeadline.Total() != 0 || rep.Connections != (linger.Tally{linger.HTTP2: 3}) || rep.Closed != 1 || !rep.Complete() {
			t.Errorf("report = %s", rep)
		}
		s.assertGone(t)
	})
}

// TestH2ShutdownLate has net/http close a connection before this server has come to reset it, as on a busy machine. Nothing is left of it
// either, nor of one that its client closes.
func TestH2ShutdownLate(t *testing.T) {
	plain(t, "it does both")
	type server struct {
		*served
		gate         *gate
		busy, polite *rawH2
		result       chan error
	}
	var servers []server
	for _, config := range []*tls.Config{nil, serverTLS.Clone()} { // beside each other, since net/http takes a second
		s := server{gate: newGate()}
		s.served = start(t, &Server{TLSConfig: config, Handler: s.gate})
		s.run.h2.mu.Lock()
		s.run.h2.parting = time.Hour
		s.run.h2.mu.Unlock()
		s.busy, s.polite = s.dialH2(t), s.dialH2(t)
		for _, c := range []*rawH2{s.busy, s.polite} {
			c.get(1, "/")
			<-s.gate.entered
		}
		s.result = s.shutdown(t, context.Background())
		servers = append(servers, s)
	}
	for _, s := range servers {
		close(s.gate.open)
		for _, c := range []*rawH2{s.busy, s.polite} {
			status, _, goAway := c.answer(1)
			if status != 200 {
				t.Errorf("a stream that was under way got %d", status)
			}
			if !goAway {
				c.wantGoAway()
			}
		}
		_ = s.polite.Close()
	}
	for _, s := range servers {
		if got := s.busy.readAll(); !errors.Is(got.err, syscall.ECONNRESET) && !(s.tls != nil && got.err == io.EOF) { // close_notify comes before it
			t.Errorf("the connection ended with %v, want ECONNRESET", got.err)
		}
		if err := wait(t, "Shutdown", s.result); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		if rep := s.Report(); rep.Connections != (linger.Tally{linger.HTTP2: 1}) || rep.Closed != 1 || !rep.Complete() {
			t.Errorf("report = %s", rep)
		}
		s.assertGone(t)
	}
}

// TestH2ShutdownInTime resets at the deadline what has not come to its end.
func TestH2ShutdownInTime(t *testing.T) {
	inBothH2(t, func(t *testing.T, config *tls.Config) {
		g := newGate()
		s := start(t, &Server{TLSConfig: config, Handler: g})
		c := s.dialH2(t)
		c.get(1, "/")
		<-g.entered
		ctx, cancel := context.WithCancel(context.Background())
		result := s.shutdown(t, ctx)
		c.wantGoAway()
		cancel()
		c.wantReset()
		if err := wait(t, "Shutdown", result); err != context.Canceled {
			t.Errorf("Shutdown = %v", err)
		}
		if rep := s.Report(); rep.AtDeadline[linger.HTTP2] != 1 || rep.Streams != 1 {
			t.Errorf("report = %s", rep)
		}
		close(g.open)
		s.assertGone(t)
	})
}

// TestH2Goodbye has clients leave with close_notify and a FIN right behind it, which leaves TIME_WAIT to them.
func TestH2Goodbye(t *testing.T) {
	plain(t, "there is no close_notify without TLS")
	s := start(t, &Server{TLSConfig: serverTLS.Clone(), LoopHandler: LoopHandlerFunc(hello)})
	for range 60 {
		c := s.dialH2(t)
		lingertest.Must(t, c.Conn.(*tls.Conn).CloseWrite())
		runtime.Gosched() // now and then the server sees the one before the other is there
		lingertest.Must(t, c.Close())
	}
	lingertest.Wait(t, "all have ended", func() bool { return s.Stats().Held == 0 })
	counts, _, err := sockdiag.Count(s.addr.Port())
	if err != nil || counts[sockdiag.TimeWait] != 0 {
		t.Errorf("the server has %v, %v, want no TIME_WAIT", counts, err)
	}
}

// TestH2Spread has idle connections end over a time, of which the test measures only that it is used.
func TestH2Spread(t *testing.T) {
	inBothH2(t, func(t *testing.T, config *tls.Config) {
		const n, spread = 10, 300 * time.Millisecond
		s := start(t, &Server{TLSConfig: config, Spread: spread, LameDuck: 10 * time.Millisecond})
		var clients []*rawH2
		for range n {
			clients = append(clients, s.dialH2(t))
		}
		began := time.Now()
		result := s.shutdown(t, context.Background())
		for _, c := range clients {
			if !c.wantReset() {
				t.Error("a connection was reset without GOAWAY")
			}
		}
		if took := time.Since(began); took < spread/2 {
			t.Errorf("all ended within %s of %s", took, spread)
		}
		if err := wait(t, "Shutdown", result); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		s.assertGone(t)
	})
}

// TestH2Release keeps the connections, which go on to be served.
func TestH2Release(t *testing.T) {
	inBothH2(t, func(t *testing.T, config *tls.Config) {
		s := start(t, &Server{TLSConfig: config})
		c := s.dialH2(t)
		lingertest.Must(t, s.Release())
		c.get(1, "/")
		if status, _, goAway := c.answer(1); status != 200 || goAway {
			t.Errorf("after a release got %d, GOAWAY %t", status, goAway)
		}
		_ = c.Close()
		if err := s.wait(t); err != ErrServerClosed {
			t.Errorf("Serve = %v", err)
		}
	})
}

// TestH2KeepAlives tells every connection to go away.
func TestH2KeepAlives(t *testing.T) {
	inBothH2(t, func(t *testing.T, config *tls.Config) {
		s := start(t, &Server{TLSConfig: config})
		before := s.dialH2(t)
		s.SetKeepAlivesEnabled(false)
		before.wantGoAway()
		after := s.dialH2(t)
		after.get(1, "/")
		status, _, goAway := after.answer(1)
		if status != 200 {
			t.Errorf("a new connection got %d", status)
		}
		if !goAway {
			after.wantGoAway()
		}
	})
}

// TestH2AfterAnswer has the answer arrive before the server ends.
func TestH2AfterAnswer(t *testing.T) {
	inBothH2(t, func(t *testing.T, config *tls.Config) {
		for _, early := range []bool{false, true} {
			var s *served
			s = start(t, &Server{TLSConfig: config, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !AfterAnswer(r.Context(), func() { _ = s.Close() }) {
					t.Error("AfterAnswer does not take it")
				}
				_, _ = io.WriteString(w, "goodbye")
				if early {
					w.(http.Flusher).Flush()
				}
			})})
			c := s.dialH2(t)
			c.get(1, "/")
			if status, content, _ := c.answer(1); status != 200 || content != "goodbye" {
				t.Errorf("the answer is %d %q", status, content)
			}
			c.wantReset()
			_ = s.wait(t)
			s.assertGone(t)
		}
	})
}

// TestH2Turn has a handler that waits learn that a drain has come to its connection.
func TestH2Turn(t *testing.T) {
	inBothH2(t, func(t *testing.T, config *tls.Config) {
		entered := make(chan struct{})
		s := start(t, &Server{TLSConfig: config, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			select {
			case <-linger.Turn(r.Context()).Done():
				_, _ = io.WriteString(w, "its turn")
			case <-time.After(lingertest.Patience):
			}
		})})
		c := s.dialH2(t)
		c.get(1, "/")
		<-entered
		result := s.shutdown(t, context.Background())
		if status, content, goAway := c.answer(1); status != 200 || content != "its turn" || !goAway {
			t.Errorf("the answer is %d %q, GOAWAY %t", status, content, goAway)
		}
		_ = c.Close()
		if err := wait(t, "Shutdown", result); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
	})
}
