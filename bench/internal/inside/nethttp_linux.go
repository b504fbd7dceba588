//go:build linux

package inside

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// netHTTPWay is how net/http lets go.
type netHTTPWay func(*http.Server, *connections) error

// callClose is Server.Close.
func callClose(srv *http.Server, _ *connections) error { return srv.Close() }

// callShutdown is Server.Shutdown, without a deadline.
func callShutdown(srv *http.Server, _ *connections) error { return srv.Shutdown(context.Background()) }

// armEach arms every connection first, of a map of them that is kept by hand, and then calls Server.Close.
func armEach(srv *http.Server, conns *connections) error {
	conns.mu.Lock()
	for c := range conns.open {
		_ = c.(*net.TCPConn).SetLinger(0)
	}
	conns.mu.Unlock()
	return srv.Close()
}

// serveNetHTTP serves with net/http on addr until SIGTERM, and then lets go.
func serveNetHTTP(addr netip.AddrPort, way netHTTPWay, share bool) error {
	ln, err := listen(addr, share)
	if err != nil {
		return err
	}
	conns := &connections{open: make(map[net.Conn]struct{})}
	srv := &http.Server{Handler: peerRoutes(), ConnState: conns.note}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	stopped := make(chan error, 1)
	go func() {
		<-signals
		stopped <- way(srv, conns)
	}()
	fmt.Println("listening on http://" + ln.Addr().String())
	if err := srv.Serve(ln); err != http.ErrServerClosed {
		return err
	}
	return <-stopped
}

// peerRoutes has what rstserver has too.
func peerRoutes() http.Handler {
	number := func(r *http.Request, name string) int {
		n, _ := strconv.Atoi(r.FormValue(name))
		return n
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "Hello, World!")
	})
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(time.Duration(number(r, "ms")) * time.Millisecond):
			_, _ = io.WriteString(w, "slept\n")
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("GET /bytes", func(w http.ResponseWriter, r *http.Request) {
		n := number(r, "n")
		w.Header().Set("Content-Length", strconv.Itoa(n))
		block := make([]byte, 32<<10)
		for n > 0 {
			wrote, err := w.Write(block[:min(n, len(block))])
			if err != nil {
				return
			}
			n -= wrote
		}
	})
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) {
		block := make([]byte, number(r, "bytes"))
		pause := time.NewTicker(max(time.Duration(number(r, "ms"))*time.Millisecond, time.Millisecond))
		defer pause.Stop()
		for range number(r, "chunks") {
			if _, err := w.Write(block); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-pause.C:
			case <-r.Context().Done():
				return
			}
		}
	})
	mux.HandleFunc("GET /upgrade", func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		// Not io.Copy, which would have a pipe for each connection.
		buf := make([]byte, 4<<10)
		for {
			n, err := rw.Read(buf)
			if err != nil {
				return
			}
			if _, err := conn.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	return mux
}

// connections is the map that people keep by hand, by way of http.Server.ConnState.
type connections struct {
	mu   sync.Mutex
	open map[net.Conn]struct{}
}

func (m *connections) note(c net.Conn, s http.ConnState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch s {
	case http.StateNew:
		m.open[c] = struct{}{}
	case http.StateClosed, http.StateHijacked:
		delete(m.open, c)
	}
}
