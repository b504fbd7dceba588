//go:build linux

package poller

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

// FuzzDifferential gives the same bytes, in the same pieces, to net/http and to this server, with the same http.Handler: what net/http
// refuses, this refuses too, and both understand the requests before it alike. To be stricter is allowed.
func FuzzDifferential(f *testing.F) {
	const get, post = "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST /a?b HTTP/1.1\r\nHost: x\r\n"
	for _, s := range []string{
		get, get + get, "HEAD / HTTP/1.0\r\n\r\n", "nonsense\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\nHost: x\n\n",
		post + "Content-Length: 5\r\n\r\nhello" + get, post + "Content-Length: +5\r\n\r\nhello", post + "Content-Length: 5, 5\r\n\r\nhello",
		post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", post + "Content-Length : 5\r\n\r\nhello",
		post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + get, post + "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: v\r\n\r\n" + get,
		post + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		post + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", post + "Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
		post + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", post + "Expect: nothing\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\n A: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "GET http://y/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", "CONNECT x%e5:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", "GET http://x%e5/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET / HTTP/2.0\r\nHost: x\r\n\r\n", "GET / HTTP/1.2\r\nHost: x\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + get, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + get, "\r\n" + get,
		"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		f.Add([]byte(s), uint8(0))
		f.Add([]byte(s), uint8(7))
	}
	ours, theirs := startBoth(f)
	f.Fuzz(func(t *testing.T, input []byte, piece uint8) {
		if len(input) > 8<<10 {
			t.Skip("long inputs take time and show nothing more")
		}
		got, want := ours.understood(t, input, piece), theirs.understood(t, input, piece)
		if agree(got, want) {
			return
		}
		// An empty line before a request is passed over (RFC 9112, section 2.2), and net/http does so after POST alone.
		for _, shorter := range withoutAnEmptyLine(input) {
			if agree(got, theirs.understood(t, shorter, piece)) {
				return
			}
		}
		t.Errorf("%q in pieces of %d: this understood %q, and net/http %q", input, piece, got, want)
	})
}

// agree reports whether all that was understood by this server was understood so by net/http.
func agree(ours, theirs []string) bool {
	return len(ours) <= len(theirs) && slices.Equal(ours, theirs[:len(ours)])
}

// withoutAnEmptyLine returns input without one that may be before a request, for each that may be.
func withoutAnEmptyLine(input []byte) (all [][]byte) {
	for i := range input {
		if bytes.HasPrefix(input[i:], []byte("\r\n")) && (i == 0 || input[i-1] == '\n' || i+2 < len(input) && input[i+2] >= 'A') {
			all = append(all, slices.Concat(input[:i], input[i+2:]))
		}
	}
	return all
}

// understanding is a server that notes what it takes for requests.
type understanding struct {
	addr string

	mu       sync.Mutex // guards requests
	requests map[string][]string
}

// ServeHTTP notes a request whose content is whole.
func (u *understanding) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.requests[r.RemoteAddr] = append(u.requests[r.RemoteAddr], fmt.Sprintf("%s %s %s %d.%d %q", r.Method, r.RequestURI, r.Host, r.ProtoMajor, min(r.ProtoMinor, 1), content))
}

// startBoth starts this server and net/http's.
func startBoth(f *testing.F) (ours, theirs *understanding) {
	ours, theirs = &understanding{requests: make(map[string][]string)}, &understanding{requests: make(map[string][]string)}
	quiet := slog.New(slog.DiscardHandler)
	ours.addr = start(f, &Server{Handler: ours, StrictTargets: false, AllowHalfClose: true, Logger: quiet}).addr.String()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	srv := &http.Server{Handler: theirs, ErrorLog: slog.NewLogLogger(quiet.Handler(), slog.LevelError)}
	theirs.addr = ln.Addr().String()
	served := make(chan struct{})
	go func() { _ = srv.Serve(ln); close(served) }()
	f.Cleanup(func() {
		_ = srv.Shutdown(context.Background())
		<-served
	})
	return ours, theirs
}

// understood sends input in pieces, and then FIN, and returns what the server took for requests when it has ended the connection.
func (u *understanding) understood(t *testing.T, input []byte, piece uint8) []string {
	t.Helper()
	c, err := net.Dial("tcp", u.addr)
	if err != nil {
		t.Fatal(err)
	}
	tcp := c.(*net.TCPConn)
	defer func() { _ = tcp.SetLinger(0); _ = tcp.Close() }()
	_ = tcp.SetDeadline(time.Now().Add(lingertest.Patience))
	go func() {
		for rest := input; len(rest) > 0; {
			n := len(rest)
			if piece > 0 {
				n = min(n, int(piece))
			}
			if _, err := tcp.Write(rest[:n]); err != nil {
				return // it has been refused
			}
			rest = rest[n:]
		}
		_ = tcp.CloseWrite()
	}()
	var answers bytes.Buffer
	if _, err := io.Copy(&answers, bufio.NewReader(tcp)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%q: the connection does not end", input)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	requests := u.requests[c.LocalAddr().String()]
	delete(u.requests, c.LocalAddr().String())
	return requests
}
