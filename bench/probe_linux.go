//go:build linux

package bench

import (
	"context"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ProbeInterval is the resolution of [FreeAt].
const ProbeInterval = 250 * time.Microsecond

// FreeAt tries to bind addr without SO_REUSEADDR until that succeeds, which the kernel allows only when no socket of any
// state is left on the port, and returns the time. It returns ctx's error when that ends first.
func FreeAt(ctx context.Context, addr netip.AddrPort) (time.Time, error) {
	ticker := time.NewTicker(ProbeInterval)
	defer ticker.Stop()
	for {
		err := bind(addr)
		if err == nil {
			return time.Now(), nil
		}
		if err != unix.EADDRINUSE {
			return time.Time{}, os.NewSyscallError("bind", err)
		}
		select {
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case <-ticker.C:
		}
	}
}

func bind(addr netip.AddrPort) error {
	ip := addr.Addr().Unmap()
	domain, sa := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(addr.Port()), Addr: ip.As16()})
	if ip.Is4() {
		domain, sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: ip.As4()}
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Bind(fd, sa)
}
