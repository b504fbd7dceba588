//go:build linux

package poller

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

// foreign is a listener that Serve refuses.
type foreign struct {
	net.Listener
	closed func()
}

func (f foreign) Close() error { f.closed(); return f.Listener.Close() }

// attributed is a slog.Handler that calls f when it is given attributes.
type attributed struct {
	slog.Handler
	f func()
}

func (a attributed) WithAttrs([]slog.Attr) slog.Handler { a.f(); return a }

// What Serve calls of its user's may ask the server.
func TestReportWhileStarting(t *testing.T) {
	t.Run("Close of a listener that is refused", func(t *testing.T) {
		srv := new(Server)
		result := make(chan error, 1)
		ln := listenAlone(t)
		go func() { result <- srv.Serve(foreign{ln, func() { srv.Report() }}) }()
		select {
		case err := <-result:
			if err == nil || !strings.Contains(err.Error(), "cannot be served") {
				t.Errorf("Serve = %v", err)
			}
		case <-time.After(lingertest.Patience):
			t.Error("Serve does not return")
		}
	})
	t.Run("WithAttrs of a logger", func(t *testing.T) {
		srv := &Server{Handler: http.NotFoundHandler()}
		srv.Logger = slog.New(attributed{slog.DiscardHandler, func() { srv.Report() }})
		serving, result := make(chan struct{}), make(chan error, 1)
		srv.Serving = func(netip.AddrPort) { close(serving) }
		go func() { result <- srv.Serve(listenAlone(t)) }()
		select {
		case <-serving:
			_ = srv.Close()
			<-result
		case <-time.After(lingertest.Patience):
			t.Error("Serve does not begin")
		}
	})
}
