package bench

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// NetHTTP serves with net/http on a free port of 127.0.0.1 until SIGTERM, and then lets go as stop does. Like every peer it
// prints the address.
func NetHTTP(stop func(*http.Server, *Connections)) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	conns := &Connections{open: make(map[net.Conn]struct{})}
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = io.WriteString(w, "Hello, World!")
		}),
		ConnState: conns.note,
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	stopped := make(chan struct{})
	go func() {
		<-signals
		stop(srv, conns)
		close(stopped)
	}()
	fmt.Printf("listening on http://%s\n", ln.Addr())
	if err := srv.Serve(ln); err != http.ErrServerClosed {
		return err
	}
	<-stopped
	return nil
}

// Connections is the map of connections that people keep by hand, by way of http.Server.ConnState.
type Connections struct {
	mu   sync.Mutex
	open map[net.Conn]struct{}
}

func (m *Connections) note(c net.Conn, s http.ConnState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch s {
	case http.StateNew:
		m.open[c] = struct{}{}
	case http.StateClosed, http.StateHijacked:
		delete(m.open, c)
	}
}

// ByClose is what net/http offers.
func ByClose(srv *http.Server, _ *Connections) { _ = srv.Close() }

// ByHand arms every connection first, which is the best that can be done with net/http alone.
func ByHand(srv *http.Server, conns *Connections) {
	conns.mu.Lock()
	for c := range conns.open {
		_ = c.(*net.TCPConn).SetLinger(0)
	}
	conns.mu.Unlock()
	_ = srv.Close()
}
