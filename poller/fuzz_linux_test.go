//go:build linux

package poller

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// FuzzReceived: whatever a client sends, and in whatever pieces, the answers are the same, and what is kept is bounded.
func FuzzReceived(f *testing.F) {
	const get, post = "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\n"
	for _, s := range []string{
		get, strings.Repeat(get, 3), get + "\r\n" + get, get[:20], "nonsense", "\r\n", "\r\n\r\n",
		post + "Content-Length: 5\r\n\r\nhello" + get,
		post + "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nT: v\r\n\r\n" + get,
		post + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi" + get,
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + get,
		"HEAD / HTTP/1.0\r\n\r\n" + get, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + get,
		post + "Content-Length: 9999999\r\n\r\n" + get,
	} {
		f.Add([]byte(s), uint8(7))
	}
	f.Fuzz(func(t *testing.T, input []byte, piece uint8) {
		if len(input) > 32<<10 {
			t.Skip("the answers do not fit into the socket at once")
		}
		whole, wholeEnded := answers(t, input, len(input))
		if string(input) == get && len(whole) == 0 {
			t.Error("nothing is answered")
		}
		split, splitEnded := answers(t, input, int(piece)%50+1)
		if !bytes.Equal(whole, split) || wholeEnded != splitEnded {
			t.Errorf("%q: whole: %q, ended %v; in pieces of %d: %q, ended %v",
				input, whole, wholeEnded, int(piece)%50+1, split, splitEnded)
		}
	})
}

// answers returns what a connection that gets input in pieces answers, without interim answers, and whether it ended.
func answers(t *testing.T, input []byte, piece int) ([]byte, bool) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	lingertest.Must(t, err)
	defer func() { _, _ = unix.Close(fds[0]), unix.Close(fds[1]) }()
	var out []byte
	took := make([]byte, 64<<10)
	c := benchConn(t, fds[0])
	defer c.loop.alarm.stop()
	c.loop.run.cfg.maxLoopBodyBytes = 1000
	c.loop.run.cfg.maxHeaderBytes = 2000
	c.loop.run.cfg.loopHandler = LoopHandlerFunc(func(w *Responder, r *Request) {
		_, _ = w.Write(r.Method)
		_, _ = w.Write(r.RequestTarget)
		_, _ = w.Write(r.Body)
		for _, f := range r.Trailers {
			_, _ = w.Write(f.Value)
		}
	})
	for rest := input; len(rest) > 0 && !c.over(); {
		n := min(piece, len(rest))
		c.loop.clock.date, c.loop.clock.due = []byte("Sun, 22 Nov 2026 10:00:00 GMT"), never
		c.Received(rest[:n])
		if kept := len(c.in); kept > c.loop.run.cfg.maxHeaderBytes+n {
			t.Fatalf("%d bytes are kept", kept)
		}
		rest = rest[n:]
		for {
			n, err := unix.Read(fds[1], took)
			if n <= 0 { // 0: the connection has shut its side down
				if n < 0 && err != unix.EAGAIN {
					t.Fatal(err)
				}
				break
			}
			out = append(out, took[:n]...)
		}
	}
	return bytes.ReplaceAll(out, []byte("HTTP/1.1 100 Continue\r\n\r\n"), nil), c.over()
}
