//go:build linux

package interop

import (
	"context"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
	"rstserver/poller"
)

// served is a poller.Server that serves on a port of its own.
type served struct {
	*poller.Server
	addr   netip.AddrPort
	url    string
	result chan error // what Serve returned
	log    *lingertest.Output
}

// serve serves handler by poller; see start.
func serve(t testing.TB, handler http.Handler) *served {
	t.Helper()
	return start(t, &poller.Server{Handler: handler})
}

func serveFunc(t testing.TB, handler http.HandlerFunc) *served {
	t.Helper()
	return serve(t, handler)
}

// start starts srv on a free port of 127.0.0.1. At the end of the test it is closed, and nothing may be left of it.
func start(t testing.TB, srv *poller.Server) *served {
	t.Helper()
	ln := listenAlone(t)
	s := &served{Server: srv, result: make(chan error, 1), log: new(lingertest.Output)}
	srv.Logger = slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	serving := make(chan netip.AddrPort, 1)
	srv.Serving = func(a netip.AddrPort) { serving <- a }
	go func() { s.result <- srv.Serve(ln) }()
	select {
	case s.addr = <-serving:
	case err := <-s.result:
		t.Fatalf("Serve = %v before it served", err)
	case <-time.After(lingertest.Patience):
		t.Fatal("the server does not start")
	}
	s.url = "http://" + s.addr.String()
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !t.Failed() {
			t.Errorf("Close() = %v", err)
		}
		s.wait(t)
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.log)
		}
	})
	return s
}

// listenAlone listens on a port of the test's own.
func listenAlone(t testing.TB) net.Listener {
	t.Helper()
	ln, err := poller.Listen(context.Background(), sockdiagtest.OwnAddr(t, "127.0.0.1:0"), false)
	lingertest.Must(t, err)
	return ln
}

// wait waits for the end of Serve.
func (s *served) wait(t testing.TB) {
	t.Helper()
	select {
	case err := <-s.result:
		s.result <- err
		if err != poller.ErrServerClosed {
			t.Errorf("Serve = %v, want ErrServerClosed", err)
		}
	case <-time.After(lingertest.Patience):
		t.Error("Serve does not return")
	}
}

// assertGone checks that no socket of any state is left on the port, with the kernel's tables and with a bind.
func (s *served) assertGone(t testing.TB) {
	t.Helper()
	var counts sockdiag.Counts
	lingertest.Wait(t, "half-open connections time out", func() bool {
		var err error
		if counts, _, err = sockdiag.Count(s.addr.Port()); err != nil {
			t.Fatal(err)
		}
		// The kernel keeps a handshake that nobody will finish for a second; it is in nobody's way.
		return counts[sockdiag.SynRecv] == 0
	})
	if counts.Total() != 0 {
		t.Errorf("left on port %d: %s\n%s", s.addr.Port(), counts, lingertest.Leftover(s.addr.Port()))
	}
	if err := linger.CheckFree(s.addr); err != nil {
		t.Errorf("the port is not free: %v", err)
	}
}

// wantLog fails unless the server has logged each of texts.
func (s *served) wantLog(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(s.log.String(), text) {
			t.Errorf("the server's log does not say %q", text)
		}
	}
}

// peer is a server of net/http.
type peer struct {
	*http.Server
	addr netip.AddrPort
	url  string
	log  *lingertest.Output
}

// serveNetHTTP serves handler by net/http until the end of the test.
func serveNetHTTP(t testing.TB, handler http.Handler) *peer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{addr: ln.Addr().(*net.TCPAddr).AddrPort(), log: new(lingertest.Output)}
	p.url = "http://" + p.addr.String()
	p.Server = &http.Server{Handler: handler, ErrorLog: log.New(p.log, "", 0)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.Serve(ln)
	}()
	t.Cleanup(func() {
		_ = p.Close()
		<-ended
	})
	return p
}

// wait waits until done is closed.
func wait(t testing.TB, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(lingertest.Patience):
		t.Fatalf("waited %s for this: %s", lingertest.Patience, what)
	}
}
