//go:build linux

// Package tcpsock tells what there is to know of a TCP socket by its descriptor, and moves its bytes.
package tcpsock

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// LongQueue stands for a queue whose length is not known.
const LongQueue = 1 << 16

// CheckListens returns an error if fd does not listen.
func CheckListens(fd int) error {
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return os.NewSyscallError("getsockopt SO_ACCEPTCONN", err)
	}
	if listens == 0 {
		return errors.New("the socket does not listen")
	}
	return nil
}

// QueueLength is how many connections wait to be accepted, LongQueue where the kernel does not tell, as that of an MPTCP socket
// before Linux 5.16.
func QueueLength(fd int) int {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil || info.State != unix.BPF_TCP_LISTEN {
		return LongQueue
	}
	return int(info.Unacked)
}

// AcceptAtOnce makes the connections of the listening TCP socket fd come when their handshake is complete, whatever is set on it
// (TCP_DEFER_ACCEPT, tcp(7)). A client that has sent nothing has no socket on this side otherwise, for which nothing can be done. Those
// that came before get one when the kernel repeats its part of their handshake, a second or so later, or they send something.
func AcceptAtOnce(fd int) error {
	seconds, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT)
	if err != nil || seconds == 0 { // MPTCP does not know it in older kernels
		return nil
	}
	return os.NewSyscallError("setsockopt TCP_DEFER_ACCEPT", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 0))
}

// ErrNotTCP is wrapped by the error for a socket of another family.
var ErrNotTCP = errors.New("the address is none of TCP")

// LocalAddr is the address that the TCP socket fd is bound to (getsockname(2)), of a listening one or a connection.
func LocalAddr(fd int) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("getsockname", err)
	}
	addr := AddrPort(sa)
	if !addr.IsValid() {
		return addr, fmt.Errorf("%w, but a %T", ErrNotTCP, sa)
	}
	return addr, nil
}

// AddrPort is a socket address of IPv4 or IPv6; it is not valid for others.
func AddrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.ZoneId != 0 {
			ip = ip.WithZone(zone(sa.ZoneId))
		}
		return netip.AddrPortFrom(ip, uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// zone names the interface of an IPv6 address that is valid on one link only (RFC 4007).
func zone(index uint32) string {
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		return i.Name
	}
	return fmt.Sprint(index)
}
