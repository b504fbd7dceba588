//go:build linux

package poller

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// serverOf is the server that a handler's request has come to.
func serverOf(r *http.Request) *Server { return r.Context().Value(http.ServerContextKey).(*Server) }

// A handler that ends its server from under middleware has its answer sent first.
func TestAfterAnswer(t *testing.T) {
	ends := map[string]func(*Server) error{
		"Close":    (*Server).Close,
		"Shutdown": func(s *Server) error { return s.Shutdown(context.Background()) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			results, late := make(chan error, 1), make(chan bool, 1)
			h := func(w http.ResponseWriter, r *http.Request) {
				if !AfterAnswer(r.Context(), func() {
					results <- end(serverOf(r))
					late <- AfterAnswer(r.Context(), func() { t.Error("it is called after the handler has returned") })
				}) {
					t.Error("AfterAnswer does not know the request")
				}
				_, _ = io.WriteString(w, "goodbye")
			}
			s := start(t, &Server{Handler: http.TimeoutHandler(http.HandlerFunc(h), time.Minute, "")})
			c, idle := s.dial(t), s.dial(t)
			c.send(getRoot)
			if _, body := c.answer("GET"); body != "goodbye" {
				t.Errorf("answer = %q", body)
			}
			idle.wantReset()
			if err := wait(t, name, results); err != nil {
				t.Errorf("%s = %v", name, err)
			}
			if <-late {
				t.Error("AfterAnswer takes a request that is over")
			}
			_ = s.wait(t)
			s.assertGone(t)
		})
	}
	if AfterAnswer(context.Background(), func() {}) {
		t.Error("AfterAnswer takes a context that is none of a request's")
	}
}

// What AfterAnswer was given is called also where the answer breaks off.
func TestAfterBrokenAnswer(t *testing.T) {
	called := make(chan error, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		AfterAnswer(r.Context(), func() { called <- nil })
		panic(http.ErrAbortHandler)
	})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	c.wantReset()
	if err := wait(t, "the function", called); err != nil {
		t.Error(err)
	}
}

// A LoopHandler that has another goroutine close the server answers first.
func TestCloseFromLoopHandler(t *testing.T) {
	for range lingertest.Times(10, 200) {
		srv := &Server{Loops: 2}
		srv.LoopHandler = LoopHandlerFunc(func(w *Responder, r *Request) {
			go srv.Close()
			<-r.conn.loop.run.closingC
			_, _ = w.WriteString("goodbye")
		})
		s := start(t, srv)
		c := s.dial(t)
		c.send(getRoot)
		if _, body := c.answer("GET"); body != "goodbye" {
			t.Errorf("answer = %q", body)
		}
		_ = s.wait(t)
		s.assertGone(t)
	}
}

// A client has nothing of an answer, also where it has been tried to send some: the kernel's buffer was full.
func TestUnansweredWithFullBuffer(t *testing.T) {
	plain(t, "it fills the buffer behind the server's back")
	fill := func(t *testing.T, x *exchange) (n int) {
		x.mu.Lock()
		defer x.mu.Unlock()
		for piece := make([]byte, 64<<10); ; {
			m, err := unix.Write(x.fd, piece)
			if err == unix.EAGAIN {
				return n
			}
			if err != nil {
				t.Error(os.NewSyscallError("write", err))
				return n
			}
			n += m
		}
	}
	tests := []struct {
		name    string
		request string
		status  int
		fail    func(x *exchange, r *http.Request)
	}{
		{"HandlerTimeout", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 503, func(x *exchange, _ *http.Request) {
			onLoop(x.loop, func() { x.conn.endHandling() })
		}},
		{"malformed content", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n", 400,
			func(_ *exchange, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			filled, sending := make(chan int, 1), make(chan error, 1)
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				x := exchangeOf(r)
				total, still := 0, 0
				lingertest.Wait(t, "neither kernel takes more", func() bool {
					n := fill(t, x)
					if total += n; n > 0 {
						still = 0
					}
					still++
					return still > 20
				})
				go func() {
					_, _ = io.WriteString(w, "in vain")
					sending <- w.(interface{ FlushError() error }).FlushError()
				}()
				lingertest.Wait(t, "the answer waits for its reader", func() bool { return x.run.watcher.Awaits(x.fd) })
				tt.fail(x, r)
				filled <- total // and the client reads
				if err := <-sending; err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("Flush = %v", err)
				}
			})
			c := s.dialSlow(t)
			c.send(tt.request)
			if _, err := io.CopyN(io.Discard, c.in, int64(<-filled)); err != nil {
				t.Fatal(err)
			}
			if res, _ := c.answer("GET"); res.StatusCode != tt.status || !res.Close {
				t.Errorf("answer = %s, close %t, want %d", res.Status, res.Close, tt.status)
			}
		})
	}
}

// What AfterAnswer was given waits for an answer that the server gives in the handler's place.
func TestAfterAnswerInItsPlace(t *testing.T) {
	for range lingertest.Times(30, 300) {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			AfterAnswer(r.Context(), func() { serverOf(r).Close() })
			w.WriteHeader(600)
		})
		c := s.dial(t)
		c.send(getRoot)
		res, err := http.ReadResponse(c.in, nil)
		if err != nil {
			t.Fatalf("the client reads %v", err)
		}
		if res.StatusCode != 500 {
			t.Errorf("answer = %s", res.Status)
		}
		_ = s.wait(t)
	}
}
