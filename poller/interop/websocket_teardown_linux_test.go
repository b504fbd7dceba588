//go:build linux

package interop

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// errReset is how connections end that the server has reset.
const errReset = syscall.ECONNRESET

// openSockets opens n WebSockets, and waits until the server counts them as hijacked.
func openSockets(t *testing.T, s *served, n int) []socket {
	t.Helper()
	var sockets []socket
	for i := range n {
		c := dialSocket(t, echoes[i%2].name, s.url)
		if _, err := c.roundTrip([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		sockets = append(sockets, c)
	}
	if got := s.Report().Connections; got[linger.Hijacked] != n || got.Total() != n {
		t.Fatalf("the Report counts %v, want %d hijacked", got, n)
	}
	return sockets
}

// readAllSockets returns how each of the sockets ends.
func readAllSockets(sockets []socket) []error {
	errs := make([]error, len(sockets))
	var all sync.WaitGroup
	for i, c := range sockets {
		all.Go(func() { errs[i] = c.read() })
	}
	all.Wait()
	return errs
}

func TestCloseResetsWebSockets(t *testing.T) {
	for _, echo := range echoes {
		t.Run(echo.name, func(t *testing.T) {
			const n = 40
			s := serve(t, echo.handler)
			sockets := openSockets(t, s, n)
			if err := s.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
			s.assertGone(t)
			for i, err := range readAllSockets(sockets) {
				if !isReset(err) {
					t.Errorf("WebSocket %d ended with %v, want ECONNRESET", i, err)
				}
			}
			if rep := s.Report(); rep.Connections[linger.Hijacked] != n || rep.Connections.Total() != n || !rep.Complete() {
				t.Errorf("the Report says %+v, want %d hijacked ones aborted and nothing left", rep, n)
			}
		})
	}
}

// goodbyes are the WebSockets of a server that says goodbye to them when it is shut down.
type goodbyes struct {
	mu    sync.Mutex
	conns []*coder.Conn
}

func (g *goodbyes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := coder.Accept(w, r, nil)
	if err != nil {
		return
	}
	g.mu.Lock()
	g.conns = append(g.conns, c)
	g.mu.Unlock()
	for {
		kind, data, err := c.Read(context.Background())
		if err != nil {
			_ = c.CloseNow()
			return
		}
		_ = c.Write(context.Background(), kind, data)
	}
}

func (g *goodbyes) say() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		go func() { _ = c.Close(coder.StatusGoingAway, "shutdown") }()
	}
}

func TestShutdownLetsWebSocketsSayGoodbye(t *testing.T) {
	const n = 20
	var g goodbyes
	s := serve(t, &g)
	s.RegisterOnShutdown(g.say)
	sockets := openSockets(t, s, n)
	result := make(chan error, 1)
	go func() { result <- s.Shutdown(context.Background()) }()
	for i, err := range readAllSockets(sockets) {
		if coder.CloseStatus(err) != coder.StatusGoingAway && !gorillaGoingAway(err) {
			t.Errorf("WebSocket %d ended with %v, want Close with 1001", i, err)
		}
	}
	if err := <-result; err != nil {
		t.Errorf("Shutdown() = %v", err)
	}
	rep := s.Report()
	if rep.Mode != linger.ModeDrain || rep.Closed != n || rep.AtDeadline.Total() != 0 || rep.Connections.Total() != 0 || !rep.Complete() {
		t.Errorf("the Report says %+v, want %d connections closed and none cut", rep, n)
	}
}

// Without anybody who tells them, Shutdown waits for WebSockets, and its deadline cuts them.
func TestShutdownCutsWebSockets(t *testing.T) {
	const n = 10
	s := serve(t, echoes[0].handler)
	sockets := openSockets(t, s, n)
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- s.Shutdown(ctx) }()
	lingertest.Wait(t, "the port is given up", func() bool { return s.Report().Steps.Refused != 0 })
	for i, c := range sockets {
		if got, err := c.roundTrip([]byte("still there?")); err != nil || string(got) != "still there?" {
			t.Errorf("WebSocket %d during Shutdown: %q, %v", i, got, err)
		}
	}
	select {
	case err := <-result:
		t.Fatalf("Shutdown() = %v while WebSockets are open", err)
	default:
	}
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown() = %v, want context.Canceled", err)
	}
	s.assertGone(t)
	for i, err := range readAllSockets(sockets) {
		if !isReset(err) {
			t.Errorf("WebSocket %d ended with %v, want ECONNRESET", i, err)
		}
	}
	if rep := s.Report(); rep.AtDeadline[linger.Hijacked] != n || rep.Connections[linger.Hijacked] != n || !rep.Complete() {
		t.Errorf("the Report says %+v, want %d hijacked ones cut at the deadline", rep, n)
	}
}

// After Release WebSockets go on until they end by themselves, and a successor has the port.
func TestReleaseKeepsWebSockets(t *testing.T) {
	const n = 10
	s := serve(t, echoes[1].handler)
	sockets := openSockets(t, s, n)
	if err := s.Release(); err != nil {
		t.Fatalf("Release() = %v", err)
	}
	for i, c := range sockets {
		if got, err := c.roundTrip([]byte("still there?")); err != nil || string(got) != "still there?" {
			t.Errorf("WebSocket %d after Release: %q, %v", i, got, err)
		}
		if err := c.close(); err != nil {
			t.Errorf("the Close handshake of WebSocket %d: %v", i, err)
		}
	}
	s.wait(t)
	if rep := s.Report(); rep.Mode != linger.ModeRelease || rep.Closed != n || !rep.Complete() {
		t.Errorf("the Report says %+v, want %d connections closed", rep, n)
	}
}

func gorillaGoingAway(err error) bool { return gorilla.IsCloseError(err, gorilla.CloseGoingAway) }

// Close comes while clients are upgraded all the time. Each of them ends with RST, whether the handler had its connection
// already, was about to take it, or had not been called.
func TestCloseWhileUpgrading(t *testing.T) {
	for range 5 {
		s := serve(t, echoes[1].handler)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for {
					conn, err := net.Dial("tcp", s.addr.String())
					if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) {
						return // the end
					}
					if err != nil {
						t.Errorf("dialling: %v", err)
						return
					}
					all.Go(func() {
						defer conn.Close()
						// Writing may meet the reset, too.
						_, err := io.WriteString(conn, handshake)
						if err == nil {
							_, err = io.Copy(io.Discard, conn)
						}
						if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
							t.Errorf("an upgraded connection ended with %v, want ECONNRESET", err)
						}
					})
				}
			})
		}
		lingertest.Wait(t, "many are upgraded", func() bool { return s.Report().Connections[linger.Hijacked] > 100 })
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
		all.Wait()
		s.assertGone(t)
		if rep := s.Report(); !rep.Complete() || rep.Connections[linger.Hijacked] < 100 {
			t.Errorf("the Report says %+v", rep)
		}
	}
}
