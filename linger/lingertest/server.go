// Package lingertest has servers for tests that let go of everything at once. [NewServer] stands in the place of
// httptest.NewServer: what differs is the end, which waits for no client, and fails the test that leaves something behind.
//
//	srv := lingertest.NewServer(t, handler) // in the place of: srv := httptest.NewServer(handler); defer srv.Close()
//	resp, err := srv.Client().Get(srv.URL)
//
// httptest's Close waits for every request to end, for ever if a handler waits for the test, and says nothing about connections that were
// hijacked. This one resets all of them, whatever they are doing, has the kernel say that no socket is left, and waits for the handlers,
// which find their connections gone.
//
// Its functions fail the test by testing.TB, so servers are started on the test's own goroutine; any goroutine may close them.
package lingertest

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rstserver/linger"
)

// Server is a [httptest.Server] with another end. Its fields are used as there: URL, Client, Config, TLS before StartTLS.
type Server struct {
	*httptest.Server
	t        testing.TB
	listener *linger.Listener
	patience time.Duration // for handlers to return
	handlers *Handlers     // nil before it is started
	closing  sync.Once
}

// NewServer starts a server that the end of the test closes, if nobody does before. A nil handler means http.DefaultServeMux.
func NewServer(t testing.TB, handler http.Handler) *Server {
	t.Helper()
	s := NewUnstartedServer(t, handler)
	s.Start()
	return s
}

// NewTLSServer is NewServer with TLS, for which Client is prepared.
func NewTLSServer(t testing.TB, handler http.Handler) *Server {
	t.Helper()
	s := NewUnstartedServer(t, handler)
	s.StartTLS()
	return s
}

// NewUnstartedServer returns a server that listens, and can be changed before Start or StartTLS is called, as with httptest.
func NewUnstartedServer(t testing.TB, handler http.Handler) *Server {
	t.Helper()
	s := &Server{Server: httptest.NewUnstartedServer(handler), t: t, patience: 5 * time.Second}
	var err error
	if s.listener, err = linger.Wrap(s.Listener); err != nil {
		_ = s.Listener.Close()
		t.Fatalf("lingertest: %v", err)
	}
	s.Listener = s.listener
	t.Cleanup(s.Close)
	return s
}

// Start begins to serve.
func (s *Server) Start() {
	s.begin()
	s.Server.Start()
}

// StartTLS begins to serve over TLS.
func (s *Server) StartTLS() {
	s.begin()
	s.Server.StartTLS()
}

// begin starts counting handlers, whatever handler there is by now.
func (s *Server) begin() {
	handler := s.Config.Handler
	s.handlers = &Handlers{Handler: func() http.Handler { return handler }}
	s.Config.Handler = s.handlers
}

// Handlers counts the calls of a handler that have not returned. It is for servers of other kinds in tests, to which it is given
// in the place of that handler. Any goroutine may call its methods.
type Handlers struct {
	// Handler returns what answers. Nil means http.DefaultServeMux. It is called for each request, since some tests change it.
	Handler func() http.Handler

	running atomic.Int64
}

// ServeHTTP implements http.Handler.
func (h *Handlers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.running.Add(1)
	defer h.running.Add(-1)
	handler := h.Handler()
	if handler == nil {
		handler = http.DefaultServeMux
	}
	handler.ServeHTTP(w, r)
}

// Wait waits until all calls have returned, for at most so long. The error names those that have not.
func (h *Handlers) Wait(patience time.Duration) error {
	for deadline := time.Now().Add(patience); h.running.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("lingertest: %d handlers have not returned after %s:\n%s", h.running.Load(), patience, stacks())
		}
	}
	return nil
}

// CloseClientConnections resets every connection that there is. The server goes on.
func (s *Server) CloseClientConnections() {
	if s.listener.AbortIf(func(linger.ConnInfo) bool { return true }) == 0 {
		s.Server.CloseClientConnections() // where there are none, or linger knows of none
	}
}

// Close resets every connection, and returns when the handlers have. It fails the test if one does not within five seconds, which it
// names, or if a socket is left: a connection, or a descriptor of the listener that was not closed. Further calls do nothing.
func (s *Server) Close() { s.closing.Do(s.close) }

func (s *Server) close() {
	s.t.Helper()
	rep, err := s.listener.Abort()
	if err != nil && !errors.Is(err, errors.ErrUnsupported) { // elsewhere than on Linux this is httptest's own end
		s.t.Errorf("lingertest: something is left of the server: %v\n%s", err, rep)
	}
	if s.handlers == nil {
		return
	}
	if err == nil {
		if err := s.handlers.Wait(s.patience); err != nil {
			s.t.Errorf("%v", err)
			_ = s.Config.Close() // httptest's Close would wait for them
			return
		}
	}
	s.Server.Close()
}

// stacks are those of the goroutines that run handlers.
func stacks() string {
	trace := make([]byte, 1<<20)
	trace = trace[:runtime.Stack(trace, true)]
	var of []string
	for goroutine := range bytes.SplitSeq(trace, []byte("\n\n")) {
		if bytes.Contains(goroutine, []byte("lingertest.(*Handlers).ServeHTTP")) {
			of = append(of, string(goroutine))
		}
	}
	return strings.Join(of, "\n\n")
}
