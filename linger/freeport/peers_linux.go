//go:build linux

package freeport

import (
	"cmp"
	"net/netip"
	"slices"

	"rstserver/linger/sockdiag"
)

// Peers is connections that come from one address, or from one network.
type Peers struct {
	// Net is the network, of one address where it is one; Counts is its connections by state.
	Net    netip.Prefix    `json:"network"`
	Counts sockdiag.Counts `json:"sockets"`
}

// coverage is the part of all connections that the groups listed shall have, before networks are put in the place of addresses. The number
// is a guess.
const coverage = 0.8

// LargestPeers groups those of the plan's sockets that have a peer by it, and returns the largest groups, most of them at the most. Where
// single addresses are too many to list, the groups are networks. rest counts the sockets of all other groups.
func (p *Plan) LargestPeers(most int) (groups []Peers, rest sockdiag.Counts, err error) {
	v, err := p.look()
	if err != nil {
		return nil, rest, err
	}
	sockets := slices.DeleteFunc(v.selected(), func(s sockdiag.Socket) bool { return s.Remote.Port() == 0 })
	for _, bits := range [][2]int{{32, 128}, {24, 64}, {16, 48}, {8, 32}} { // of IPv4 and IPv6
		groups, rest = group(sockets, bits, most)
		if float64(rest.Total()) <= (1-coverage)*float64(len(sockets)) {
			break
		}
	}
	return groups, rest, nil
}

func group(sockets []sockdiag.Socket, bits [2]int, most int) (groups []Peers, rest sockdiag.Counts) {
	counts := make(map[netip.Prefix]sockdiag.Counts)
	for _, s := range sockets {
		ip := s.Remote.Addr()
		n, _ := ip.Prefix(bits[1])
		if ip.Is4() {
			n, _ = ip.Prefix(bits[0])
		}
		c := counts[n]
		c[known(s.State)]++
		counts[n] = c
	}
	for n, c := range counts {
		groups = append(groups, Peers{n, c})
	}
	slices.SortFunc(groups, func(a, b Peers) int {
		return cmp.Or(cmp.Compare(b.Counts.Total(), a.Counts.Total()), a.Net.Addr().Compare(b.Net.Addr()))
	})
	for _, g := range groups[min(most, len(groups)):] {
		for state, n := range g.Counts {
			rest[state] += n
		}
	}
	return groups[:min(most, len(groups))], rest
}
