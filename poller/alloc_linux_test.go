//go:build linux && !race

package poller

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// The race detector allocates for its own purposes, hence the build constraint.
func TestRequestAllocatesNothing(t *testing.T) {
	c := benchConn(t, sink(t))
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

// An idle connection takes as much memory after an answer of the http.Handler as after one of the LoopHandler: what the requests
// of connections have in common is shared.
func TestIdleConnectionAllocs(t *testing.T) {
	plain(t, "it weighs a connection without")
	const n = 2000 // beside so many, what workers keep is little
	held := func(srv *Server) int64 {
		s := start(t, srv)
		clients := make([]*client, n)
		for i := range clients {
			clients[i] = s.dial(t)
		}
		heap := func() int64 {
			var stats runtime.MemStats
			runtime.GC()
			runtime.GC() // of pools
			runtime.ReadMemStats(&stats)
			return int64(stats.HeapAlloc)
		}
		before := heap()
		for _, c := range clients {
			c.get("/")
		}
		lingertest.Wait(t, "the loops know that they are idle", func() bool { return s.Report().Connections[linger.Idle] == n })
		for _, l := range s.run.loops {
			onLoop(l, func() {
				for c := l.lists[quickTimeout].first; c != nil; c = l.lists[quickTimeout].first {
					l.setTimeout(c, noTimeout)
					c.lookOut()
				}
			})
		}
		grown := heap() - before
		runtime.KeepAlive(clients)
		return grown / n
	}
	loop := held(&Server{LoopHandler: LoopHandlerFunc(hello)})
	handler := held(&Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })})
	t.Logf("bytes of heap for a connection that had an answer: %d of the LoopHandler, %d of the http.Handler", loop, handler)
	if handler > loop+100 {
		t.Errorf("a connection holds %d bytes more after an answer of the http.Handler, and %d after one of the LoopHandler", handler, loop)
	}
}
