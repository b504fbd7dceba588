//go:build linux

package poller

import (
	"context"
	"errors"
	"io"
	"net/http"
	"syscall"
	"testing"

	"rstserver/internal/lingertest"
)

// waiting is a handler that says when it waits for the end of its context, whose cause it then answers with.
type waiting struct {
	read   bool          // it reads the content first
	runs   chan struct{} // an element for each call, once it waits
	causes chan error
}

func newWaiting(read bool) *waiting {
	return &waiting{read: read, runs: make(chan struct{}, 16), causes: make(chan error, 16)}
}

func (h *waiting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/quick" {
		return
	}
	if h.read {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	h.runs <- struct{}{}
	<-r.Context().Done()
	cause := context.Cause(r.Context())
	h.causes <- cause
	_, _ = io.WriteString(w, cause.Error())
}

// The context of a request ends when its client ends its side of the connection, whatever came before, and the answer can
// still be written.
func TestContextEndsWithFIN(t *testing.T) {
	tests := []struct {
		name    string
		before  bool // a request of the connection was answered before
		request string
		later   string // is sent when the handler is known not to be quick
	}{
		{"no content", false, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", ""},
		{"second request", true, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", ""},
		{"content", false, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", ""},
		{"content that comes late", false, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n", "hi"},
		{"chunks", true, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", ""},
		{"chunks that come late", false, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "2\r\nhi\r\n0\r\n\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newWaiting(true)
			s := serve(t, h.ServeHTTP)
			c := s.dial(t)
			if tt.before {
				c.get("/quick")
			}
			c.send(tt.request)
			if tt.later != "" {
				s.waitHandling(t)
				c.send(tt.later)
			}
			<-h.runs
			lingertest.Must(t, c.CloseWrite())
			if err := <-h.causes; !errors.Is(err, io.EOF) {
				t.Errorf("cause = %v, want io.EOF", err)
			}
			if _, body := c.answer("POST"); body != errHalfClosed.Error() {
				t.Errorf("answer = %q", body)
			}
			c.wantEOF()
		})
	}
}

// A client can go before there is a worker for its request.
func TestContextOfARequestWhoseClientDidNotWait(t *testing.T) {
	h := newWaiting(true)
	s := start(t, &Server{MaxHandlers: 1, Handler: h})
	first, second := s.dial(t), s.dial(t)
	first.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-h.runs
	second.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	lingertest.Must(t, second.CloseWrite())
	lingertest.Wait(t, "its FIN is noticed", func() bool {
		s.run.pool.mu.Lock()
		defer s.run.pool.mu.Unlock()
		front := s.run.pool.queue.Front()
		if front == nil {
			return false
		}
		x := front.Value.(*exchange)
		x.mu.Lock()
		defer x.mu.Unlock()
		return x.cause != nil
	})
	lingertest.Must(t, first.CloseWrite())
	for range 2 {
		if err := <-h.causes; !errors.Is(err, io.EOF) {
			t.Errorf("cause = %v, want io.EOF", err)
		}
	}
	if _, body := second.answer("GET"); body != errHalfClosed.Error() {
		t.Errorf("answer = %q", body)
	}
}

// A client that has half-closed and reads on gets its answer whole, however late it comes.
func TestHandlerOfHalfClosedClient(t *testing.T) {
	writes := lingertest.Times(60, 100)
	for _, allow := range []bool{false, true} {
		ended := make(chan struct{})
		s := start(t, &Server{AllowHalfClose: allow, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if allow {
				<-ended
			} else {
				<-r.Context().Done()
			}
			for range writes {
				if _, err := w.Write(make([]byte, 100_000)); err != nil {
					t.Errorf("Write = %v", err)
					return
				}
			}
			if err := r.Context().Err(); allow && err != nil {
				t.Errorf("the context has ended: %v", context.Cause(r.Context()))
			}
		})})
		c := s.dial(t)
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		lingertest.Must(t, c.CloseWrite())
		if allow {
			lingertest.Wait(t, "the FIN arrives", func() bool { return s.peerState(t, c) == "CLOSE_WAIT" })
			if x := s.waitHandling(t); s.run.watcher.Awaits(x.fd) {
				t.Error("the FIN is awaited although it is to mean nothing")
			}
			close(ended)
		}
		if _, body := c.answer("GET"); len(body) != writes*100_000 {
			t.Errorf("%d bytes, want %d", len(body), writes*100_000)
		}
		c.wantEOF()
	}
}

// A client that sends its next request, and then FIN, has not gone: it is to have both answers. Nor has one whose content is
// to be read.
func TestFINBehindSomethingUnread(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	const post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
	for name, tt := range map[string]struct{ first, then string }{
		"request":              {get, get},
		"request read with it": {get + get, ""},
		"content":              {post, "hi"},
		"content read with it": {post + "hi", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newWaiting(false)
			s := serve(t, h.ServeHTTP)
			c := s.dial(t)
			c.send(tt.first)
			<-h.runs
			x := s.waitHandling(t)
			if tt.then != "" {
				c.send(tt.then)
			}
			lingertest.Must(t, c.CloseWrite())
			lingertest.Wait(t, "the FIN is noticed, if it is", func() bool {
				return s.peerState(t, c) == "CLOSE_WAIT" && !s.run.watcher.Awaits(x.fd)
			})
			x.end(context.Canceled)
			if err := <-h.causes; err != context.Canceled {
				t.Errorf("cause = %v, want none", err)
			}
			c.answer("GET")
		})
	}
}

// What waits for the FIN of a client is not kept beyond the request.
func TestFINIsNotAwaitedBetweenRequests(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	x := s.waitHandling(t)
	if !s.run.watcher.Awaits(x.fd) {
		t.Error("the FIN is not awaited")
	}
	close(release)
	c.answer("GET")
	lingertest.Wait(t, "the handler is done", func() bool { return !x.live() })
	if s.run.watcher.Awaits(x.fd) {
		t.Error("the FIN is still awaited")
	}
	c.get("/")
}

// waitHandling waits until there is a handler that has not been quick.
func (s *served) waitHandling(t testing.TB) (x *exchange) {
	t.Helper()
	lingertest.Wait(t, "a handler is not quick", func() bool {
		for _, x = range s.run.pool.busy() {
			if x.now() == handling {
				return true
			}
		}
		return false
	})
	return x
}

// The request's context ends with the connection, whether the handler is quick or not.
func TestContextEndsWithTheConnection(t *testing.T) {
	h := newWaiting(false)
	s := serve(t, h.ServeHTTP)
	for _, before := range []bool{false, true} {
		c := s.dial(t)
		if before {
			c.get("/quick")
		}
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		<-h.runs
		_ = c.SetLinger(0)
		_ = c.Close()
		if err := <-h.causes; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("cause = %v, want ECONNRESET", err)
		}
	}
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-h.runs
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-h.causes; err != ErrServerClosed {
		t.Errorf("cause in a teardown = %v, want ErrServerClosed", err)
	}
	c.wantReset()
	s.assertGone(t)
}
