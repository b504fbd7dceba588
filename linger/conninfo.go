package linger

import (
	"net/netip"
	"time"

	"rstserver/linger/sockdiag"
)

// ConnInfo describes one live connection of a [Listener], as the kernel knew it at one moment (TCP_INFO, SIOCINQ and SIOCOUTQ,
// tcp(7)). Of a connection that is not one of TCP only Accepted is known.
type ConnInfo struct {
	// Local and Remote are the two ends; an IPv4 client of a listener for both families has an IPv4 address here.
	Local, Remote netip.AddrPort
	// Accepted is when the server was given the connection.
	Accepted time.Time
	// State is ESTABLISHED as a rule; CLOSE_WAIT when the peer has sent its FIN and the server has not, CLOSE when the peer has
	// reset it and the server has not closed it yet.
	State sockdiag.State
	// SinceReceived and SinceSent are how long ago data last came and went, counted from the handshake where none ever did.
	// The kernel counts in its clock's ticks (some milliseconds), and keep-alive probes do not count.
	SinceReceived, SinceSent time.Duration
	// RecvQueue is the number of bytes received that the server has not read, SendQueue the number written that the peer has not
	// acknowledged.
	RecvQueue, SendQueue int
}

// Idle is how long the connection has carried no data in either direction.
func (i ConnInfo) Idle() time.Duration { return min(i.SinceReceived, i.SinceSent) }
