//go:build linux

package linger

import (
	"fmt"
	"os"
	"slices"

	"rstserver/linger/sockdiag"
)

// Left is what the kernel still holds on a port after a teardown, by whose it is.
type Left struct {
	// Source tells where the figures come from.
	Source sockdiag.Source `json:"source"`
	// Outlived counts connections that the teardown was to end and that exist all the same.
	Outlived sockdiag.Counts `json:"outlived"`
	// Residue counts sockets without a descriptor that are on their way out: TIME_WAIT, FIN_WAIT1, FIN_WAIT2, CLOSING and
	// LAST_ACK of connections closed before, by this server or by another that uses the port.
	Residue sockdiag.Counts `json:"residue"`
	// Others counts what somebody else has on the port: a successor, a sibling with SO_REUSEPORT, a holder of the listener.
	Others sockdiag.Counts `json:"others"`
}

// Free tells whether the port is free: no socket of any state is left on it.
func (l Left) Free() bool {
	return l.Outlived.Total()+l.Residue.Total()+l.Others.Total() == 0
}

// Verify asks the kernel what is left on the local port and sorts it by whose it is. ended holds the cookies of the
// connections that were to end (see [Sweep]); Verify sorts it. Any goroutine may call it, no privilege is needed.
//
// A socket is told from a successor's by its cookie, never by its addresses, since a client may have connected to the
// successor from the same port by then. Where only /proc/net/tcp can be read there are no cookies: there a connection is
// taken for one of ended when this process still holds a descriptor of it. An error means that nothing could be verified.
func Verify(port uint16, ended []uint64) (Left, error) {
	slices.Sort(ended)
	var (
		left Left
		held map[uint32]bool
	)
	source, err := sockdiag.Each(port, func(s *sockdiag.Socket) bool {
		ours := false
		switch {
		case s.State == sockdiag.Listen:
		case s.Cookie != 0:
			_, ours = slices.BinarySearch(ended, s.Cookie)
		case s.Inode != 0:
			if held == nil {
				held = heldSockets()
			}
			ours = held[s.Inode]
		}
		switch {
		case ours:
			left.Outlived[s.State]++
		case s.Inode == 0 && leaving(s.State):
			left.Residue[s.State]++
		default:
			left.Others[s.State]++
		}
		return true
	})
	left.Source = source
	return left, err
}

// leaving tells whether a socket in state s without a descriptor can only be the rest of a connection that was closed. In
// the other states it waits in a listener's queue.
func leaving(s sockdiag.State) bool {
	switch s {
	case sockdiag.FinWait1, sockdiag.FinWait2, sockdiag.TimeWait, sockdiag.Closing, sockdiag.LastAck, sockdiag.Close:
		return true
	}
	return false
}

// heldSockets returns the inodes of the sockets that this process has a descriptor of.
func heldSockets() map[uint32]bool {
	const dir = "/proc/self/fd"
	held := make(map[uint32]bool)
	// Descriptors come and go meanwhile: one that cannot be read any more is not held any more.
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		target, err := os.Readlink(dir + "/" + e.Name())
		if err != nil {
			continue
		}
		var inode uint32
		if n, _ := fmt.Sscanf(target, "socket:[%d]", &inode); n == 1 {
			held[inode] = true
		}
	}
	return held
}
