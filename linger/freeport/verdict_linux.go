//go:build linux

package freeport

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// Verdict is whether the port is free, and what is on it if not.
type Verdict struct {
	// Free: each address that was concerned could be bound without SO_REUSEADDR, which the kernel allows only when no socket
	// of any state is left there.
	Free bool `json:"free"`
	// Bound are the addresses that could be bound. Without Selector.Local they are all addresses, of each family that the
	// machine has.
	Bound []netip.AddrPort `json:"bound"`
	// Err is the first bind that failed, nil if none did; Refused is its address.
	Err     error          `json:"-"`
	Failure string         `json:"bind_error,omitempty"` // the same, as text
	Refused netip.AddrPort `json:"refused_address,omitzero"`
	// Holders are the processes that hold the port in the end.
	Holders []Holder `json:"held_by"`
	// Hidden is the number of sockets that hold the port and whose processes cannot be seen.
	Hidden int `json:"held_by_hidden"`
	// Hiding says why, if there are any.
	Hiding Hiding `json:"hiding,omitzero"`
	// Left counts the other sockets that are on the port at the addresses concerned.
	Left sockdiag.Counts `json:"left"`
}

// Holder is a process that holds the port.
type Holder struct {
	Process
	Circumstance
	// Local is the address at which it holds the port.
	Local netip.AddrPort `json:"address"`
	// State is LISTEN, or CLOSE for a socket that is bound and not connected.
	State sockdiag.State `json:"state"`
}

// InUse reports whether it is another socket that kept the port from being bound, rather than the want of a right, say.
func (v *Verdict) InUse() bool { return errors.Is(v.Err, unix.EADDRINUSE) }

// Judge finds out whether the port is free, without touching what is on it. A port that is not free is no error, and neither is a bind that fails:
// the Verdict says so. The error is that of Look.
func (p *Plan) Judge() (Verdict, error) {
	v, err := p.look()
	if err != nil {
		return Verdict{}, err
	}
	return p.judge(v)
}

const (
	// transient is how often a bind that fails although nothing is listed is tried again, at intervals of interval:
	// somebody else may just try the port too. Both numbers are guesses.
	transient = 10
	interval  = 10 * time.Millisecond
)

// judge is Judge after the port was seen with what before has.
func (p *Plan) judge(before *view) (Verdict, error) {
	addresses := p.addresses(before)
	for tries := transient; ; tries-- {
		var verdict Verdict
		verdict.bind(addresses, p.Select.LocalPort)
		v, err := p.look()
		if err != nil {
			return verdict, err
		}
		verdict.list(v)
		if !verdict.InUse() || tries == 0 || len(verdict.Holders) > 0 || verdict.Hidden > 0 || verdict.Left.Total() > 0 {
			return verdict, nil
		}
		time.Sleep(interval)
	}
}

// bind binds the addresses.
func (v *Verdict) bind(addresses []netip.Addr, port uint16) {
	v.Bound = []netip.AddrPort{}
	for _, ip := range addresses {
		addr := netip.AddrPortFrom(ip, port)
		err := linger.CheckFree(addr)
		switch {
		case err == nil:
			v.Bound = append(v.Bound, addr)
		case errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) && len(addresses) > 1:
			// Nobody can use it here: the machine has no such family, or no such address any more.
		case v.Err == nil || errors.Is(err, unix.EADDRINUSE) && !v.InUse():
			v.Err, v.Failure, v.Refused = err, err.Error(), addr
		}
	}
	v.Free = v.Err == nil && len(v.Bound) > 0
}

// list says what is on the port.
func (verdict *Verdict) list(v *view) {
	verdict.Holders = []Holder{}
	circumstances := make(map[int]Circumstance)
	for i := range v.sockets {
		s := &v.sockets[i]
		switch {
		case !v.concerned(s):
		case !s.HoldsPort():
			verdict.Left[known(s.State)]++
		case len(v.holders[s.Inode]) == 0:
			verdict.Hidden++
		default:
			for _, h := range v.holders[s.Inode] {
				c, known := circumstances[h.PID]
				if !known {
					c = circumstanceOf(h.PID)
					circumstances[h.PID] = c
				}
				verdict.Holders = append(verdict.Holders, Holder{Process{h.PID, h.Name}, c, s.Local, s.State})
			}
		}
	}
	if verdict.Hidden > 0 {
		verdict.Hiding = hiddenBy()
	}
	slices.SortStableFunc(verdict.Holders, func(a, b Holder) int { return a.PID - b.PID })
}

// addresses are those that have to be bound for the port to count as free.
func (p *Plan) addresses(v *view) []netip.Addr {
	if len(p.Select.Local) == 0 {
		return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	}
	var addresses []netip.Addr
	add := func(ip netip.Addr) {
		ip = ip.Unmap().WithZone("")
		bound := []netip.Addr{ip}
		if ip.Is6() && ip.IsLinkLocalUnicast() {
			bound = onLinks(ip)
		}
		for _, ip := range bound {
			if !slices.Contains(addresses, ip) {
				addresses = append(addresses, ip)
			}
		}
	}
	for _, n := range p.Select.Local {
		if n.IsSingleIP() {
			add(n.Addr())
		}
	}
	covered := func(ip netip.Addr) bool {
		return slices.ContainsFunc(addresses, func(all netip.Addr) bool { return all.IsUnspecified() && (all.Is6() || ip.Is4()) })
	}
	// Of a network: what the machine has of it, and what is in use.
	own, _ := net.InterfaceAddrs()
	for _, a := range own {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && v.concerned(&sockdiag.Socket{Local: netip.AddrPortFrom(ip.Unmap(), 1)}) && !covered(ip.Unmap()) {
				add(ip)
			}
		}
	}
	for i := range v.sockets {
		if ip := v.sockets[i].Local.Addr(); !ip.IsUnspecified() && v.concerned(&v.sockets[i]) && !covered(ip) {
			add(ip)
		}
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	return addresses
}

// onLinks returns an address that is valid on one link only with each interface that has it, without which it cannot be bound. Where
// none has it any more, that is all addresses.
func onLinks(ip netip.Addr) (zoned []netip.Addr) {
	links, _ := net.Interfaces()
	for _, link := range links {
		own, _ := link.Addrs()
		for _, a := range own {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip.AsSlice()) {
				zoned = append(zoned, ip.WithZone(link.Name))
			}
		}
	}
	if len(zoned) == 0 {
		return []netip.Addr{netip.IPv6Unspecified()}
	}
	return zoned
}
