//go:build linux

package linger

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
)

// A family is a kind of address that a server listens on.
type family struct{ name, address string }

var families = []family{
	{"IPv4", "127.0.0.1:0"},
	{"IPv6", "[::1]:0"},
}

// eachFamily runs f as a subtest on each family that this machine has.
func eachFamily(t *testing.T, f func(t *testing.T, s *server)) {
	for _, fam := range families {
		t.Run(fam.name, func(t *testing.T) { f(t, listen(t, fam)) })
	}
}

// A server is a listening socket. The sockets accepted from it are bare descriptors, since tests abort and close them
// behind everybody's back.
type server struct {
	*net.TCPListener
	addr  netip.AddrPort
	mptcp bool // clients connect by MPTCP too
}

func listen(t testing.TB, f family) *server {
	t.Helper()
	return listenWith(t, f.address, false)
}

// listenWith listens on a port of the test's own, if address has none.
func listenWith(t testing.TB, address string, mptcp bool) *server {
	t.Helper()
	return listenAt(t, sockdiagtest.OwnAddr(t, address), mptcp)
}

// listenAt skips the test where the machine lacks what is asked for.
func listenAt(t testing.TB, address string, mptcp bool) *server {
	t.Helper()
	lc := net.ListenConfig{Control: lingertest.SendBuffer(16 << 10)}
	lc.SetMultipathTCP(mptcp)
	ln, err := lc.Listen(context.Background(), "tcp", address)
	if err != nil {
		if ap := netip.MustParseAddrPort(address); ap.Addr().Is6() {
			t.Skipf("no IPv6 here: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return &server{TCPListener: ln.(*net.TCPListener), addr: ln.Addr().(*net.TCPAddr).AddrPort(), mptcp: mptcp}
}

// dial connects a client that ends by RST, so that tests leave no TIME_WAIT behind.
func (s *server) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	d := net.Dialer{Control: lingertest.ReceiveBuffer(4 << 10)}
	d.SetMultipathTCP(s.mptcp)
	return lingertest.Dial(t, d, s.addr)
}

// An accepted connection: the server's side, as a descriptor that nobody else knows of.
type accepted struct {
	fd   int
	open bool
}

// accept takes the next connection of the queue. The test's end closes what is open then.
func (s *server) accept(t testing.TB) *accepted {
	t.Helper()
	a := &accepted{fd: -1, open: true}
	lingertest.Wait(t, "a connection to accept", func() bool {
		lingertest.Control(t, s, func(fd int) (err error) {
			a.fd, _, err = unix.Accept4(fd, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			if errors.Is(err, unix.EAGAIN) {
				return nil
			}
			return err
		})
		return a.fd >= 0
	})
	t.Cleanup(func() { a.close(t) })
	return a
}

func (s *server) connect(t testing.TB) (*net.TCPConn, *accepted) {
	t.Helper()
	return s.dial(t), s.accept(t)
}

func (a *accepted) close(t testing.TB) {
	t.Helper()
	if a.open {
		a.open = false
		lingertest.Must(t, unix.Close(a.fd))
	}
}

// write writes all of p, which has to fit into the send buffer.
func (a *accepted) write(t testing.TB, p string) {
	t.Helper()
	if n, err := unix.Write(a.fd, []byte(p)); n != len(p) || err != nil {
		t.Fatalf("write = %d, %v, want %d", n, err, len(p))
	}
}

// fill writes until the kernel takes no more, with the peer's window closed.
func (a *accepted) fill(t testing.TB) {
	t.Helper()
	buf := make([]byte, 64<<10)
	full := 0
	// What the peer's window still takes leaves the send buffer meanwhile.
	lingertest.Wait(t, "a full send buffer", func() bool {
		_, err := unix.Write(a.fd, buf)
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			t.Fatal(err)
		}
		if err == nil {
			full = 0
		} else {
			full++
		}
		return full == 20
	})
}

// end reads c to its end. err is nil after a FIN.
func end(c *net.TCPConn) (data string, err error) {
	b, err := io.ReadAll(c)
	return string(b), err
}

// wantReset fails unless c ends by RST.
func wantReset(t testing.TB, c *net.TCPConn) {
	t.Helper()
	if data, err := end(c); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the peer read %d bytes and then %v, want ECONNRESET", len(data), err)
	}
}

// wantWhole fails unless c ends by FIN after data.
func wantWhole(t testing.TB, c *net.TCPConn, data string) {
	t.Helper()
	if got, err := end(c); got != data || err != nil {
		t.Errorf("the peer read %.20q and then %v, want %q and EOF", got, err, data)
	}
}

// wantGone closes the listener and fails unless the port is free then: no socket of any state on it, and a bind without
// SO_REUSEADDR succeeds.
func (s *server) wantGone(t testing.TB) {
	t.Helper()
	s.Close()
	if c := sockdiagtest.Count(t, s.addr.Port()); c.Total() != 0 {
		t.Errorf("left on the port: %v, want none\n%s", c, lingertest.Leftover(s.addr.Port()))
	}
	if err := CheckFree(s.addr); err != nil {
		t.Errorf("the port is not free: %v\n%s", err, lingertest.Leftover(s.addr.Port()))
	}
}
