//go:build linux

// Package inside is the servers to compare with that need nothing else, and so are in this program: the floor, which is the least time
// that bare system calls take on the same machine, and net/http. With the floor comes its other end, the [Opener]. Each is started as a
// process of its own. They touch what comes by way of their port, and import nothing that measures, so that what is measured has no part in the measuring.
package inside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// insiders are the servers that need no program of their own.
var insiders = map[string]func(addr netip.AddrPort, share bool) error{
	"floor":            func(addr netip.AddrPort, share bool) error { return serveFloor(addr, inPlace, share) },
	"floor-linger":     func(addr netip.AddrPort, share bool) error { return serveFloor(addr, byClose, share) },
	"nethttp-close":    func(addr netip.AddrPort, share bool) error { return serveNetHTTP(addr, callClose, share) },
	"nethttp-shutdown": func(addr netip.AddrPort, share bool) error { return serveNetHTTP(addr, callShutdown, share) },
	"nethttp-map":      func(addr netip.AddrPort, share bool) error { return serveNetHTTP(addr, armEach, share) },
}

// Serve serves on addr as one of these servers, until SIGTERM. With share, other processes can listen on the port too (SO_REUSEPORT).
func Serve(key, addr string, share bool) error {
	serve, ok := insiders[key]
	if !ok {
		return fmt.Errorf("bench: %q is not in here: %s", key, strings.Join(slices.Sorted(maps.Keys(insiders)), ", "))
	}
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return serve(ap, share)
}

// Open is an [Opener] of what it is given as text.
func Open(server, from, n string, in io.Reader, out io.Writer) error {
	var o Opener
	var errs [3]error
	o.Server, errs[0] = netip.ParseAddrPort(server)
	o.From, errs[1] = netip.ParseAddr(from)
	o.N, errs[2] = strconv.Atoi(n)
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return o.Open(in, out)
}

// listen is plain TCP for all of them. With share the listener has SO_REUSEPORT.
func listen(addr netip.AddrPort, share bool) (*net.TCPListener, error) {
	var config net.ListenConfig
	if share {
		config.Control = func(_, _ string, c syscall.RawConn) (err error) {
			failed := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
			return errors.Join(failed, os.NewSyscallError("setsockopt SO_REUSEPORT", err))
		}
	}
	config.SetMultipathTCP(false)
	ln, err := config.Listen(context.Background(), "tcp", addr.String())
	if err != nil {
		return nil, err
	}
	return ln.(*net.TCPListener), nil
}
