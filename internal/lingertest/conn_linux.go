//go:build linux

package lingertest

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
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

// EachFrom is where clients of DialEach come from, those of each process from addresses of its own: tests of several packages run beside each
// other.
var EachFrom = netip.MustParsePrefix("127.64.0.0/10")

// DialEach connects n clients one after the other and calls f with each. They come from addresses of their own: the ports that the
// kernel chooses recur before long, and one that recurs takes up its TIME_WAIT. Those that somebody has are passed over.
func DialEach(t testing.TB, addr netip.AddrPort, n int, f func(c *net.TCPConn)) {
	t.Helper()
	for i := 0; n > 0; i++ {
		const each = 16 // addresses of a process; the greatest pid_max is 1<<22
		at := binary.BigEndian.Uint32(EachFrom.Addr().AsSlice()) + uint32(os.Getpid()*each%(1<<22)+i/Sources)
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, at))), uint16(FirstSource+i%Sources))
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
