//go:build linux

package poller

import (
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

// Connections that handlers hijack and forget end, as net/http's do: no descriptor of them is left, they make room for others, and the
// hook is called for each.
func TestHijackedAndForgotten(t *testing.T) {
	const requests, most = 200, 10
	var closed, aborted atomic.Int64
	s := start(t, &Server{
		MaxConns: most, ConnClosed: func(Conn) { closed.Add(1) }, ConnAborted: func(Conn) { aborted.Add(1) },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Errorf("Hijack = %v", err)
				return
			}
			_, _ = conn.Write([]byte("forgotten"))
		}),
	})
	before := lingertest.Descriptors()
	var clients []*client
	for range requests {
		c := s.dial(t)
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		clients = append(clients, c)
		if len(clients)%most == 0 {
			lingertest.Collect(t, "these are closed, and others have room", func() bool {
				return closed.Load() == int64(len(clients))
			})
		}
	}
	for _, c := range clients {
		if got, err := c.ended(); got != "forgotten" || err != nil {
			t.Fatalf("a client read %q and then %v, want an end", got, err)
		}
	}
	lingertest.Wait(t, "no descriptor is left but the clients'", func() bool {
		return len(lingertest.NewDescriptors(before)) == requests
	})
	if closed, aborted := closed.Load(), aborted.Load(); closed != requests || aborted != 0 {
		t.Errorf("%d were closed and %d aborted, want %d and 0", closed, aborted, requests)
	}
	if err := s.Close(); err != nil || s.Report().Connections.Total() != 0 {
		t.Errorf("Close() = %v, %s", err, s.Report())
	}
}

// A handler that ends in any way but by returning has the connection reset that it has hijacked, and nothing of it is left.
func TestHijackedByABrokenHandler(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func()
	}{
		{"panic", func() { panic("on purpose") }},
		{"ErrAbortHandler", func() { panic(http.ErrAbortHandler) }},
		{"Goexit", runtime.Goexit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var closed, aborted atomic.Int64
			var kept atomic.Pointer[net.Conn] // the connection is not forgotten
			s := start(t, &Server{
				MaxConns: 1, ConnClosed: func(Conn) { closed.Add(1) }, ConnAborted: func(Conn) { aborted.Add(1) },
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					conn, _, err := w.(http.Hijacker).Hijack()
					if err != nil {
						t.Errorf("Hijack = %v", err)
						return
					}
					kept.Store(&conn)
					tt.end()
				}),
			})
			for n := range int64(3) { // each after the one before, as there is room for one
				c := s.dial(t)
				c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				c.wantReset()
				lingertest.Wait(t, "the hook", func() bool { return aborted.Load() == n+1 })
			}
			if n := closed.Load(); n != 0 {
				t.Errorf("%d were closed in order, want 0", n)
			}
			if (*kept.Load()).Close() == nil {
				t.Error("the connection was still open")
			}
			lingertest.Wait(t, "none is counted", func() bool { return s.run.live.Load() == 0 && s.run.admission.held.Load() == 0 })
		})
	}
}

// The hook of a hijacked connection may close it once more.
func TestHijackedConnIsClosedByItsHook(t *testing.T) {
	var conn atomic.Pointer[net.Conn]
	closed := make(chan error, 1)
	s := start(t, &Server{
		ConnClosed: func(Conn) { closed <- (*conn.Load()).Close() },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Errorf("Hijack = %v", err)
				return
			}
			conn.Store(&c)
			_ = c.Close()
		}),
	})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case err := <-closed:
		if err == nil {
			t.Error("the second Close = nil, want net.ErrClosed")
		}
	case <-time.After(lingertest.Patience):
		t.Fatal("Close does not return in the hook")
	}
	c.wantEOF()
}
