//go:build linux

package linger

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// CheckFree reports whether the port of addr is free: it binds addr without SO_REUSEADDR, which the kernel allows only when no
// socket of any state is left there, and closes that socket again. Nil means free. The error is an [*os.SyscallError] with
// the address before it; it is EADDRINUSE when something is left. Any goroutine may call it, but two at a time find each
// other.
func CheckFree(addr netip.AddrPort) error {
	ip := addr.Addr().Unmap()
	domain, sa := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(addr.Port()), Addr: ip.As16()})
	if ip.Is4() {
		domain, sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: ip.As4()}
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("linger: %s: %w", addr, os.NewSyscallError("socket", err))
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, sa); err != nil {
		return fmt.Errorf("linger: %s: %w", addr, os.NewSyscallError("bind", err))
	}
	return nil
}
