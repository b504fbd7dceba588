//go:build linux

package poller

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	"rstserver/httpcodec"
	"rstserver/internal/lingertest"
)

// descriptorsOf counts the descriptors of this process that refer to the socket of c.
func descriptorsOf(t testing.TB, c syscall.Conn) int {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := raw.Control(func(fd uintptr) {
		want, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err != nil {
			t.Error(err)
		}
		names, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Error(err)
		}
		for _, name := range names {
			if link, err := os.Readlink("/proc/self/fd/" + name.Name()); err == nil && link == want {
				n++
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// hijackBehindABlockedLoop starts a server with one loop, whose handler hijacks behind the loop's back: the loop is blocked until
// the end of the test, or until unblock is called.
func hijackBehindABlockedLoop(t *testing.T, hijacked http.HandlerFunc) (s *served, c *client, unblock func()) {
	t.Helper()
	inLoop, goOn := make(chan struct{}), make(chan struct{})
	running, results := make(chan struct{}), make(chan struct{})
	s = start(t, &Server{
		Loops: 1, StuckGrace: 50 * time.Millisecond,
		OnLoop: func(r *httpcodec.Request) bool { return string(r.Path) == "/block" },
		LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
			close(inLoop)
			<-goOn
		}),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(running)
			<-inLoop
			hijacked(w, r)
			close(results)
		}),
	})
	unblocked := false
	unblock = func() {
		if !unblocked {
			unblocked = true
			close(goOn)
		}
	}
	t.Cleanup(unblock)
	c = s.dial(t)
	blocker := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-running
	blocker.send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case <-results:
	case <-time.After(lingertest.Patience):
		t.Fatal("the handler does not return")
	}
	return s, c, unblock
}

// At every moment a connection has one descriptor: if its handler closes it, its client is told, whatever the loop is doing.
func TestHijackedConnIsClosedBehindABlockedLoop(t *testing.T) {
	plain(t, "it looks at the descriptor of what was hijacked")
	s, c, unblock := hijackBehindABlockedLoop(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Errorf("Hijack = %v", err)
			return
		}
		if n := descriptorsOf(t, conn.(syscall.Conn)); n != 1 {
			t.Errorf("%d descriptors refer to a hijacked connection, want 1", n)
		}
		_ = conn.Close()
	})
	c.wantEOF()
	unblock()
	_ = s
}

// A hijacked connection is reset by a teardown, and nothing of it is left, although the loop has never heard of it.
func TestCloseFindsAHijackedConnBehindABlockedLoop(t *testing.T) {
	s, c, unblock := hijackBehindABlockedLoop(t, func(w http.ResponseWriter, r *http.Request) {
		if _, _, err := w.(http.Hijacker).Hijack(); err != nil {
			t.Errorf("Hijack = %v", err)
		}
	})
	_ = s.Close() // the error names the loop
	if rep := s.Report(); !rep.Complete() {
		t.Errorf("Report() = %s", rep)
	}
	c.wantReset()
	s.assertGone(t)
	unblock()
	<-s.run.loops[0].ended
}

// What the loop finds under the number of a connection that was taken away is nobody's: what it does there harms nobody.
func TestLoopClosesTheNumberOfAHijackedConn(t *testing.T) {
	before := lingertest.Descriptors()
	s := start(t, &Server{Loops: 1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Errorf("Hijack = %v", err)
			return
		}
		_, _ = conn.Write([]byte("taken"))
		_ = conn.Close()
	})})
	for range 50 {
		c := s.dial(t)
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if got, err := c.ended(); got != "taken" || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("got %q, %v", got, err)
		}
		_ = c.SetLinger(0)
		_ = c.Close()
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	_ = s.wait(t)
	lingertest.Wait(t, "no descriptor is left", func() bool { return len(lingertest.NewDescriptors(before)) == 0 })
	s.assertGone(t)
}
