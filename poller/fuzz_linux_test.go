//go:build linux

package poller

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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
		whole, wholeEnded := answers(t, input, len(input))
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
	fd, err := unix.MemfdCreate("answers", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "answers")
	defer file.Close()
	c := benchConn(t, fd)
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
	}
	out, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(out, []byte("HTTP/1.1 100 Continue\r\n\r\n"), nil), c.over()
}
