//go:build linux

package lingertest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

func TestMain(m *testing.M) { lingertest.Main(m) }

// recorder is a test that notes how it fails.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	errors []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recorder) want(t *testing.T, parts ...string) {
	t.Helper()
	all := strings.Join(r.errors, "\n")
	if len(parts) == 0 && all != "" {
		t.Errorf("the test fails with %q, want it to pass", all)
	}
	for _, part := range parts {
		if !strings.Contains(all, part) {
			t.Errorf("the test fails with %q, want %q", all, part)
		}
	}
}

// ways are all kinds of handlers, by path.
func ways(gate <-chan struct{}, in chan<- bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })
	mux.HandleFunc("/wait", func(w http.ResponseWriter, r *http.Request) {
		in <- true
		<-r.Context().Done()
	})
	mux.HandleFunc("/stuck", func(w http.ResponseWriter, r *http.Request) {
		in <- true
		<-gate
	})
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		in <- true
		_, _ = io.Copy(io.Discard, c) // and is never closed
	})
	return mux
}

func (s *Server) dial(t *testing.T, path string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(lingertest.Patience))
	if s.TLS != nil {
		trusting := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		trusting.ServerName = "127.0.0.1"
		c = tls.Client(c, trusting)
	}
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	return c
}

func wantReset(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client read %v, want ECONNRESET", err)
	}
}

// Whatever its connections are doing, nothing is left of a server, and the test passes.
func TestServer(t *testing.T) {
	for _, start := range []func(testing.TB, http.Handler) *Server{NewServer, NewTLSServer} {
		rec := &recorder{TB: t}
		in := make(chan bool, 2)
		s := start(rec, ways(nil, in))
		resp, err := s.Client().Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(body) != "HTTP/1.1" {
			t.Errorf("the answer is %q", body)
		}
		clients := []net.Conn{s.dial(t, "/wait"), s.dial(t, "/hijack")}
		<-in
		<-in
		s.Close()
		s.Close()
		rec.want(t)
		for _, c := range clients {
			wantReset(t, c)
		}
		if err := linger.CheckFree(s.Listener.Addr().(*net.TCPAddr).AddrPort()); err != nil {
			t.Errorf("the port is not free: %v", err)
		}
	}
}

// Connections can be reset without an end of the server.
func TestCloseClientConnections(t *testing.T) {
	s := NewServer(t, ways(nil, nil))
	s.CloseClientConnections()
	c := s.dial(t, "/")
	in := bufio.NewReader(c)
	if _, err := in.Peek(1); err != nil {
		t.Fatal(err)
	}
	s.CloseClientConnections()
	if _, err := io.Copy(io.Discard, in); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client read %v, want ECONNRESET", err)
	}
	if resp, err := s.Client().Get(s.URL); err != nil {
		t.Error(err)
	} else {
		_ = resp.Body.Close()
	}
}

// A handler that does not return fails the test, and is named.
func TestHandlerLeft(t *testing.T) {
	rec := &recorder{TB: t}
	gate, in := make(chan struct{}), make(chan bool, 1)
	s := NewServer(rec, ways(gate, in))
	s.patience = 10 * time.Millisecond
	c := s.dial(t, "/stuck")
	<-in
	s.Close()
	wantReset(t, c)
	rec.want(t, "1 handlers have not returned", "lingertest.ways")
	close(gate)
}

// So does a descriptor of the listener.
func TestSocketLeft(t *testing.T) {
	rec := &recorder{TB: t}
	s := NewUnstartedServer(rec, nil)
	var f *os.File
	f, err := s.Listener.(*linger.Listener).NetListener().(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	s.Close()
	rec.want(t, "something is left of the server", "LISTEN")
	_ = f.Close()
}

// A server that was never started is closed like any other; its handler can be changed before.
func TestUnstarted(t *testing.T) {
	rec := &recorder{TB: t}
	NewUnstartedServer(rec, nil).Close()
	s := NewUnstartedServer(rec, nil)
	s.Config.Handler = ways(nil, nil)
	s.EnableHTTP2 = true
	s.StartTLS()
	resp, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(resp.Body); string(body) != "HTTP/2.0" {
		t.Errorf("the answer is %q, want one of the handler that was set", body)
	}
	_ = resp.Body.Close()
	s.Close()
	rec.want(t)
}

func ExampleNewServer() {
	t := new(testing.T) // that of the test
	srv := NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	c, _ := net.Dial("tcp", srv.Listener.Addr().String())
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	srv.Close() // at the latest at the end of the test
	_, err := c.Read(make([]byte, 1))
	fmt.Println(errors.Is(err, syscall.ECONNRESET), t.Failed())
	// Output: true false
}
