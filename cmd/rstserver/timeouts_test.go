package main

import (
	"strings"
	"testing"

	"rstserver/internal/lingertest"
)

// TestHandlerTimeout has answers that take too long: one that has not begun, and one that has.
func TestHandlerTimeout(t *testing.T) {
	t.Parallel()
	p := start(t, "--handler-timeout", "2s") // longer than what is no slow request ever takes
	slow, stream, quick := dial(t, p.addr), dial(t, p.addr), dial(t, p.addr)
	slow.send("%s", patientSlow)
	stream.send("%s", head("GET", "/stream?chunks=2&bytes=10&ms=86400000"))
	if resp, body := slow.response("GET"); resp.StatusCode != 503 || !strings.HasPrefix(body, "503 ") {
		t.Errorf("got %s %q, want 503", resp.Status, body)
	}
	stream.expectReset()
	// The others go on.
	quick.send("%s", head("GET", "/slow?ms=0"))
	if resp, body := quick.response("GET"); resp.StatusCode != 200 {
		t.Errorf("got %s %q, want 200", resp.Status, body)
	}
	quick.expectHello()
	// What is upgraded is no request any more.
	quick.send("%s", upgradeRequest)
	quick.expectUpgrade()
	again := dial(t, p.addr)
	again.send("%s", patientSlow)
	again.response("GET")
	quick.expectEcho("still here")
	p.stop()
	expectFree(t, p.addr)
}

func TestBodyTimeout(t *testing.T) {
	t.Parallel()
	p := start(t, "--body-timeout", "200ms")
	c := dial(t, p.addr)
	c.send("%s", head("POST", "/echo", "Content-Length: 10")+"half")
	if resp, body := c.response("POST"); resp.StatusCode != 408 || !resp.Close {
		t.Errorf("got %s %q, want 408, close", resp.Status, body)
	}
	c.expectEnd()
}

func TestWriteTimeout(t *testing.T) {
	t.Parallel()
	p := start(t, "--write-timeout", "300ms", "--log-conns")
	// One answer is the loop's, one a worker's.
	for i, target := range []string{"/bytes?n=1000000000", "/stream?chunks=1000&bytes=1000000&ms=0"} {
		c := dialSlow(t, p.addr)
		c.send("%s", head("GET", target))
		lingertest.Wait(t, "the connection is aborted", func() bool { return p.stderr.count(`"connection aborted"`) == i+1 })
		c.expectReset()
	}
	dial(t, p.addr).expectHello()
}

// TestMaxHandlers makes one request wait for another's end.
func TestMaxHandlers(t *testing.T) {
	p := start(t, "--max-handlers", "1")
	first, second := dial(t, p.addr), dial(t, p.addr)
	first.send("%s", upgradeRequest)
	first.expectUpgrade()
	second.send("%s", head("GET", "/slow?ms=0"))
	second.accepted()
	// The loop is not held up.
	dial(t, p.addr).expectHello()
	first.expectEcho("still here")
	if n := second.r.Buffered(); n > 0 {
		t.Errorf("%d bytes of an answer that has to wait", n)
	}
	if err := first.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	first.expectEnd()
	if _, body := second.response("GET"); body != "slept 0 ms\n" {
		t.Errorf("got %q", body)
	}
	p.stop()
}
