//go:build linux

package poller

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/linger"
	"rstserver/poller/internal/engine"
)

// BenchmarkRequest is what a request costs from the bytes that the loop has read to the one write of the answers, which goes
// to nobody.
func BenchmarkRequest(b *testing.B) {
	null := sink(b)
	const request = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
	for _, depth := range []int{1, 16} {
		b.Run(map[int]string{1: "one", 16: "pipelined 16 deep"}[depth], func(b *testing.B) {
			c := benchConn(b, null)
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

// sink is a socket that takes all that it is sent, and forgets it: the /dev/null among sockets.
func sink(t testing.TB) int {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	lingertest.Must(t, err)
	t.Cleanup(func() { _, _ = unix.Close(fds[0]), unix.Close(fds[1]) })
	nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}} // what a filter keeps from a receiver counts as sent
	lingertest.Must(t, unix.SetsockoptSockFprog(fds[1], unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing[0]}))
	return fds[0]
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
