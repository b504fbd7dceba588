//go:build linux

package poller

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/latch"
	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// served is a Server that serves on a port of its own.
type served struct {
	*Server
	addr   netip.AddrPort
	result chan error // what Serve returned
	log    *lingertest.Output
	tls    *tls.Config // of its clients; nil: they speak without
	holds  bool        // the test holds a socket on the port beside the server, which is to be found
}

// start starts srv on a free port of 127.0.0.1. At the end of the test it is closed, and nothing may be left of it.
func start(t testing.TB, srv *Server) *served {
	t.Helper()
	return startOn(t, srv, listenAlone(t))
}

// listenAlone listens on a port of the test's own.
func listenAlone(t testing.TB) net.Listener {
	t.Helper()
	ln, err := Listen(context.Background(), sockdiagtest.OwnAddr(t, "127.0.0.1:0"), false)
	lingertest.Must(t, err)
	return ln
}

func startOn(t testing.TB, srv *Server, ln net.Listener) *served {
	t.Helper()
	s := &served{Server: srv, result: make(chan error, 1), log: new(lingertest.Output)}
	if srv.Logger == nil {
		srv.Logger = slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if srv.LoopHandler == nil && srv.Handler == nil {
		srv.LoopHandler = LoopHandlerFunc(hello)
	}
	serving := make(chan netip.AddrPort, 1)
	srv.Serving = func(a netip.AddrPort) { serving <- a }
	if *overTLS && srv.TLSConfig == nil {
		srv.TLSConfig = serverTLS.Clone()
	}
	if srv.TLSConfig != nil {
		s.tls = clientTLS
		go func() { s.result <- srv.ServeTLS(ln, "", "") }()
	} else {
		go func() { s.result <- srv.Serve(ln) }()
	}
	select {
	case s.addr = <-serving:
	case err := <-s.result:
		t.Fatalf("Serve = %v before it served", err)
	case <-time.After(lingertest.Patience):
		t.Fatal("the server does not start")
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !t.Failed() && !expectsErrors(srv) {
			t.Errorf("Close() = %v", err)
		}
		select {
		case <-s.result:
		case <-time.After(lingertest.Patience):
			t.Error("Serve does not return after Close")
		}
		if left := s.Report().Left.Unowned; left.Total() > 0 && !s.holds {
			t.Errorf("this process holds sockets that no server of it knows: %s", left)
		}
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.log)
		}
	})
	return s
}

// expectsErrors: a test that shortens the grace wants a loop to be stuck.
func expectsErrors(srv *Server) bool { return srv.StuckGrace != 0 }

// wait returns what Serve did.
func (s *served) wait(t testing.TB) error {
	t.Helper()
	select {
	case err := <-s.result:
		s.result <- err
		return err
	case <-time.After(lingertest.Patience):
		t.Fatal("Serve does not return")
		return nil
	}
}

// assertGone checks that no socket of any state is left on the port, with the kernel's tables and with a bind.
func (s *served) assertGone(t testing.TB) {
	t.Helper()
	var counts sockdiag.Counts
	lingertest.Wait(t, "half-open connections time out", func() (ok bool) {
		var err error
		if counts, _, err = sockdiag.Count(s.addr.Port()); err != nil {
			t.Fatal(err)
		}
		// The kernel keeps a handshake that nobody will finish for a second; it is in nobody's way.
		return counts[sockdiag.SynRecv] == 0
	})
	if counts.Total() != 0 {
		t.Errorf("left on port %d: %s\n%s", s.addr.Port(), counts, lingertest.Leftover(s.addr.Port()))
	}
	if err := linger.CheckFree(s.addr); err != nil {
		t.Errorf("the port is not free: %v", err)
	}
}

func hello(w *Responder, r *Request) {
	w.SetContentType("text/plain; charset=utf-8")
	_, _ = w.WriteString("Hello, World!")
}

// client is one raw connection to a server.
type client struct {
	*net.TCPConn
	tls *tls.Conn // nil: none
	// With TLS nothing can be sent before the server has accepted, so that what is sent waits beside the test until the handshake is over.
	sent chan struct{} // closed when all of it is sent
	t    testing.TB
	in   *bufio.Reader
}

func (c *client) Read(p []byte) (int, error) {
	if c.tls != nil {
		return c.tls.Read(p)
	}
	return c.TCPConn.Read(p)
}

func (c *client) Write(p []byte) (int, error) {
	switch {
	case c.tls == nil:
	case c.sent != nil && latch.IsClosed(c.sent):
		return c.tls.Write(p)
	default:
		before, sent, p := c.sent, make(chan struct{}), slices.Clone(p)
		c.sent = sent
		go func() {
			defer close(sent)
			if before != nil {
				<-before
			}
			_, _ = c.tls.Write(p) // whoever reads finds out
		}()
		return len(p), nil
	}
	return c.TCPConn.Write(p)
}

