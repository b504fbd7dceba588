//go:build linux

package fleet

import (
	"slices"
	"strings"
	"testing"

	"rstserver/bench/kinds"
	"rstserver/internal/lingertest"
)

// Each await takes the whole of what it waits for, and not a byte less, however it is cut.
func TestAwaits(t *testing.T) {
	const (
		interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
		chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	)
	tests := []struct {
		name  string
		await await
		got   string // the last byte of it is the one that is waited for
	}{
		{"answered, with a length", answered, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
		{"answered, without content", answered, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"answered, in chunks", answered, chunked + "5\r\nhello\r\n3;x=y\r\n a \r\n0\r\n\r\n"},
		{"answered, with a trailer", answered, chunked + "5\r\nhello\r\n0\r\nA: b\r\n\r\n"},
		{"answered by 204", answered, "HTTP/1.1 204 No Content\r\n\r\n"},
		{"answered by 302", answered, "HTTP/1.1 302 Found\r\nLocation: /a\r\nContent-Length: 2\r\n\r\nok"},
		{"answered behind an interim answer", answered, interim + interim + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
		{"answered by HTTP/1.0", answered, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"},
		{"begun, with a length", begun, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nh"},
		{"begun, in chunks", begun, chunked + "5\r\nh"},
		{"begun, to the connection's end", begun, "HTTP/1.1 200 OK\r\n\r\nh"},
		{"begun behind an interim answer", begun, interim + "HTTP/1.1 200 OK\r\n\r\nh"},
		{"switched", switched, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"},
		{"anything", anything, "H"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for n := range len(tt.got) {
				if done, err := tt.await([]byte(tt.got[:n])); done || err != nil {
					t.Fatalf("await(%q) = %v, %v, want that more is to come", tt.got[:n], done, err)
				}
			}
			// What comes behind it, such as the next answer, is no matter.
			for _, more := range []string{"", "H", tt.got} {
				if done, err := tt.await([]byte(tt.got + more)); !done || err != nil {
					t.Errorf("await(%q) = %v, %v, want that it is there", tt.got+more, done, err)
				}
			}
		})
	}
}

func TestAwaitErrors(t *testing.T) {
	tests := []struct {
		name  string
		await await
		got   string
		want  string
	}{
		{"404", answered, "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n", "the answer is 404 Not Found: name a path that it serves"},
		{"500 to a stream", begun, "HTTP/1.1 500 Internal Server Error\r\n\r\n", "the answer is 500"},
		{"no HTTP", answered, "220 mail.example ESMTP\r\n\r\n", "the answer is malformed"},
		{"no chunks", answered, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n", "the answer is malformed"},
		{"to the connection's end", answered, "HTTP/1.1 200 OK\r\n\r\nhello", "neither Content-Length nor chunks"},
		{"not switched", switched, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", `the answer to the upgrade is "HTTP/1.1 200 OK", not 101`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			done, err := tt.await([]byte(tt.got))
			if done {
				t.Errorf("await(%q): it is there", tt.got)
			}
			lingertest.ExpectError(t, err, tt.want)
		})
	}
}

func TestSaysClose(t *testing.T) {
	for got, want := range map[string]bool{
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":                         false,
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n":    true,
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: a, Close\r\n\r\n": true,
		"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n":                         true,
		"HTTP/1.1 200 OK\r\nConnection: close\r\n":                             false,
		"": false,
	} {
		if saysClose([]byte(got)) != want {
			t.Errorf("saysClose(%q) = %v", got, !want)
		}
	}
}

// What is sent is what the paths say, milliseconds filled in.
func TestScripts(t *testing.T) {
	every := kinds.Paths{Get: "/", Late: "/slow?ms={ms}", Large: "/bytes", Stream: "/stream", Upgrade: "/upgrade", Protocol: "echo"}
	target := Target{Paths: every, Late: 1500_000_000}
	first := func(k kinds.Kind) string { return target.script(k).steps[0].send }
	for kind, want := range map[kinds.Kind]string{
		kinds.Idle:     "GET / HTTP/1.1\r\nHost: bench\r\n\r\n",
		kinds.InFlight: "GET /slow?ms=1500 HTTP/1.1\r\nHost: bench\r\n\r\n",
		kinds.Stuck:    "GET /slow?ms=86400000 HTTP/1.1\r\nHost: bench\r\n\r\n",
		kinds.Upgraded: "GET /upgrade HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
		kinds.Half:     "GET / HTTP/1.1\r\nHost: be",
	} {
		if got := first(kind); got != want {
			t.Errorf("%s sends %q, want %q", kind, got, want)
		}
	}
	target.Paths.Protocol = "websocket"
	ws := target.script(kinds.Upgraded)
	if len(ws.steps) != 1 || !strings.Contains(ws.steps[0].send, "\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n") {
		t.Errorf("an upgrade to WebSocket sends %q", ws.steps[0].send)
	}
	if behind := target.script(kinds.Unread).steps[1].send; len(behind) > unread || len(behind) < unread/2 {
		t.Errorf("%d bytes are to be left unread, want %d at the most", len(behind), unread)
	}
	if _, err := (Target{Paths: kinds.Paths{Get: "/"}}).scripts(Mix(shares(t, "idle=1,full=1"))); err == nil {
		t.Error("there is a script without a path")
	}
	if steps := target.script(kinds.Fresh).steps; slices.ContainsFunc(steps, func(s step) bool { return s.send != "" }) {
		t.Errorf("a fresh connection has %d steps", len(steps))
	}
}
