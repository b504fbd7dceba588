//go:build linux

package bench

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// InsideCommand is the sub-command, and ClientsCommand the other, with which a program that uses NewRoster calls Inside and
// ServeClients.
const (
	InsideCommand  = "bench-peer"
	ClientsCommand = "bench-clients"
)

// insiders are the servers that need no program of their own.
var insiders = map[string]func(addr netip.AddrPort, share bool) error{
	"floor":            func(addr netip.AddrPort, share bool) error { return ServeFloor(addr, InPlace, share) },
	"floor-linger":     func(addr netip.AddrPort, share bool) error { return ServeFloor(addr, ByClose, share) },
	"nethttp-close":    func(addr netip.AddrPort, share bool) error { return ServeNetHTTP(addr, CallClose, share) },
	"nethttp-shutdown": func(addr netip.AddrPort, share bool) error { return ServeNetHTTP(addr, CallShutdown, share) },
	"nethttp-map":      func(addr netip.AddrPort, share bool) error { return ServeNetHTTP(addr, ArmEach, share) },
}

// Inside serves on addr as one of the servers of the roster that are in this program, until SIGTERM. With share, other processes
// can listen on the port too (SO_REUSEPORT).
func Inside(key, addr string, share bool) error {
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
