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

// Options are those of a server.
type Options struct {
	Share     bool   // other processes can listen on the port too (SO_REUSEPORT)
	Cert, Key string // files, with which it serves over TLS if it can. Empty: it does not
}

// insiders are the servers that need no program of their own.
var insiders = map[string]func(netip.AddrPort, Options) error{
	"floor":            func(addr netip.AddrPort, o Options) error { return serveFloor(addr, inPlace, o.Share) },
	"floor-linger":     func(addr netip.AddrPort, o Options) error { return serveFloor(addr, byClose, o.Share) },
	"nethttp-close":    func(addr netip.AddrPort, o Options) error { return serveNetHTTP(addr, callClose, o) },
	"nethttp-shutdown": func(addr netip.AddrPort, o Options) error { return serveNetHTTP(addr, callShutdown, o) },
	"nethttp-map":      func(addr netip.AddrPort, o Options) error { return serveNetHTTP(addr, armEach, o) },
}

// Serve serves on addr as one of these servers, until SIGTERM.
func Serve(key, addr string, o Options) error {
	serve, ok := insiders[key]
	if !ok {
		return fmt.Errorf("bench: %q is not in here: %s", key, strings.Join(slices.Sorted(maps.Keys(insiders)), ", "))
	}
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return serve(ap, o)
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
