//go:build linux

package kernel

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
)

// ProbeSource is the address that the probe connects from.
var ProbeSource = netip.AddrFrom4([4]byte{127, 0, 0, 253})

// ClientSource is where the client comes from that is the i-th of its process's sources.
func ClientSource(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 0, 0, byte(firstSource + i%(lastSource-firstSource+1))})
}

// Socket makes a socket to connect to a server with, from a source if the server is on an IPv4 address of the loopback interface. It
// does not block. fd is -1 after an error.
func Socket(server netip.AddrPort, source netip.Addr) (fd int, err error) {
	ip := server.Addr().Unmap()
	domain := unix.AF_INET6
	if ip.Is4() {
		domain = unix.AF_INET
	}
	if fd, err = unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if !ip.Is4() || !ip.IsLoopback() {
		return fd, nil
	}
	if err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		err = os.NewSyscallError("setsockopt IP_BIND_ADDRESS_NO_PORT", err)
	} else if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: source.As4()}); err != nil {
		err = os.NewSyscallError("bind", err)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Sockaddr is addr as system calls take it.
func Sockaddr(addr netip.AddrPort) unix.Sockaddr {
	if ip := addr.Addr().Unmap(); ip.Is4() {
		return &unix.SockaddrInet4{Port: int(addr.Port()), Addr: ip.As4()}
	}
	return &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
}

// AddrPort is sa as the rest of the program takes it.
func AddrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// withoutProbe leaves out the server's ends of the probe's connections. The other ends are never on the server's port: the kernel
// gives no client a port that a socket was bound to by number. It reuses the slice.
func withoutProbe(sockets []sockdiag.Socket) []sockdiag.Socket {
	return slices.DeleteFunc(sockets, func(s sockdiag.Socket) bool { return s.Remote.Addr() == ProbeSource })
}
