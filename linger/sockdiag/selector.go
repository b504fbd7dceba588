package sockdiag

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Selector picks sockets. A socket has to meet every condition that is set, and of a list one entry; the zero value picks
// all. It is not changed by its methods, so any number of goroutines may use it.
type Selector struct {
	// LocalPort is the local port. Zero: any.
	LocalPort uint16
	// Local and Peer hold the local and the remote address; ParseNetwork makes such a Prefix of an address or a CIDR. Empty:
	// any. IPv4 addresses match in whichever form the socket has them. A socket that listens has no peer, so no Peer picks it.
	Local, Peer []netip.Prefix
	// States holds the state. Empty: any. NewSynRecv is the same as SynRecv.
	States []State
	// Idle is the least time since data last went through, in either direction; see Traffic. Zero and less: any. A socket
	// of which the kernel does not know that time is not picked, nor is one whose Traffic was not asked for.
	Idle time.Duration
	// Queued is the least number of bytes that wait in the kernel; see Socket.Queued. Zero: any.
	Queued uint64
	// Processes holds a process that has the socket open, by its number or by its name (comm, proc(5); what is beyond the
	// 15 bytes that the kernel keeps is not compared). Empty: any. A socket that no process has open is not picked.
	Processes []string
}

// Match reports whether s is picked. holders are the processes that have it open, for which only Processes asks.
func (sel *Selector) Match(s *Socket, holders ...Process) bool {
	idle, known := s.Traffic.Idle()
	switch {
	case sel.LocalPort != 0 && s.Local.Port() != sel.LocalPort,
		len(sel.Local) > 0 && !within(sel.Local, s.Local.Addr()),
		len(sel.Peer) > 0 && (s.Remote.Port() == 0 || !within(sel.Peer, s.Remote.Addr())),
		len(sel.States) > 0 && !slices.ContainsFunc(sel.States, s.State.same),
		sel.Idle > 0 && (!known || idle < sel.Idle),
		s.Queued() < sel.Queued,
		len(sel.Processes) > 0 && !slices.ContainsFunc(holders, sel.MatchProcess):
		return false
	}
	return true
}

// MatchProcess reports whether p is one of Processes, or whether there are none.
func (sel *Selector) MatchProcess(p Process) bool {
	return len(sel.Processes) == 0 || slices.ContainsFunc(sel.Processes, p.is)
}

// is reports whether the process goes by name, which can be its number.
func (p Process) is(name string) bool {
	const most = 15 // TASK_COMM_LEN less the zero byte
	return name == strconv.Itoa(p.PID) || p.Name != "" && p.Name == name[:min(len(name), most)]
}

// same reports whether two states are one to the user.
func (s State) same(other State) bool {
	return s == other || s == SynRecv && other == NewSynRecv || s == NewSynRecv && other == SynRecv
}

func within(networks []netip.Prefix, ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return unmapped(n).Contains(ip) })
}

// ParseNetwork reads an IP address (10.0.0.5, ::1) or a network (10.0.0.0/8, fd00::/8) for a Selector. Bits of the address
// behind the prefix are ignored. An address is a network of its own, and one that stands for IPv4 (::ffff:10.0.0.5) is that.
// The error says what it has to be.
func ParseNetwork(s string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		return unmapped(netip.PrefixFrom(ip, ip.BitLen())), nil
	}
	n, err := netip.ParsePrefix(s)
	switch {
	case strings.Contains(s, "%"):
		return netip.Prefix{}, fmt.Errorf("sockdiag: %q has a zone, which the kernel does not list with a socket", s)
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("sockdiag: %q is neither an IP address nor a network such as 10.0.0.0/8", s)
	}
	return unmapped(n).Masked(), nil
}

// unmapped is the IPv4 network for which n may stand.
func unmapped(n netip.Prefix) netip.Prefix {
	const mapped = 96
	if n.Addr().Is4In6() && n.Bits() >= mapped {
		return netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-mapped)
	}
	return n
}