func (c *client) CloseWrite() error {
	if c.tls != nil {
		if c.sent != nil {
			<-c.sent
		}
		return errors.Join(c.tls.CloseWrite(), c.TCPConn.CloseWrite())
	}
	return c.TCPConn.CloseWrite()
}

func (c *client) Close() error {
	if c.tls != nil {
		return c.tls.Close()
	}
	return c.TCPConn.Close()
}

func (s *served) dial(t testing.TB) *client {
	t.Helper()
	return s.dialWith(t, net.Dialer{})
}

// dialSlow dials with a small receive buffer. It is set before the connection exists: a window that shrinks below what was
// promised slows TCP down to its persist timer.
func (s *served) dialSlow(t testing.TB) *client {
	t.Helper()
	return s.dialBuffered(t, 8<<10)
}

// dialBuffered is dialSlow with a receive buffer of so many bytes. Below the size of a segment of the loopback (64 KiB) TCP
// itself can stall for some hundred milliseconds.
func (s *served) dialBuffered(t testing.TB, size int) *client {
	t.Helper()
	return s.dialWith(t, net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		_ = c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, size) })
		return err
	}})
}

func (s *served) dialWith(t testing.TB, d net.Dialer) *client {
	t.Helper()
	conn, err := d.Dial("tcp", s.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	c := conn.(*net.TCPConn)
	// RST at the end, so that clients leave no TIME_WAIT either.
	t.Cleanup(func() { _ = c.SetLinger(0); _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(lingertest.Patience))
	cl := &client{TCPConn: c, t: t}
	if s.tls != nil {
		cl.tls = tls.Client(c, s.tls) // which makes its handshake with the first Write or Read
	}
	cl.in = bufio.NewReader(cl)
	return cl
}

// onLoop runs f on the loop, and returns when it has.
func onLoop(l *loop, f func()) {
	done := make(chan struct{})
	l.post(func() {
		defer close(done)
		f()
	})
	<-done
}

// timeOut ends the time of the connection that waits longest for kind, as soon as there is one of which ok is true.
func (s *served) timeOut(t testing.TB, kind timeoutKind, ok func(*conn) bool) {
	t.Helper()
	lingertest.Wait(t, "a connection that waits", func() (found bool) {
		l := s.run.loops[0]
		onLoop(l, func() {
			c := l.lists[kind].first
			if found = c != nil && ok(c); !found {
				return
			}
			if in := c.deadline - l.clock.now; in > l.durations[kind]+timeoutSlack {
				t.Errorf("a timeout of %s is over in %s", l.durations[kind], in)
			}
			c.deadline = 1
			if c.pending != nil {
				c.pending.patience.last -= 2 * max(l.run.cfg.bodyTimeout, time.Hour)
			}
			l.expire()
		})
		return found
	})
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatalf("sending %.40q: %v", s, err)
	}
}

// answer reads one answer, content included.
func (c *client) answer(method string) (*http.Response, string) {
	c.t.Helper()
	res, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("reading an answer: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatalf("reading the content of an answer: %v after %d bytes", err, len(body))
	}
	return res, string(body)
}

// get sends a request and wants 200.
func (c *client) get(target string) string {
	c.t.Helper()
	c.send("GET " + target + " HTTP/1.1\r\nHost: test\r\n\r\n")
	res, body := c.answer("GET")
	if res.StatusCode != 200 {
		c.t.Fatalf("GET %s = %s", target, res.Status)
	}
	return body
}

// ended reads to the end and returns what was read and how it ended: nil for EOF.
func (c *client) ended() (string, error) {
	b, err := io.ReadAll(c.in)
	return string(b), err
}

func (c *client) wantReset() {
	c.t.Helper()
	if b, err := c.ended(); !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("the connection ended with %v after %.80q, want ECONNRESET", err, b)
	}
}

func (c *client) wantEOF() {
	c.t.Helper()
	if b, err := c.ended(); err != nil || b != "" {
		c.t.Fatalf("the connection ended with %v after %.80q, want EOF at once", err, b)
	}
}

// peerState is the state of the server's end of c's connection, as the kernel names it.
func (s *served) peerState(t testing.TB, c *client) string {
	t.Helper()
	dump, err := sockdiag.Port(s.addr.Port())
	if err != nil {
		t.Fatal(err)
	}
	for _, socket := range dump.Sockets {
		if socket.Remote.String() == c.LocalAddr().String() {
			return socket.State.String()
		}
	}
	return "none"
}

// sendQueue is how much of what c has sent the server's kernel has not taken.
func (c *client) sendQueue() (n int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return n
}
