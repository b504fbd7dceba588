//go:build linux

package bench

import (
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"rstserver/linger/sockdiag"
)

// Where connections to a server on 127.0.0.1 come from: the last bytes of addresses of the loopback interface. It is not 127.0.0.1,
// since the server's port is to be nobody else's on the server's address. Clients are spread over many, for once half of an address's
// ports are taken the kernel looks long for a free one. The probe has an address that no client has, by which its sockets are known.
const (
	firstSource = 2
	lastSource  = 251
	probeSource = 253
)

// clientSource is where the client comes from that is the i-th of its process's sources.
func clientSource(i int) byte { return byte(firstSource + i%(lastSource-firstSource+1)) }

// sourceAddr is the address of the loopback interface with that last byte.
func sourceAddr(last byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, last}) }

// bindSource has fd connect from a source, if the server is on an IPv4 address of the loopback interface.
func bindSource(fd int, server netip.Addr, last byte) error {
	if server = server.Unmap(); !server.Is4() || !server.IsLoopback() {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return os.NewSyscallError("setsockopt IP_BIND_ADDRESS_NO_PORT", err)
	}
	return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrInet4{Addr: sourceAddr(last).As4()}))
}

// withoutProbe leaves out the server's ends of the probe's connections. The other ends are never on the server's port: the kernel
// gives no client a port that a socket was bound to by number. It reuses the slice.
func withoutProbe(sockets []sockdiag.Socket) []sockdiag.Socket {
	return slices.DeleteFunc(sockets, func(s sockdiag.Socket) bool { return s.Remote.Addr() == sourceAddr(probeSource) })
}
