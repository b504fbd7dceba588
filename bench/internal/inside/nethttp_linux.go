//go:build linux

package inside

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
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
		if secured, ok := c.(*tls.Conn); ok {
			c = secured.NetConn()
		}
		_ = c.(*net.TCPConn).SetLinger(0)
	}
	conns.mu.Unlock()
	return srv.Close()
}

// serveNetHTTP serves with net/http on addr until SIGTERM, and then lets go.
func serveNetHTTP(addr netip.AddrPort, way netHTTPWay, o Options) error {
	ln, err := listen(addr, o.Share)
	if err != nil {
		return err
	}
	conns := &connections{open: make(map[net.Conn]struct{})}
	// A handshake that is cut short, as by the end, is said there; to print that is no part of ending.
	srv := &http.Server{Handler: peerRoutes(), ConnState: conns.note, ErrorLog: log.New(io.Discard, "", 0)}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	stopped := make(chan error, 1)
	go func() {
		<-signals
		stopped <- way(srv, conns)
	}()
	serve, scheme := srv.Serve, "http"
	if o.Cert != "" {
		serve, scheme = func(ln net.Listener) error { return srv.ServeTLS(ln, o.Cert, o.Key) }, "https"
	}
	fmt.Println("listening on " + scheme + "://" + ln.Addr().String())
	if err := serve(ln); err != http.ErrServerClosed {
		return err
	}
	return <-stopped
}

// peerRoutes serves what rstserver serves, too.
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
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(r.Body)
		if err == nil {
			_, _ = w.Write(content)
		}
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
	events(mux, number)
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
	process := strconv.Itoa(os.Getpid())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(ProcessField, process)
		mux.ServeHTTP(w, r)
	})
}

// events serves event streams: one that ticks, and a room. Each has the goroutine of its handler.
func events(mux *http.ServeMux, number func(*http.Request, string) int) {
	begin := func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-cache")
		_ = http.NewResponseController(w).Flush()
	}
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		begin(w)
		tick := time.NewTicker(max(time.Duration(number(r, "ms"))*time.Millisecond, time.Millisecond))
		defer tick.Stop()
		for n := 1; ; n++ {
			if _, err := fmt.Fprintf(w, "id: %d\ndata: %s\n\n", n, time.Now().UTC().Format(time.RFC3339Nano)); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	})
	var mu sync.Mutex
	room := make(map[chan []byte]struct{})
	mux.HandleFunc("GET /events/room", func(w http.ResponseWriter, r *http.Request) {
		own := make(chan []byte, 16)
		mu.Lock()
		room[own] = struct{}{}
		mu.Unlock()
		defer func() {
			mu.Lock()
			delete(room, own)
			mu.Unlock()
		}()
		begin(w)
		for {
			select {
			case event := <-own:
				if _, err := w.Write(event); err != nil || http.NewResponseController(w).Flush() != nil {
					return
				}
			case <-r.Context().Done():
				return
			}
		}
	})
	mux.HandleFunc("POST /events/room", func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		event := append(append([]byte("data: "), data...), "\n\n"...)
		mu.Lock()
		for member := range room {
			select {
			case member <- event:
			default: // it is too slow
			}
		}
		mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	})
}

// ProcessField is the name of the field of their answers that has the number of the process, but for the floor's.
const ProcessField = "Server-Process"

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
