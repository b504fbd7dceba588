//go:build linux

package poller

import (
	"maps"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// socketOptions are those that a server may care to set. SO_LINGER is not among them: it is inherited on purpose.
var socketOptions = []struct {
	name       string
	level, opt int
}{
	{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE},
	{"SO_RCVLOWAT", unix.SOL_SOCKET, unix.SO_RCVLOWAT},
	{"SO_SNDBUF", unix.SOL_SOCKET, unix.SO_SNDBUF},
	{"SO_RCVBUF", unix.SOL_SOCKET, unix.SO_RCVBUF},
	{"SO_PRIORITY", unix.SOL_SOCKET, unix.SO_PRIORITY},
	{"SO_BUSY_POLL", unix.SOL_SOCKET, unix.SO_BUSY_POLL},
	{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY},
	{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
	{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL},
	{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
	{"TCP_NOTSENT_LOWAT", unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT},
	{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT},
	{"TCP_DEFER_ACCEPT", unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT},
	{"TCP_LINGER2", unix.IPPROTO_TCP, unix.TCP_LINGER2},
	{"TCP_SYNCNT", unix.IPPROTO_TCP, unix.TCP_SYNCNT},
	{"TCP_QUICKACK", unix.IPPROTO_TCP, unix.TCP_QUICKACK},
	{"TCP_WINDOW_CLAMP", unix.IPPROTO_TCP, unix.TCP_WINDOW_CLAMP},
}

// options reads them.
func options(t testing.TB, fd int) map[string]int {
	t.Helper()
	got := make(map[string]int)
	for _, o := range socketOptions {
		v, err := unix.GetsockoptInt(fd, o.level, o.opt)
		if err != nil {
			t.Fatalf("getsockopt %s: %v", o.name, err)
		}
		got[o.name] = v
	}
	for name, opt := range map[string]int{"SO_RCVTIMEO": unix.SO_RCVTIMEO, "SO_SNDTIMEO": unix.SO_SNDTIMEO} {
		tv, err := unix.GetsockoptTimeval(fd, unix.SOL_SOCKET, opt)
		if err != nil {
			t.Fatalf("getsockopt %s: %v", name, err)
		}
		got[name] = int(time.Duration(tv.Nano()))
	}
	return got
}

func connOptionsOf(t testing.TB, c net.Conn) (got map[string]int) {
	t.Helper()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { got = options(t, int(fd)) }); err != nil {
		t.Fatal(err)
	}
	return got
}

// acceptOptions accepts a connection from ln as a server of another make does, and returns its options.
func acceptOptions(t testing.TB, ln net.Listener) map[string]int {
	t.Helper()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	defer client.(*net.TCPConn).SetLinger(0)
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return connOptionsOf(t, conn)
}

// What the server sets for its own sake reaches no connection of anybody else's: neither one that a handler has taken over, nor one
// that is accepted by whoever has the listening socket too, such as a child.
func TestOptionsReachNobodyElse(t *testing.T) {
	plain(t, "it looks at the descriptor of what was hijacked")
	plain := listenAlone(t)
	want := acceptOptions(t, plain)
	plain.Close()

	ln := listenAlone(t)
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	hijacked := make(chan map[string]int, 2)
	s := startOn(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Errorf("Hijack = %v", err)
			return
		}
		defer conn.Close()
		hijacked <- connOptionsOf(t, conn)
		// As a child would get it, which reads from it as it likes: it is made blocking.
		f, err := conn.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Errorf("File = %v", err)
			return
		}
		defer f.Close()
		hijacked <- options(t, int(f.Fd()))
	})}, ln)
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	for _, what := range []string{"a hijacked connection", "its File"} {
		if got := <-hijacked; !maps.Equal(got, want) {
			t.Errorf("options of %s: %v, want %v", what, got, want)
		}
	}
	c.wantEOF()

	if err := s.run.port.Pause(); err != nil { // so that it is not the server that accepts
		t.Fatal(err)
	}
	for range 2 { // nor a loop that was woken before, and had not looked: what it is given after that, it does behind its next wait
		for _, l := range s.run.loops {
			onLoop(l, func() {})
		}
	}
	other, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := acceptOptions(t, other); !maps.Equal(got, want) {
		t.Errorf("options of a connection that somebody else accepts: %v, want %v", got, want)
	}
	// Or the teardown finds that this process holds the socket.
	other.Close()
	file.Close()
}
