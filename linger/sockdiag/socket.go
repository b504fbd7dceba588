// Package sockdiag tells which TCP sockets the kernel holds on a local port: IPv4 and IPv6, every state, with and
// without an owner. It asks over netlink (NETLINK_SOCK_DIAG), where the kernel picks the sockets of the port, and
// falls back to /proc/net/tcp and /proc/net/tcp6 where netlink is refused. Neither needs a privilege. [Selector] picks some
// of them, and [Destroy], which does need one, ends them from outside.
//
// A connection that this host closed first stays on its port as TIME_WAIT or FIN_WAIT2 long after the program is
// gone. A port is free, for bind(2) without SO_REUSEADDR too, when [Count] finds nothing on it.
//
// A dump is not a snapshot: the kernel walks its tables while connections come and go, so a socket that changes
// state meanwhile can be seen twice or not at all. Sockets that do not change are each reported exactly once.
// Everything concerns the network namespace of the calling thread. Any goroutine may call any function of this package; a Dump and what is
// in it have no lock.
package sockdiag

import (
	"net/netip"
	"time"
)

// Socket is one TCP socket, as the kernel described it at one moment.
type Socket struct {
	// Local and Remote are the two ends. An IPv4 connection of a dual-stack socket has IPv4 addresses here; a
	// listening socket's Remote is the zero port of the unspecified address, and so is its Local address where it
	// listens on all of them. A scope is never given as a zone: see Interface.
	Local, Remote netip.AddrPort

	State State

	// Inode is the number that /proc/PID/fd shows as socket:[Inode]. It is 0 for a socket without a file:
	// TIME_WAIT, SYN_RECV, a connection that waits for accept(2), and one whose descriptor is closed already.
	Inode uint32

	// Cookie names the socket for as long as the kernel runs. It is what getsockopt(2) gives for SO_COOKIE, and what
	// SOCK_DESTROY takes. The kernel makes it up when it is first asked for; from then on a connection keeps it
	// to its end, TIME_WAIT included. An MPTCP socket's descriptor gives the cookie of that socket, not of the TCP
	// ones below it, which are those reported here. It is 0 where Dump.Source is FromProc.
	Cookie uint64

	// UID is the user that made the socket, 0 for one without a file.
	UID uint32

	// RecvQueue is the number of bytes received and not yet read, SendQueue the number written and not yet
	// acknowledged. For LISTEN they are the connections that wait for accept(2) and the backlog, which is 0
	// where Dump.Source is FromProc.
	RecvQueue, SendQueue uint32

	// Interface is the index of the interface that the socket is bound to, 0 for none. It is 0 where Dump.Source
	// is FromProc.
	Interface uint32

	// OnlyIPv6: the socket is on all IPv6 addresses, or one, and not on IPv4's (IPV6_V6ONLY, ipv6(7)). It is told of sockets that
	// hold the port, since Linux 4.3, and false where Dump.Source is FromProc.
	OnlyIPv6 bool

	// Traffic says when data last went through. Only Inspect asks for it.
	Traffic Traffic
}

// HoldsPort reports whether the socket keeps its port through a descriptor rather than through a connection: it listens, or is
// bound and not connected.
func (s *Socket) HoldsPort() bool { return s.State == Listen || s.State == Close }

// Blocks reports whether the socket keeps its port from being bound at ip without SO_REUSEADDR. The unspecified address of IPv6 stands
// for all addresses of both families, as it does to bind(2) unless IPV6_V6ONLY is set; an ip that is not valid does so too.
func (s *Socket) Blocks(ip netip.Addr) bool {
	own := s.Local.Addr()
	ip = ip.Unmap().WithZone("")
	switch {
	case !ip.IsValid(), ip.IsUnspecified() && ip.Is6():
		return true
	case own.IsUnspecified() && own.Is6():
		return ip.Is6() || !s.OnlyIPv6
	case own.IsUnspecified(), ip.IsUnspecified():
		return own.Is4() && ip.Is4()
	}
	return own == ip
}

// Queued is the number of bytes that wait in the kernel in either direction: received and not yet read, and written and not
// yet acknowledged. A FIN counts as one. It is 0 for a socket that listens, whose queues hold connections.
func (s *Socket) Queued() uint64 {
	if s.State == Listen {
		return 0
	}
	return uint64(s.RecvQueue) + uint64(s.SendQueue)
}

// Traffic says when data last went through a connection. TCP has no more of a clock: when the connection was made is
// nowhere in the kernel.
type Traffic struct {
	// Known is false where the kernel does not say: for connections that have no full socket any more (TIME_WAIT, and
	// FIN_WAIT2 without a descriptor) or not yet (SYN_RECV), for sockets that are not connected, and where Dump.Source is
	// FromProc. The other fields mean nothing then.
	Known bool
	// LastReceived and LastSent are the times since data was last received and last sent, acknowledgements and probes not
	// counted, in milliseconds; or since the connection was made, while there was none.
	LastReceived, LastSent time.Duration
	// Outgoing: this end has made the connection, by connect(2), and not a listening socket. It is found out of connections of which
	// this end has not sent its FIN, since Linux 4.19; false where that is not known.
	Outgoing bool
}

// Idle is the time since data last went through in either direction. known is Known.
func (t Traffic) Idle() (d time.Duration, known bool) {
	return min(t.LastReceived, t.LastSent), t.Known
}

// Source says where an answer comes from.
type Source string

// Where answers come from.
const (
	FromNetlink Source = "netlink"
	// FromProc is less of an answer in one respect besides the fields that Socket names: /proc/net/tcp leaves out
	// sockets that are bound and do nothing else, which netlink (since Linux 6.8) reports as CLOSE.
	FromProc Source = "proc"
)

// Dump is the answer to one question.
type Dump struct {
	Sockets []Socket // in no particular order
	Source  Source
}

// Count counts the sockets by state.
func (d Dump) Count() Counts {
	var c Counts
	for i := range d.Sockets {
		c.add(uint8(d.Sockets[i].State))
	}
	return c
}
