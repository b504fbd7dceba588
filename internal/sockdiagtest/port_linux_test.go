//go:build linux

package sockdiagtest

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/linger/sockdiag"
)

// A port is bare when nothing is on it, not even what is left of a connection.
func TestBare(t *testing.T) {
	NeedDestroy(t) // or TIME_WAIT would stay
	port := OwnPort(t)
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	ln, err := net.Listen("tcp", addr.String())
	lingertest.Must(t, err)
	expect := func(want bool) {
		t.Helper()
		if got := bare(t, unix.AF_INET, port); got != want {
			t.Errorf("bare = %t with %s on the port, want %t", got, Count(t, port), want)
		}
	}
	expect(false)
	client, err := net.Dial("tcp", addr.String())
	lingertest.Must(t, err)
	server, err := ln.Accept()
	lingertest.Must(t, err)
	lingertest.Must(t, ln.Close())
	WaitCount(t, port, sockdiag.Counts{sockdiag.Established: 1})
	expect(false)
	lingertest.Must(t, server.Close())
	WaitCount(t, port, sockdiag.Counts{sockdiag.FinWait2: 1})
	expect(false)
	lingertest.Must(t, client.Close())
	WaitCount(t, port, sockdiag.Counts{sockdiag.TimeWait: 1})
	expect(false)
	dump, err := sockdiag.Port(port)
	lingertest.Must(t, err)
	_, err = sockdiag.Destroy(dump.Sockets)
	lingertest.Must(t, err)
	expect(true)
}
