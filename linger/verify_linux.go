//go:build linux

package linger

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"rstserver/internal/claims"
	"rstserver/internal/descriptors"
	"rstserver/linger/sockdiag"
)

// Left is what the kernel still holds on a port after a teardown, by whose it is.
type Left struct {
	// Source tells where the figures come from.
	Source sockdiag.Source `json:"source"`
	// Outlived counts connections that the teardown was to end and that exist all the same.
	Outlived sockdiag.Counts `json:"outlived"`
	// Residue counts sockets without a descriptor that are on their way out: TIME_WAIT, FIN_WAIT1, FIN_WAIT2, CLOSING and
	// LAST_ACK of connections closed before, by this server or by another that uses the port, and SYN_RECV when nobody
	// listens any more.
	Residue sockdiag.Counts `json:"residue"`
	// Others counts what somebody else has on the port: a successor, a sibling with SO_REUSEPORT, another process that holds
	// the listening socket.
	Others sockdiag.Counts `json:"others"`
	// Unowned counts sockets that this process holds, but that no live [Listener] or server of rstserver/poller knows: the
	// listening socket by a File or another duplicate that was not closed, or a connection.
	Unowned sockdiag.Counts `json:"unowned"`
}

// Free reports whether the port is free: no socket of any state is left on it.
func (l Left) Free() bool {
	return l.Outlived.Total()+l.Residue.Total()+l.Others.Total()+l.Unowned.Total() == 0
}

// Failure is the error that a teardown which left this is not complete; nil if it is. refused is why the kernel did not reset
// connections in place, if it did not.
func (l Left) Failure(refused error) error {
	var errs []error
	if n := l.Outlived.Total(); n > 0 {
		errs = append(errs, fmt.Errorf("linger: %d connections outlived the teardown: %s", n, l.Outlived), refused)
	}
	if n := l.Unowned.Total(); n > 0 {
		errs = append(errs, fmt.Errorf("linger: this process holds %d sockets on the port that none of its servers knows: %s "+
			"(mostly a File or another duplicate of the listener or of a connection that was not closed)", n, l.Unowned))
	}
	return errors.Join(errs...)
}

// Verify asks the kernel what is left on the local port and sorts it by whose it is. ended holds the cookies of the connections
// that were to end (see [Sweep]) and of the listening socket that was given up; Verify sorts it, and others. Any goroutine may call it, no
// privilege is needed.
//
// A socket is told from a successor's by its cookie, never by its addresses, since a client may have connected to the
// successor from the same port by then. Where the kernel's list has no cookie that helps (one read from /proc/net/tcp has
// none, and one of netlink has that of the TCP socket below an MPTCP connection), the descriptors of this process are asked
// for theirs. An error means that nothing could be verified.
//
// What this process holds is others' if a live [Listener] or server of rstserver/poller has it. As far as it is not in ended, it is
// others' too if its cookie is among others, and while the process listens on the port by a socket of none of these: a server that
// does not know this package may have it. Servers close what they have dropped some microseconds later, so what is held by nobody is
// looked at for a while before it is Unowned. A client's socket of this process that was bound to the port by number cannot be told from
// a connection that nobody closed.
func Verify(port uint16, ended []uint64, others ...uint64) (Left, error) {
	slices.Sort(ended)
	slices.Sort(others)
	var suspects map[uint64]bool
	for deadline := time.Now().Add(unownedPatience); ; time.Sleep(unownedInterval) {
		c, err := verify(port, ended, others)
		if err != nil {
			return Left{}, err
		}
		if suspects != nil {
			maps.DeleteFunc(c.suspects, func(cookie uint64, _ sockdiag.State) bool { return !suspects[cookie] })
		}
		suspects = make(map[uint64]bool)
		for cookie := range c.suspects {
			suspects[cookie] = true
		}
		if len(suspects) == 0 || time.Now().After(deadline) {
			for _, state := range c.suspects {
				tally(&c.left.Unowned, state)
			}
			return c.left, nil
		}
	}
}

// What is held by nobody is looked at every unownedInterval for unownedPatience.
const (
	unownedInterval = time.Millisecond
	unownedPatience = 100 * time.Millisecond
)

func verify(port uint16, ended, others []uint64) (c census, err error) {
	for tries := 3; ; tries-- {
		c = census{port: port, ended: ended, others: others}
		source, err := sockdiag.Each(port, func(s *sockdiag.Socket) bool {
			c.add(s)
			return true
		})
		// A dump that the kernel could not finish consistently counts for nothing.
		if errors.Is(err, sockdiag.ErrInterrupted) && tries > 0 {
			continue
		}
		if err != nil {
			return c, err
		}
		c.left.Source = source
		// Without /proc the sockets that netlink lists are still told apart, save those of MPTCP.
		if err := c.settle(); err != nil && source == sockdiag.FromProc {
			return c, err
		}
		return c, nil
	}
}

