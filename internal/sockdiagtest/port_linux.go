//go:build linux

package sockdiagtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// OwnPort returns a port with nothing on it that is the test's own until its end. A test that leaves its port and comes back, or looks
// for what is left there, needs such a one: the kernel gives a port that it has chosen to the next program that asks, as soon as it is free.
// It chooses none below net.ipv4.ip_local_port_range, which begins behind these as a rule, bench none below 10,000, and other tests, of other
// processes too, find the port's name taken.
func OwnPort(t testing.TB) uint16 {
	t.Helper()
	for {
		port := uint16(4_000 + rand.IntN(6_000))
		if !own(t, port) {
			continue
		}
		if Count(t, port).Total() == 0 {
			return port
		}
	}
}

// own reports whether the port is the test's now. The name is one of a network namespace, as the port is, and goes with its process (unix(7),
// abstract sockets).
func own(t testing.TB, port uint16) bool {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	lingertest.Must(t, err)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("@rstserver test port %d", port)}); err != nil {
		unix.Close(fd)
		if !errors.Is(err, unix.EADDRINUSE) {
			t.Fatal(err)
		}
		return false
	}
	lingertest.Keep(t, fd)
	return true
}

// OwnAddr is address, "host:port", with a port of [OwnPort] where it says 0.
func OwnAddr(t testing.TB, address string) string {
	t.Helper()
	addr := netip.MustParseAddrPort(address)
	if addr.Port() == 0 {
		addr = netip.AddrPortFrom(addr.Addr(), OwnPort(t))
	}
	return addr.String()
}
