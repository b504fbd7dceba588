//go:build linux

package sockdiagtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
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
		if own(t, port) && bare(t, unix.AF_INET, port) && bare(t, unix.AF_INET6, port) {
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

// bare reports whether nothing of the family is on the port, in whatever state: without SO_REUSEADDR the kernel refuses to bind all addresses
// where there is anything (ip(7)). It looks at this port alone, while whoever asks what is on a port waits for a walk through all sockets.
func bare(t testing.TB, family int, port uint16) bool {
	t.Helper()
	// A program that another test starts at this moment would have the port until it is executed.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return true
	}
	lingertest.Must(t, err)
	defer unix.Close(fd)
	var all unix.Sockaddr = &unix.SockaddrInet4{Port: int(port)}
	if family == unix.AF_INET6 {
		lingertest.Must(t, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1))
		all = &unix.SockaddrInet6{Port: int(port)}
	}
	switch err := unix.Bind(fd, all); {
	case errors.Is(err, unix.EADDRINUSE):
		return false
	case errors.Is(err, unix.EADDRNOTAVAIL): // IPv6 is off
		return true
	default:
		lingertest.Must(t, err)
		return true
	}
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
