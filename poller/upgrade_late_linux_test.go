//go:build linux

package poller

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/poller/internal/onloop"
)

// Where the kernel does not take the answer by which a connection becomes another protocol's, and those before it, the protocol begins when it has.
func TestUpgradeBehindAnswers(t *testing.T) {
	plain(t, "the kernel's buffers are what matters")
	ln := listenAlone(t)
	raw, err := ln.(*net.TCPListener).SyscallConn()
	lingertest.Must(t, err)
	lingertest.Must(t, raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<10) }))
	ended := make(chan error, 1)
	large := strings.Repeat("m", 20<<10)
	s := startOn(t, &Server{Loops: 1, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
		if string(r.Path) == "/" {
			_, _ = w.WriteString(large)
			return
		}
		p := &shouts{ended: ended}
		lingertest.Must(t, onloop.FromResponder(w).Take(101, http.Header{"Upgrade": {"shouts"}, "Connection": {"Upgrade"}}, p))
		p.say("early\n")
		p.conn.Wake()
	})}, ln)
	c := s.dialBuffered(t, 4<<10)
	c.send(getRoot + getRoot + getWorld)
	s.waitState(t, sending)
	for range 2 {
		res, err := http.ReadResponse(c.in, nil)
		lingertest.Must(t, err)
		if b, err := io.ReadAll(res.Body); err != nil || string(b) != large {
			t.Fatalf("read %d bytes, %v", len(b), err)
		}
	}
	if res, err := http.ReadResponse(c.in, nil); err != nil || res.StatusCode != 101 {
		t.Fatalf("the answer to the upgrade is %v, %v", res, err)
	}
	c.wantLine("early")
	c.wantLine("awake")
	c.send("hello\nend\n")
	c.wantLine("HELLO")
	c.wantEOF()
	lingertest.Must(t, <-ended)
}
