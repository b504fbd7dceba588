//go:build linux

package poller

import (
	"os"
	"strings"
	"testing"

	"rstserver/linger"
	"rstserver/poller/internal/engine"
)

// BenchmarkRequest is what a request costs from the bytes that the loop has read to the one write of the answers, which goes
// to /dev/null.
func BenchmarkRequest(b *testing.B) {
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	const request = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
	for _, depth := range []int{1, 16} {
		b.Run(map[int]string{1: "one", 16: "pipelined 16 deep"}[depth], func(b *testing.B) {
			c := benchConn(b, int(null.Fd()))
			batch := []byte(strings.Repeat(request, depth))
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				c.loop.clock.tick()
				c.Received(batch)
			}
			c.loop.alarm.stop()
		})
	}
}

// benchConn is a connection whose output goes to fd, on a loop without an engine.
func benchConn(b testing.TB, fd int) *conn {
	srv := &Server{LoopHandler: LoopHandlerFunc(hello)}
	cfg, err := srv.config()
	if err != nil {
		b.Fatal(err)
	}
	r := &run{server: srv, cfg: cfg, table: new(linger.Table), closingC: make(chan struct{})}
	r.memory = newMemory(r)
	l := newLoop(r, 0, r.cfg.log)
	r.loops = []*loop{l}
	c := &conn{loop: l, sock: engine.Conn{FD: fd}}
	if err := r.table.Open(fd, 0); err != nil {
		b.Fatal(err)
	}
	c.become(fresh)
	return c
}
