//go:build linux

package lingertest

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Must ends the test if err is not nil.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Control calls f with the descriptor of c.
func Control(t testing.TB, c syscall.Conn, f func(fd int) error) {
	t.Helper()
	raw, err := c.SyscallConn()
	Must(t, err)
	var failure error
	Must(t, raw.Control(func(fd uintptr) { failure = f(int(fd)) }))
	Must(t, failure)
}

// Dial connects a client that ends by RST, so that tests leave no TIME_WAIT behind, and at the latest with the test.
func Dial(t testing.TB, d net.Dialer, addr netip.AddrPort) *net.TCPConn {
	t.Helper()
	c, err := d.Dial("tcp", addr.String())
	Must(t, err)
	t.Cleanup(func() { c.Close() })
	Must(t, c.(*net.TCPConn).SetLinger(0))
	Must(t, c.SetDeadline(time.Now().Add(Patience)))
	return c.(*net.TCPConn)
}

// SendBuffer and ReceiveBuffer are for the Control of a net.Dialer or net.ListenConfig: what fills up is to fill up soon. Accepted
// sockets inherit it.
func SendBuffer(size int) func(_, _ string, _ syscall.RawConn) error {
	return setOption(unix.SO_SNDBUF, size)
}

func ReceiveBuffer(size int) func(_, _ string, _ syscall.RawConn) error {
	return setOption(unix.SO_RCVBUF, size)
}

func setOption(option, value int) func(_, _ string, _ syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var failure error
		err := c.Control(func(fd uintptr) { failure = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, value) })
		return errors.Join(err, failure)
	}
}

// FirstSource is the first of so many ports that clients can come from which neither the kernel chooses (ip_local_port_range, ip(7))
// nor anybody's server has, whose sockets are counted by port.
const (
	FirstSource = 61_000
	Sources     = 4_500
)

// EachFrom is where clients of DialEach come from.
var EachFrom = netip.MustParsePrefix("127.0.3.0/24")

// DialEach connects n clients one after the other and calls f with each. They come from addresses of their own: the ports that the
// kernel chooses recur before long, and one that recurs takes up its TIME_WAIT. Those that somebody has are passed over.
func DialEach(t testing.TB, addr netip.AddrPort, n int, f func(c *net.TCPConn)) {
	t.Helper()
	for i := 0; n > 0; i++ {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 3, byte(1 + i/Sources)}), uint16(FirstSource+i%Sources))
		c, err := (&net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(from)}).Dial("tcp", addr.String())
		if errors.Is(err, unix.EADDRINUSE) {
			continue
		}
		Must(t, err)
		Must(t, c.SetDeadline(time.Now().Add(Patience)))
		f(c.(*net.TCPConn))
		n--
	}
}
