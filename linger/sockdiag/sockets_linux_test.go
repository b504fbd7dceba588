//go:build linux

package sockdiag

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// procOnly is the kernel with netlink out of reach.
var procOnly = system{
	dump: func([]byte, func([]byte, uint32) (bool, error)) error { return unix.EPERM },
	open: kernel.open,
}

// A family is a way to reach a listening socket. client is what the peer of a connection is called there.
type family struct {
	name, network, address, dial string
}

var families = []family{
	{"IPv4", "tcp4", "127.0.0.1:0", "127.0.0.1"},
	{"IPv6", "tcp6", "[::1]:0", "::1"},
	{"dual stack", "tcp", "[::]:0", "127.0.0.1"},
}

// A server is a listening socket with small buffers, so that filling them is quick.
type server struct {
	*net.TCPListener
	family family
	port   uint16
}

func newServer(t testing.TB, f family) *server {
	t.Helper()
	lc := net.ListenConfig{Control: lingertest.SendBuffer(16 << 10)}
	lc.SetMultipathTCP(false)
	for {
		ln, err := lc.Listen(context.Background(), f.network, f.address)
		if err != nil {
			if f.network != "tcp4" {
				t.Skipf("needs IPv6 (sysctl net.ipv6.conf.lo.disable_ipv6=0): %v", err)
			}
			t.Fatal(err)
		}
		if port := portOf(ln.Addr()); fresh(t, port) {
			t.Cleanup(func() { ln.Close() })
			return &server{ln.(*net.TCPListener), f, port}
		}
		ln.Close()
	}
}

// fresh reports whether a new listening socket is all that port has. The kernel also hands out ports on which some
// earlier program's TIME_WAIT of another address is left.
func fresh(t testing.TB, port uint16) bool {
	t.Helper()
	c, _, err := Count(port)
	if err != nil {
		t.Fatal(err)
	}
	return c == Counts{Listen: 1}
}

func portOf(addr net.Addr) uint16 { return addr.(*net.TCPAddr).AddrPort().Port() }

// dial connects to s without accepting. The connection ends by RST, so that tests leave no TIME_WAIT behind.
func (s *server) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	addr := netip.AddrPortFrom(netip.MustParseAddr(s.family.dial), s.port)
	return lingertest.Dial(t, net.Dialer{Control: lingertest.ReceiveBuffer(4 << 10)}, addr)
}

func (s *server) connect(t testing.TB) (client, conn *net.TCPConn) {
	t.Helper()
	client = s.dial(t)
	conn, err := s.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return client, conn
}

// fill writes to c until its send buffer is full. That holds more than the client's receive buffer takes.
func fill(t testing.TB, c *net.TCPConn) {
	t.Helper()
	buf := make([]byte, 64<<10)
	lingertest.Control(t, c, func(fd int) error {
		for {
			switch _, err := unix.Write(fd, buf); err {
			case nil, unix.EINTR:
			case unix.EAGAIN:
				return nil
			default:
				return err
			}
		}
	})
}

func inodeOf(t testing.TB, c syscall.Conn) uint32 {
	t.Helper()
	var st unix.Stat_t
	lingertest.Control(t, c, func(fd int) error { return unix.Fstat(fd, &st) })
	return uint32(st.Ino)
}

// waitFor asks sys about port until ok is content with the answer.
func waitFor(t testing.TB, sys system, port uint16, ok func(Dump) bool) Dump {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		d, err := sys.port(port)
		if err != nil {
			t.Fatal(err)
		}
		if ok(d) {
			return d
		}
		if time.Now().After(deadline) {
			t.Fatalf("port %d has %v after 20 s: %.2000s", port, d.Count(), fmt.Sprintf("%+v", d.Sockets))
		}
		time.Sleep(time.Millisecond)
	}
}
