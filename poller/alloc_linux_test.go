//go:build linux && !race

package poller

import (
	"os"
	"strings"
	"testing"
)

// The race detector allocates for its own purposes, hence the build constraint.
func TestRequestAllocatesNothing(t *testing.T) {
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	c := benchConn(t, int(null.Fd()))
	defer c.loop.alarm.stop()
	c.loop.clock.tick()
	for name, request := range map[string]string{
		"GET":       "GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: test\r\n\r\n",
		"POST":      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
		"chunked":   "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
		"pipelined": strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 16),
		"HEAD":      "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		data := []byte(request)
		if n := testing.AllocsPerRun(1000, func() { c.Received(data) }); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
		if c.state != idle {
			t.Fatalf("%s ended the connection", name)
		}
	}
}
