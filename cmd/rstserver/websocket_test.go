//go:build linux

package main

import (
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// closedInOrder are the three that say that they have gone; the two that were refused may be among them, as they close meanwhile.
var closedInOrder = regexp.MustCompile(`\b[345] closed in order`)

// wsRequest is a handshake of RFC 6455.
func wsRequest(path string) string {
	return head("GET", path, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
}

func (c *client) expectWebSocket() {
	c.t.Helper()
	if resp, _ := c.response("GET"); resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		c.t.Fatalf("got %s %v, want 101 and the key's proof", resp.Status, resp.Header)
	}
}

// A masked frame with a mask of zeros, and the answer to it.
const (
	wsHello, wsHelloBack = "\x81\x85\x00\x00\x00\x00hello", "\x81\x05hello"
	wsGoing              = "\x88\x0c\x03\xe9going away"
	wsGone               = "\x88\x82\x00\x00\x00\x00\x03\xe9"
)

// /ws echoes, /ws/room tells all, and a drain tells everybody.
func TestWebSockets(t *testing.T) {
	t.Parallel()
	p := start(t)
	echo, a, b, mute := dial(t, p.addr), dial(t, p.addr), dial(t, p.addr), dial(t, p.addr)
	echo.send("%s", wsRequest("/ws"))
	mute.send("%s", wsRequest("/ws"))
	echo.expectWebSocket()
	mute.expectWebSocket()
	echo.send("%s", wsHello)
	echo.expectBytes(wsHelloBack)
	for _, c := range []*client{a, b} {
		c.send("%s", wsRequest("/ws/room"))
		c.expectWebSocket()
		// Its own message is behind its joining.
		c.send("%s", wsHello)
		c.expectBytes(wsHelloBack)
	}
	a.expectBytes(wsHelloBack) // b's
	for _, wrong := range []string{head("GET", "/ws"), head("GET", "/ws/room")} {
		c := dial(t, p.addr)
		c.send("%s", wrong)
		if resp, _ := c.response("GET"); resp.StatusCode != 426 || resp.Header.Get("Upgrade") != "websocket" {
			t.Errorf("%.20q is answered with %s %v", wrong, resp.Status, resp.Header)
		}
		c.Close()
	}
	p.signal(syscall.SIGQUIT)
	for _, c := range []*client{echo, a, b, mute} {
		c.expectBytes(wsGoing)
	}
	for _, c := range []*client{echo, a, b} {
		c.send("%s", wsGone)
		c.expectEnd()
		c.Close()
	}
	p.signal(syscall.SIGTERM) // which ends the drain
	mute.expectReset()
	p.exit(0)
	if out := p.stdout.String(); !closedInOrder.MatchString(out) || !strings.Contains(out, "1 cut by an abort: 1 upgraded") {
		t.Errorf("the report is\n%s", out)
	}
	expectFree(t, p.addr)
}
