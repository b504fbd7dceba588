//go:build linux

package poller

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"rstserver/httpcodec"
	"rstserver/internal/lingertest"
)

// callback is a way in which f is called once, by something that a Server calls. set prepares the server; trigger, if there is any, is what has it
// called once clients can connect.
type callback struct {
	name    string
	onLoop  bool // the loop waits for f
	set     func(srv *Server, f func())
	trigger func(t *testing.T, s *served)
}

// get sends a request whose answer may break off.
func get(t *testing.T, s *served) {
	t.Helper()
	s.dial(t).send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
}

// logged is a slog.Handler that calls f for the first line that contains text.
type logged struct {
	slog.Handler
	text string
	f    func()
}

func (l logged) Enabled(context.Context, slog.Level) bool { return true }
func (l logged) WithAttrs([]slog.Attr) slog.Handler       { return l }

func (l logged) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, l.text) {
		l.f()
	}
	return nil
}

// callingSource is content that calls back.
type callingSource struct{ read, close func() }

func (s callingSource) Read(p []byte) (int, error) { s.read(); return copy(p, "content"), nil }
func (s callingSource) Close() error               { s.close(); return nil }

func callbacks() []callback {
	nop := func() {}
	logOn := func(srv *Server, text string, f func()) {
		srv.Logger = slog.New(logged{slog.DiscardHandler, text, f})
	}
	handler := func(h http.HandlerFunc) http.Handler { return h }
	return []callback{
		{"BaseContext", false, func(srv *Server, f func()) {
			srv.BaseContext = func(net.Listener) context.Context { f(); return context.Background() }
		}, nil},
		{"Serving", false, func(srv *Server, f func()) { srv.Serving = func(netip.AddrPort) { f() } }, nil},
		{"ConnContext", false, func(srv *Server, f func()) {
			srv.Handler = handler(func(http.ResponseWriter, *http.Request) {})
			srv.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { f(); return ctx }
		}, get},
		{"Handler", false, func(srv *Server, f func()) {
			srv.Handler = handler(func(http.ResponseWriter, *http.Request) { f() })
		}, get},
		{"LoopHandler", true, func(srv *Server, f func()) {
			srv.LoopHandler = LoopHandlerFunc(func(*Responder, *Request) { f() })
		}, get},
		{"OnLoop", true, func(srv *Server, f func()) {
			srv.Handler = handler(func(http.ResponseWriter, *http.Request) {})
			srv.LoopHandler = LoopHandlerFunc(hello)
			srv.OnLoop = func(*httpcodec.Request) bool { f(); return true }
		}, get},
		{"ConnOpened", true, func(srv *Server, f func()) { srv.ConnOpened = func(Conn) { f() } },
			func(t *testing.T, s *served) { s.dial(t) }},
		{"ConnClosed", true, func(srv *Server, f func()) { srv.ConnClosed = func(Conn) { f() } },
			func(t *testing.T, s *served) { s.dial(t).Close() }},
		{"ConnAborted", true, func(srv *Server, f func()) {
			srv.LoopHandler = LoopHandlerFunc(func(*Responder, *Request) { panic(http.ErrAbortHandler) })
			srv.ConnAborted = func(Conn) { f() }
		}, get},
		{"ConnClosed of a hijacked connection", false, func(srv *Server, f func()) {
			srv.Handler = handler(func(w http.ResponseWriter, r *http.Request) {
				c, _, err := http.NewResponseController(w).Hijack()
				if err == nil {
					_ = c.(interface{ SetLinger(int) error }).SetLinger(0)
					_ = c.Close()
				}
			})
			srv.ConnClosed = func(Conn) { f() }
		}, get},
		{"Answered on the loop", true, func(srv *Server, f func()) {
			srv.LoopHandler = LoopHandlerFunc(hello)
			srv.Answered = func(Answer) { f() }
		}, get},
		{"Answered on a worker", false, func(srv *Server, f func()) {
			srv.Handler = handler(func(http.ResponseWriter, *http.Request) {})
			srv.Answered = func(Answer) { f() }
		}, get},
		{"Answered at Hijack", false, func(srv *Server, f func()) {
			srv.Handler = handler(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusSwitchingProtocols)
				c, _, err := http.NewResponseController(w).Hijack()
				if err == nil {
					_ = c.(interface{ SetLinger(int) error }).SetLinger(0)
					_ = c.Close()
				}
			})
			srv.Answered = func(Answer) { f() }
		}, get},
		{"Read of a content", true, func(srv *Server, f func()) {
			srv.LoopHandler = LoopHandlerFunc(func(w *Responder, _ *Request) { w.SetContent(callingSource{f, nop}, 7) })
		}, get},
		{"Close of a content", true, func(srv *Server, f func()) {
			srv.LoopHandler = LoopHandlerFunc(func(w *Responder, _ *Request) { w.SetContent(callingSource{nop, f}, 7) })
		}, get},
		{"Read of what ReadFrom copies", false, func(srv *Server, f func()) {
			srv.Handler = handler(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.Copy(w, io.LimitReader(callingSource{f, nop}, 7))
			})
		}, get},
		{"Logger on the loop", true, func(srv *Server, f func()) {
			srv.LoopHandler = LoopHandlerFunc(func(*Responder, *Request) { panic("on purpose") })
			logOn(srv, "panicked", f)
		}, get},
		{"Logger about a panic of Handler", false, func(srv *Server, f func()) {
			srv.Handler = handler(func(http.ResponseWriter, *http.Request) { panic("on purpose") })
			logOn(srv, "panicked", f)
		}, get},
		{"Logger about WriteHeader", false, func(srv *Server, f func()) {
			srv.Handler = handler(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); w.WriteHeader(404) })
			logOn(srv, "although the head", f)
		}, get},
		{"Logger about Content-Length", false, func(srv *Server, f func()) {
			srv.Handler = handler(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "many")
				_, _ = io.WriteString(w, "some")
			})
			logOn(srv, "is no length", f)
		}, get},
		{"Logger about a short answer", false, func(srv *Server, f func()) {
			srv.Handler = handler(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "5") })
			logOn(srv, "wrote less", f)
		}, get},
		{"Logger about a bad answer", false, func(srv *Server, f func()) {
			srv.Handler = handler(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(600) })
			logOn(srv, "cannot be sent", f)
		}, get},
		{"Logger about a trailer", false, func(srv *Server, f func()) {
			srv.Handler = handler(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set(http.TrailerPrefix+"Content-Length", "1")
				w.(http.Flusher).Flush()
			})
			logOn(srv, "trailer field", f)
		}, get},
		{"the function of AfterAnswer", false, func(srv *Server, f func()) {
			srv.Handler = handler(func(_ http.ResponseWriter, r *http.Request) { AfterAnswer(r.Context(), f) })
		}, get},
		{"the function of context.AfterFunc", false, func(srv *Server, f func()) {
			srv.Handler = handler(func(_ http.ResponseWriter, r *http.Request) { context.AfterFunc(r.Context(), f) })
		}, get},
		{"the function of RegisterOnShutdown", false, func(srv *Server, f func()) { srv.RegisterOnShutdown(f) },
			func(t *testing.T, s *served) {
				lingertest.Wait(t, "it serves", func() bool { return s.state.Load() == stateServing })
				go s.Shutdown(context.Background())
			}},
	}
}

