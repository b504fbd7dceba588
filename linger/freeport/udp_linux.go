//go:build linux

package freeport

import (
	"net"
	"net/netip"

	"rstserver/linger/sockdiag"
)

// udp finds who has the UDP port of the same number, at the addresses that the plan is about. It is a hint, so what cannot be found out
// is nobody.
func (p *Plan) udp() (holders []Holder, hidden int) {
	d, err := sockdiag.UDP(p.Select.LocalPort)
	if err != nil {
		return nil, 0
	}
	findOnlyIPv6(d.Sockets, bindUDP)
	v := &view{plan: p, sockets: d.Sockets}
	if v.identify() != nil {
		return nil, 0
	}
	var verdict Verdict
	verdict.list(v)
	return verdict.Holders, verdict.Hidden
}

func bindUDP(addr netip.AddrPort) error {
	c, err := net.ListenPacket("udp", addr.String())
	if err != nil {
		return err
	}
	return c.Close()
}
