//go:build linux

package freeport

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// TestInTheWay listens at each address, and frees the port at each: bind(2) says who is in the way, and whoever is not is
// neither named nor stopped.
func TestInTheWay(t *testing.T) {
	addresses := []struct {
		name, network, host string
		only                int // IPV6_V6ONLY
	}{
		{"all of IPv4", "tcp4", "0.0.0.0", 0},
		{"127.0.0.1", "tcp4", "127.0.0.1", 0},
		{"127.0.0.2", "tcp4", "127.0.0.2", 0},
		{"all of both", "tcp", "::", 0},
		{"all of IPv6", "tcp6", "::", 1},
		{"::1", "tcp6", "::1", 0},
	}
	for _, holder := range addresses {
		t.Run(holder.name, func(t *testing.T) {
			ln := listenOn(t, holder.network, holder.host, holder.only)
			addr := ln.Addr().(*net.TCPAddr).AddrPort()
			for _, wanted := range []string{"0.0.0.0", "127.0.0.1", "127.0.0.2", "::", "::1", "127.0.0.0/8", "::1/128"} {
				n, err := sockdiag.ParseNetwork(wanted)
				lingertest.Must(t, err)
				inTheWay := linger.TryBind(netip.AddrPortFrom(n.Addr(), addr.Port())) != nil
				if wanted == "127.0.0.0/8" {
					inTheWay = holder.host != "::1" && !(holder.host == "::" && holder.only == 1)
				}
				p := &Plan{Select: sockdiag.Selector{LocalPort: addr.Port(), Local: []netip.Prefix{n}}, StopOwner: true}
				o, err := p.Look()
				lingertest.Must(t, err)
				if owns := len(o.Owners) > 0; owns != inTheWay {
					t.Errorf("--local %s: owners are %v, but in the way: %v", wanted, o.Owners, inTheWay)
				}
				v, err := p.Judge()
				if err != nil || v.Free != !inTheWay || (len(v.Holders) > 0) != inTheWay {
					t.Errorf("--local %s: Judge = %+v, %v, but in the way: %v", wanted, v, err, inTheWay)
				}
			}
		})
	}
}

// TestOnlyIPv6FromProc has the question that /proc leaves open answered by a bind.
func TestOnlyIPv6FromProc(t *testing.T) {
	for name, network := range map[string]string{"both": "tcp", "IPv6": "tcp6"} {
		t.Run(name, func(t *testing.T) {
			ln := listenOn(t, network, "::", map[string]int{"tcp6": 1}[network])
			sockets := []sockdiag.Socket{{Local: ln.Addr().(*net.TCPAddr).AddrPort(), State: sockdiag.Listen}}
			findOnlyIPv6(sockets, linger.TryBind)
			if only := sockets[0].OnlyIPv6; only != (network == "tcp6") {
				t.Errorf("OnlyIPv6 = %v", only)
			}
		})
	}
}

// listenOn listens on a port of the test's own.
func listenOn(t *testing.T, network, host string, only int) net.Listener {
	t.Helper()
	lc := net.ListenConfig{Control: func(network, _ string, c syscall.RawConn) error {
		if network != "tcp6" {
			return nil
		}
		var err error
		e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only) })
		if e != nil {
			return e
		}
		return err
	}}
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(context.Background(), network, netip.AddrPortFrom(netip.MustParseAddr(host), sockdiagtest.OwnPort(t)).String())
	if err != nil {
		t.Skipf("needs IPv6 (sysctl net.ipv6.conf.lo.disable_ipv6=0): %v", err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}
