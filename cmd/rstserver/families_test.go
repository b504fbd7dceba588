package main

import (
	"net"
	"net/netip"
	"testing"
)

func TestFamilies(t *testing.T) {
	v4, v6 := netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()
	for _, tc := range []struct {
		addr    string
		serves  string // the host of the address that it says
		clients []netip.Addr
	}{
		{"127.0.0.1:0", "127.0.0.1", []netip.Addr{v4}},
		{"0.0.0.0:0", "0.0.0.0", []netip.Addr{v4}},
		{"[::1]:0", "::1", []netip.Addr{v6}},
		{":0", "::", []netip.Addr{v4, v6}},
		{"[::]:0", "::", []netip.Addr{v4, v6}},
		{"localhost:0", "", nil},
	} {
		t.Run(tc.addr, func(t *testing.T) {
			if tc.addr != "127.0.0.1:0" && tc.addr != "0.0.0.0:0" {
				ln, err := net.Listen("tcp6", "[::1]:0")
				if err != nil {
					t.Skipf("needs IPv6 (sysctl net.ipv6.conf.lo.disable_ipv6=0): %v", err)
				}
				ln.Close()
			}
			p := start(t, "--addr", tc.addr, "--log-format=json")
			if tc.serves != "" && p.addr.Addr() != netip.MustParseAddr(tc.serves) || p.addr.Port() == 0 {
				t.Errorf("it serves %s, want %s and a port", p.addr, tc.serves)
			}
			if tc.clients == nil {
				tc.clients = []netip.Addr{p.addr.Addr()}
			}
			var clients []*client
			for _, host := range tc.clients {
				for range 10 {
					c := dial(t, netip.AddrPortFrom(host, p.addr.Port()))
					c.expectHello()
					clients = append(clients, c)
				}
			}
			p.stop()
			for _, c := range clients {
				c.expectReset()
			}
			expectFree(t, p.addr)
			for _, host := range tc.clients {
				expectFree(t, netip.AddrPortFrom(host, p.addr.Port()))
			}
			if rep := p.report(); rep.Connections["idle"] != len(clients) {
				t.Errorf("connections = %v, want %d idle", rep.Connections, len(clients))
			}
		})
	}
}