// census sorts the sockets of a port by whose they are.
type census struct {
	port  uint16
	left  Left
	ended []uint64 // cookies in ascending order
	// others are cookies of what is others', unless it is in ended; in ascending order too.
	others []uint64
	// unclear are sockets that have a descriptor in some process, and that are not sure to be of ended by what the kernel's list
	// says. They are not looked into before settle, since the kernel waits while it is asked what is on the port.
	unclear  []held
	halfOpen int // in SYN_RECV: whoever listens will get them
	// suspects are sockets of this process that nobody claims, by cookie.
	suspects map[uint64]sockdiag.State
}

// held is a socket that some process has a descriptor of.
type held struct {
	inode uint32
	state sockdiag.State
}

// add counts s, or puts it aside for settle.
func (c *census) add(s *sockdiag.Socket) {
	switch {
	case s.State == sockdiag.Listen:
		c.unclear = append(c.unclear, held{s.Inode, s.State})
	case s.State == sockdiag.TimeWait:
		// Both sides had closed before the teardown came to it, even if it is one of ended: no abort makes TIME_WAIT.
		tally(&c.left.Residue, s.State)
	case s.Cookie != 0 && c.hasEnded(s.Cookie):
		tally(&c.left.Outlived, s.State)
	case s.Inode != 0:
		c.unclear = append(c.unclear, held{s.Inode, s.State})
	case s.State == sockdiag.SynRecv:
		c.halfOpen++
	case leaving(s.State):
		tally(&c.left.Residue, s.State)
	default:
		tally(&c.left.Others, s.State)
	}
}

func (c *census) hasEnded(cookie uint64) bool {
	return contains(c.ended, cookie)
}

// contains is for cookies in ascending order.
func contains(cookies []uint64, cookie uint64) bool {
	_, found := slices.BinarySearch(cookies, cookie)
	return found
}

func tally(counts *sockdiag.Counts, s sockdiag.State) {
	if int(s) >= len(counts) {
		s = sockdiag.Unknown // a state of a kernel to come
	}
	counts[s]++
}

// leaving reports whether a socket in state s without a descriptor can only be the rest of a connection that was closed. In
// the other states it waits in a listener's queue.
func leaving(s sockdiag.State) bool {
	switch s {
	case sockdiag.FinWait1, sockdiag.FinWait2, sockdiag.TimeWait, sockdiag.Closing, sockdiag.LastAck, sockdiag.Close:
		return true
	}
	return false
}

// settle counts the unclear sockets: those of this process whose descriptor has a cookie of ended outlived the teardown, or
// are suspects if they listen; those that nobody claims are suspects; the rest are others'. On an error all of them count as
// others'.
func (c *census) settle() error {
	listening := slices.ContainsFunc(c.unclear, func(h held) bool { return h.state == sockdiag.Listen })
	if listening {
		c.left.Others[sockdiag.SynRecv] += c.halfOpen
	} else {
		c.left.Residue[sockdiag.SynRecv] += c.halfOpen
	}
	c.halfOpen = 0
	if len(c.unclear) == 0 {
		return nil
	}
	inodes := make(map[uint32]bool, len(c.unclear))
	for _, h := range c.unclear {
		inodes[h.inode] = true
	}
	ours, err := descriptors.Cookies(inodes)
	if err != nil {
		err = fmt.Errorf("linger: %w", err)
	}
	var claimed map[uint64]bool
	foreign := false // this process has connections of somebody who does not claim each
	if len(ours) > 0 {
		claimed, foreign = claims.On(c.port)
	}
	c.suspects = make(map[uint64]sockdiag.State)
	for _, h := range c.unclear {
		switch cookie, held := ours[h.inode]; {
		case !held || cookie != 0 && (claimed[cookie] || contains(c.others, cookie) && !c.hasEnded(cookie)):
			tally(&c.left.Others, h.state)
		case h.state == sockdiag.Listen && !c.hasEnded(cookie):
			foreign = true
			tally(&c.left.Others, h.state)
		case h.state != sockdiag.Listen && (cookie == 0 || c.hasEnded(cookie)):
			// Where sockets have no cookies, whatever this process still holds is taken for what was to end.
			tally(&c.left.Outlived, h.state)
		default:
			c.suspects[cookie] = h.state
		}
	}
	c.unclear = nil
	if foreign {
		for cookie, state := range c.suspects {
			if !c.hasEnded(cookie) {
				tally(&c.left.Others, state)
				delete(c.suspects, cookie)
			}
		}
	}
	return err
}