// Every method can be called from every callback: it returns, and the server comes to its end.
func TestMethodsFromCallbacks(t *testing.T) {
	// A drain waits for the loop that it is called on, and for the handler, so it has an end.
	soon := func() context.Context {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	methods := []struct {
		name string
		ends bool // the server
		call func(srv *Server) error
	}{
		{"Report", false, func(srv *Server) error { srv.Report(); return nil }},
		{"ListenerAddr", false, func(srv *Server) error { srv.ListenerAddr(); return nil }},
		{"SetKeepAlivesEnabled", false, func(srv *Server) error { srv.SetKeepAlivesEnabled(true); return nil }},
		{"RegisterOnShutdown", false, func(srv *Server) error { srv.RegisterOnShutdown(func() {}); return nil }},
		{"Serve", false, func(srv *Server) error { return srv.Serve(listenAlone(t)) }},
		{"ListenAndServe", false, func(srv *Server) error { return srv.ListenAndServe() }},
		{"Release", true, func(srv *Server) error { return srv.Release() }},
		{"Shutdown", true, func(srv *Server) error { return srv.Shutdown(soon()) }},
		{"Close", true, func(srv *Server) error { return srv.Close() }},
	}
	for _, cb := range callbacks() {
		for _, m := range methods {
			if cb.name == "BaseContext" && strings.HasSuffix(m.name, "Serve") {
				continue // that is a way to serve another listener first
			}
			t.Run(cb.name+"/"+m.name, func(t *testing.T) {
				srv := &Server{Addr: "127.0.0.1:0", Loops: 1, StuckGrace: lingertest.Patience, Logger: slog.New(slog.DiscardHandler)}
				if cb.onLoop {
					srv.StuckGrace = 30 * time.Millisecond
				}
				returned := make(chan error, 1)
				var once sync.Once
				cb.set(srv, func() { once.Do(func() { returned <- m.call(srv) }) })
				s := &served{Server: srv, result: make(chan error, 1)}
				ln := listenAlone(t)
				s.addr = netip.MustParseAddrPort(ln.Addr().String())
				go func() { s.result <- srv.Serve(ln) }()
				if cb.trigger != nil {
					cb.trigger(t, s)
				}
				var err error
				select {
				case err = <-returned:
				case <-time.After(lingertest.Patience):
					t.Fatal("it does not return")
				}
				switch {
				case strings.HasSuffix(m.name, "Serve"):
					if !errors.Is(err, ErrServing) && !errors.Is(err, ErrServerClosed) {
						t.Errorf("%s = %v", m.name, err)
					}
				case m.name == "Close" && cb.onLoop:
					if err == nil || !strings.Contains(err.Error(), "event loop 0") {
						t.Errorf("Close on the loop = %v, want an error that names it", err)
					}
				case m.name == "Close" && err != nil:
					t.Errorf("Close = %v", err)
				}
				if !m.ends || m.name == "Release" {
					_ = srv.Close()
				}
				if err := s.wait(t); !errors.Is(err, ErrServerClosed) {
					t.Errorf("Serve = %v", err)
				}
				if srv.run != nil {
					<-srv.run.loops[0].ended // one that a Close was called on has its last descriptor to close
				}
				s.assertGone(t)
			})
		}
	}
}
