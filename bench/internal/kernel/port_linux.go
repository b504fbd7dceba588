//go:build linux

package kernel

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"

	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// Ports that a server may be given: unprivileged ones, below those that clients get of the kernel unless these begin there.
const (
	firstPort = 10_000
	lastPort  = 60_000
)

// FreePort is the address of a port of 127.0.0.1 on which nothing is, and which the kernel gives no client.
func FreePort() (netip.AddrPort, error) {
	low, high := ephemeralPorts()
	const tries = 10_000
	for i := range tries {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if low <= port && port <= high && i < tries/2 { // later any will do: the range can be that of all ports
			continue
		}
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
		free, err := Unused(addr)
		if err != nil || free {
			return addr, err
		}
	}
	return netip.AddrPort{}, fmt.Errorf("bench: no port from %d to %d is free", firstPort, lastPort)
}

// Unused reports whether there is no socket on the port, of whatever address.
func Unused(addr netip.AddrPort) (bool, error) {
	left, _, err := sockdiag.Count(addr.Port())
	if err != nil || left.Total() > 0 {
		return false, err
	}
	return linger.CheckFree(addr) == nil, nil
}

// ephemeralPorts are the first and the last port that the kernel gives to clients.
func ephemeralPorts() (low, high int) {
	low, high = 32768, 60999 // ip(7)
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		_, _ = fmt.Sscan(string(b), &low, &high)
	}
	return low, high
}
