//go:build linux

package linger

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/linger/sockdiag"
)

// CheckFree reports whether the port of addr is free: it binds addr without SO_REUSEADDR, which the kernel allows only when no
// socket of any state is left there, and closes that socket again. Nil means free. The error is an [*os.SyscallError] with
// the address before it; it is EADDRINUSE when something is left. Any goroutine may call it, but two at a time find each
// other.
//
// A program that starts others has children that hold all its sockets until they execute something, also those that it has closed
// meanwhile. Where nobody else has what is left, CheckFree looks again, for a second at the most.
func CheckFree(addr netip.AddrPort) error {
	interval := firstInterval
	for began, looks := time.Now(), 0; ; time.Sleep(interval) {
		err := TryBind(addr)
		if !errors.Is(err, unix.EADDRINUSE) {
			return err
		}
		children, others := holdersAt(addr)
		patience := unownedPatience
		if !children {
			patience = unseenPatience
		}
		if looks++; others || looks > leastLooks && time.Since(began) > patience {
			return err
		}
		interval = min(2*interval, lastInterval)
	}
}

// unseenPatience is for what nobody is found to have: mostly it has gone by then, but the holder may be one that cannot be seen.
const unseenPatience = 100 * time.Millisecond

// TryBind is CheckFree with one look, for those who look themselves again and again, and measure by it. Its errors are those of CheckFree.
func TryBind(addr netip.AddrPort) error {
	fail := func(err error) error { return fmt.Errorf("linger: %s: %w", addr, err) }
	domain, sa, err := sockaddr(addr)
	if err != nil {
		return fail(err)
	}
	// No child is to have a copy of this socket, for the next one who tries.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail(os.NewSyscallError("socket", err))
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, sa); err != nil {
		return fail(os.NewSyscallError("bind", err))
	}
	return nil
}

func sockaddr(addr netip.AddrPort) (domain int, sa unix.Sockaddr, err error) {
	ip := addr.Addr().Unmap()
	if ip.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: ip.As4()}, nil
	}
	sa6 := &unix.SockaddrInet6{Port: int(addr.Port()), Addr: ip.As16()}
	if zone := ip.Zone(); zone != "" {
		// The name of an interface, or its number (RFC 4007, section 11.2).
		if link, e := net.InterfaceByName(zone); e == nil {
			sa6.ZoneId = uint32(link.Index)
		} else if index, e := strconv.ParseUint(zone, 10, 32); e == nil {
			sa6.ZoneId = uint32(index)
		} else {
			return 0, nil, fmt.Errorf("there is no interface %s", zone)
		}
	}
	return unix.AF_INET6, sa6, nil
}

// holdersAt reports whether children of this process hold a socket that can be in the way of addr, and whether somebody else does, or
// nobody any more, as with TIME_WAIT.
func holdersAt(addr netip.AddrPort) (children, others bool) {
	d, err := sockdiag.Port(addr.Port())
	if err != nil {
		return false, true
	}
	d.Sockets = slices.DeleteFunc(d.Sockets, func(s sockdiag.Socket) bool { return !sameAddress(addr.Addr(), s.Local.Addr()) })
	// One that listens, or is bound, and has no inode is being closed at this very moment.
	if slices.ContainsFunc(d.Sockets, func(s sockdiag.Socket) bool { return s.Inode == 0 && !s.HoldsPort() }) {
		return false, true
	}
	holders, _, err := d.Holders()
	for _, h := range holders {
		switch parent(h.PID) {
		case 0: // it has ended since
		case os.Getpid():
			children = true
		default:
			others = true
		}
	}
	return children, others || err != nil
}

// parent returns the number of the process's parent, 0 if there is no such process any more (proc_pid_stat(5)).
func parent(pid int) int {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	fields := bytes.Fields(after) // behind the name, which may have anything in it
	if len(fields) < 2 {
		return 0
	}
	number, _ := strconv.Atoi(string(fields[1]))
	return number
}
