//go:build linux

package restartload

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

func TestMain(m *testing.M) { lingertest.Main(m) }

// serve calls handle with each connection behind the head of its n-th request, for handle to answer and to close it.
func serve(t *testing.T, handle func(c *net.TCPConn, r *http.Request, n int)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	lingertest.Must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				handle(c.(*net.TCPConn), r, n)
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String()
}

// Each way of losing a request is known for what it is.
func TestLosses(t *testing.T) {
	answer := func(text string) func(c *net.TCPConn, r *http.Request, n int) {
		return func(c *net.TCPConn, _ *http.Request, _ int) { _, _ = io.WriteString(c, text) }
	}
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	lingertest.Must(t, err)
	refusing.Close()
	for _, test := range []struct {
		want Loss
		addr string
	}{
		{Refused, refusing.Addr().String()},
		{Reset, serve(t, func(c *net.TCPConn, _ *http.Request, _ int) { _ = c.SetLinger(0) })},
		{CleanEnd, serve(t, func(*net.TCPConn, *http.Request, int) {})},
		{CutAnswer, serve(t, answer("HTTP/1.1 200 OK\r\nContent-"))},
		{CutAnswer, serve(t, answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"))},
		{Status5xx, serve(t, answer("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"))},
		{Other, serve(t, answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))},
		{Other, serve(t, answer("SSH-2.0\r\n\r\n"))},
		{Timeout, serve(t, func(c *net.TCPConn, _ *http.Request, _ int) { _, _ = c.Read(make([]byte, 1)) })},
	} {
		l := Start(Config{Addr: test.addr, New: 1, Pause: time.Hour, Timeout: map[bool]time.Duration{true: 50 * time.Millisecond}[test.want == Timeout]})
		lingertest.Wait(t, "a request is over", func() bool { return l.Requests() == 1 })
		r := l.Stop()
		if len(r.Lost) != 1 || r.Lost[0].Loss != test.want || r.Lost[0].Kind != New {
			t.Errorf("%s: %s, lost as %v", test.want, r, r.Lost)
		}
	}
}

// An interim answer is none.
func TestInterimAnswers(t *testing.T) {
	addr := serve(t, func(c *net.TCPConn, _ *http.Request, _ int) {
		_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
	})
	l := Start(Config{Addr: addr, New: 1, Pause: time.Hour})
	lingertest.Wait(t, "a request is over", func() bool { return l.Requests() == 1 })
	if r := l.Stop(); len(r.Answers) != 1 {
		t.Errorf("%s", r)
	}
}

// A connection that the server has ended between two requests is not used, and is no request that was lost.
func TestEndedBetweenRequests(t *testing.T) {
	for _, how := range []string{closed, reset} {
		addr := serve(t, func(c *net.TCPConn, r *http.Request, n int) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nProcess: one\r\n\r\nok")
			if n == 1 {
				if how == reset {
					_ = c.SetLinger(0)
				}
				return
			}
			for next := bufio.NewReader(c); ; { // and stays
				r, err := http.ReadRequest(next)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nProcess: one\r\n\r\nok")
			}
		})
		l := Start(Config{Addr: addr, Kept: 1, Rate: 20, ProcessField: "Process"})
		lingertest.Wait(t, "two requests are over", func() bool { return l.Requests() >= 2 })
		r := l.Stop()
		if len(r.Lost) > 0 || len(r.Cuts) != 1 || r.Cuts[0].How != how || r.Cuts[0].Kind != Kept {
			t.Errorf("%s: %s", how, r)
		}
		if slices.ContainsFunc(r.Answers, func(a Answer) bool { return a.Process != "one" }) {
			t.Errorf("not all answers are of process one: %v", r.Answers)
		}
	}
}

// Requests that are begun late count from when they were due, and none is left out.
func TestDueTimes(t *testing.T) {
	hold := make(chan struct{})
	addr := serve(t, func(c *net.TCPConn, r *http.Request, n int) {
		if n == 1 {
			<-hold
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
	})
	const rate = 100
	l := Start(Config{Addr: addr, New: 1, Rate: rate})
	lingertest.Wait(t, "several requests were due", func() bool { return l.Since() > 5*time.Second/rate })
	close(hold)
	lingertest.Wait(t, "they are answered", func() bool { return l.Requests() >= 5 })
	r := l.Stop()
	for i, a := range r.Answers {
		if want := time.Duration(i) * time.Second / rate; a.Began != want {
			t.Fatalf("request %d was due after %s, want %s", i, a.Began, want)
		}
	}
	if took := r.Answers[1].Took; took < 4*time.Second/rate {
		t.Errorf("the second request took %s, want what it waited for the first too", took)
	}
}

func TestString(t *testing.T) {
	r := Result{Answers: []Answer{{Kind: New}}, Lost: []Lost{{Kind: Kept, Err: io.EOF}, {Kind: Kept, Err: io.EOF}}, Cuts: []Cut{{Kind: Idle, How: reset}}}
	for _, want := range []string{"3 requests", "1 × get", "2 × post: EOF", "1 × idle reset"} {
		if !strings.Contains(r.String(), want) {
			t.Errorf("%q lacks %q", r, want)
		}
	}
}
