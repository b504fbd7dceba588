//go:build linux

package interop

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// ServeHTTP is the handler of all of net/http's servers here.
func (s *served) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" {
		_, _ = io.WriteString(w, "hello")
		return
	}
	defer s.working()()
	switch r.URL.Path {
	case "/wait": // whatever becomes of the client
		<-s.gate
	case "/half":
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		<-s.gate
	case "/read":
		_, _ = io.Copy(io.Discard, r.Body)
	case "/endless":
		for {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	case "/hijack":
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	case "/websocket":
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, data, err := c.Read(context.Background())
			if err != nil {
				return
			}
			_ = c.Write(context.Background(), kind, data)
		}
	}
}

var quiet = log.New(io.Discard, "", 0)

func startHTTP(t testing.TB, config linger.ListenConfig) *served {
	srv := &http.Server{ErrorLog: quiet}
	return start(t, config, func(s *served) error {
		srv.Handler, s.shutdown = s, srv.Shutdown
		return srv.Serve(s.Listener)
	})
}

// startHTTPS serves over TLS. By hand, the tls.Listener is put around ours by the test.
func startHTTPS(t testing.TB, config linger.ListenConfig, byHand bool) *served {
	server, _ := selfSigned(t)
	srv := &http.Server{ErrorLog: quiet, TLSConfig: server}
	return start(t, config, func(s *served) error {
		srv.Handler, s.shutdown = s, srv.Shutdown
		if byHand {
			return srv.Serve(tls.NewListener(s.Listener, server))
		}
		return srv.ServeTLS(s.Listener, "", "")
	})
}

func plainStates() []state {
	return append(httpStates(raw),
		state{name: "new", open: raw(sends(""))},
		state{name: "WebSocket", open: openWebSocket, handlers: 1},
	)
}

func tlsStates(t testing.TB) []state {
	_, config := selfSigned(t)
	states := httpStates(func(do func(*rawClient) error) func(testing.TB, *served) (client, error) { return rawTLS(config, do) })
	return append(states,
		state{name: "new", open: raw(sends(""))},
		state{name: "in the TLS handshake", open: raw(sends("\x16\x03\x01\x02\x00\x01"))},
		state{name: "after the TLS handshake", open: rawTLS(config, sends(""))},
		state{name: "idle HTTP/2", open: http2Client(config, "/")},
		state{name: "HTTP/2 with an open stream", open: http2Client(config, "/half"), handlers: 1},
		state{name: "HTTP/2 with ten open streams", open: http2Client(config, "/half", "/half", "/half", "/half", "/half", "/half", "/half", "/half",
			"/half", "/half"), handlers: 10},
		state{name: "HTTP/2 with a slow reader", open: http2Client(config, "/endless"), handlers: 1},
	)
}

func TestHTTP(t *testing.T) {
	t.Run("Abort", func(t *testing.T) {
		abortsAll(t, startHTTP(t, linger.ListenConfig{}), lingertest.Times(200, 1000), plainStates())
	})
	t.Run("Abort, armed", func(t *testing.T) { abortsAll(t, startHTTP(t, linger.ListenConfig{Armed: true}), 100, plainStates()) })
	t.Run("Drain", func(t *testing.T) { drainsAll(t, startHTTP(t, linger.ListenConfig{Armed: true}), plainStates()) })
	t.Run("Drain in order", func(t *testing.T) { finishesInDrain(t, startHTTP(t, linger.ListenConfig{Armed: true}), finishing(raw)) })
}

func TestHTTPS(t *testing.T) {
	t.Run("Abort", func(t *testing.T) {
		abortsAll(t, startHTTPS(t, linger.ListenConfig{}, false), lingertest.Times(200, 1000), tlsStates(t))
	})
	t.Run("Abort, tls.NewListener", func(t *testing.T) {
		abortsAll(t, startHTTPS(t, linger.ListenConfig{Armed: true}, true), 100, tlsStates(t))
	})
	t.Run("Drain", func(t *testing.T) { drainsAll(t, startHTTPS(t, linger.ListenConfig{}, false), tlsStates(t)) })
	t.Run("Drain in order", func(t *testing.T) {
		_, config := selfSigned(t)
		states := finishing(func(do func(*rawClient) error) func(testing.TB, *served) (client, error) { return rawTLS(config, do) })
		states = append(states, state{name: "HTTP/2", open: http2Client(config, "/half", "/half"), handlers: 2})
		finishesInDrain(t, startHTTPS(t, linger.ListenConfig{Armed: true}, false), states)
	})
}

// net/http has the kernel copy a file to a Conn, as to a net.TCPConn.
func TestHTTPSendfile(t *testing.T) {
	const size = 4 << 20
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	calls := make(chan int, 1)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		runtime.LockOSThread()
		before := writes(t)
		http.ServeFile(w, r, path)
		calls <- writes(t) - before
	})}
	s := start(t, linger.ListenConfig{}, func(s *served) error { return srv.Serve(s.Listener) })
	resp, err := http.Get("http://" + s.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	n, err := io.Copy(io.Discard, resp.Body)
	if err := errors.Join(err, resp.Body.Close()); n != size || err != nil {
		t.Errorf("the client read %d bytes, %v, want %d", n, err, size)
	}
	// A copy in the process writes 32 KiB at a time.
	if n := <-calls; n >= size/(32<<10) {
		t.Errorf("%d calls that write, want the copy in the kernel", n)
	}
}

// writes is how many system calls of this thread have written (proc_pid_io(5)).
func writes(t testing.TB) int {
	b, err := os.ReadFile("/proc/thread-self/io")
	if err != nil {
		t.Errorf("the kernel does not count: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(line, "syscw: "); ok {
			calls, _ := strconv.Atoi(strings.TrimSpace(n))
			return calls
		}
	}
	return 0
}
