//go:build linux

package linger

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"rstserver/internal/claims"
	"rstserver/internal/descriptors"
	"rstserver/linger/sockdiag"
)

// Verify asks the kernel what is left on the local port and sorts it by whose it is. Any goroutine may call it, no privilege is
// needed.
//
// A connection is told from a successor's by its cookie, never by its addresses, since a client may have connected to the
// successor from the same port by then. Where the kernel's list has no cookie that helps (one read from /proc/net/tcp has
// none, and one of netlink has that of the TCP socket below an MPTCP connection), the descriptors of this process are asked
// for theirs. An error means that nothing could be verified.
//
// What this process holds is others' if a live [Listener] or server of rstserver/poller has it. As far as it was not to end, it is
// others' too if its cookie is among Others, and while the process listens on the port by a socket of none of these: a server that
// does not know this package may have it. The listening socket that was given up is nobody's who did not announce it, whatever
// process holds it. Servers close what they have dropped some microseconds later, and a child that has been forked holds
// everything until it executes its program; so what is held by nobody that is known is looked at for a while, a second at the most,
// before it is Unowned. A client's socket of this process that was bound to the port by number cannot be told from
// a connection that nobody closed.
func Verify(e Ending) (Left, error) {
	left, err := verifyAll([]Ending{e})
	if err != nil {
		return Left{}, err
	}
	return left[0], nil
}

// CheckGivenUp returns an error if somebody holds the listening socket of e, which was given up, still: clients can connect to it
// then, and wait in its queue. It names the holders. That of another process is no error if e is Shared. Any goroutine may call it.
func CheckGivenUp(e Ending) error {
	e.Connections, e.Others = nil, nil
	c := &census{Ending: e, listenerOnly: true}
	if err := settleAll([]*census{c}); err != nil {
		return err
	}
	return c.left.Failure(nil)
}

// verifyAll is Verify of several endings, with one look at the kernel for all of them.
func verifyAll(endings []Ending) ([]Left, error) {
	all := make([]*census, len(endings))
	for i, e := range endings {
		slices.Sort(e.Connections)
		slices.Sort(e.Others)
		all[i] = &census{Ending: e}
	}
	if err := settleAll(all); err != nil {
		return nil, err
	}
	left := make([]Left, len(all))
	for i, c := range all {
		left[i] = c.left
	}
	return left, nil
}

// What is held by nobody is looked at for unownedPatience, first after firstInterval and then ever less often. On a busy machine one
// look can take that long, so there are leastLooks.
const (
	firstInterval   = time.Millisecond
	lastInterval    = 50 * time.Millisecond
	unownedPatience = time.Second
	leastLooks      = 5
)

// settleAll takes as many looks as it needs, each at those only of which something is not clear yet.
func settleAll(all []*census) error {
	open, interval := all, firstInterval
	for began, looks := time.Now(), 1; ; looks++ {
		if err := look(open); err != nil {
			return err
		}
		open = slices.DeleteFunc(slices.Clone(open), func(c *census) bool { return len(c.suspects) == 0 })
		if len(open) == 0 || looks > leastLooks && time.Since(began) > unownedPatience {
			break
		}
		time.Sleep(interval)
		interval = min(2*interval, lastInterval)
	}
	for _, c := range open {
		for _, state := range c.suspects {
			tally(&c.left.Unowned, state)
		}
	}
	nameHolders(open)
	return nil
}

// look asks the kernel once.
func look(all []*census) error {
	var ports []uint16
	byPort := make(map[uint16][]*census, len(all))
	for _, c := range all {
		if byPort[c.Port] == nil {
			ports = append(ports, c.Port)
		}
		byPort[c.Port] = append(byPort[c.Port], c)
	}
	for tries := 3; ; tries-- {
		for _, c := range all {
			c.left, c.unclear, c.halfOpen = Left{}, nil, 0
		}
		source, err := sockdiag.EachOf(ports, func(s *sockdiag.Socket) bool {
			for _, c := range byPort[s.Local.Port()] {
				c.add(s)
			}
			return true
		})
		// A dump that the kernel could not finish consistently counts for nothing.
		if errors.Is(err, sockdiag.ErrInterrupted) && tries > 0 {
			continue
		}
		if err != nil {
			return err
		}
		inodes := make(map[uint32]bool)
		for _, c := range all {
			c.left.Source = source
			for _, h := range c.unclear {
				inodes[h.inode] = true
			}
		}
		var ours map[uint32]uint64
		if len(inodes) > 0 {
			// Without /proc the sockets that netlink lists are still told apart, save those of MPTCP.
			if ours, err = descriptors.Cookies(inodes); err != nil && source == sockdiag.FromProc {
				return fmt.Errorf("linger: %w", err)
			}
		}
		for _, c := range all {
			c.settle(ours)
		}
		return nil
	}
}

// nameHolders finds out who has what is Unowned.
func nameHolders(all []*census) {
	var d sockdiag.Dump
	for _, c := range all {
		for inode, state := range c.suspects {
			d.Sockets = append(d.Sockets, sockdiag.Socket{Inode: inode, State: state})
		}
	}
	holders, _, _ := d.Holders() // whom an error hides is not seen
	for _, c := range all {
		c.name(holders)
	}
}

// census sorts the sockets of a port by whose they are.
type census struct {
	Ending       // its cookies in ascending order
	left         Left
	listenerOnly bool // nothing but the listening socket counts
	// unclear are sockets that have a descriptor in some process, and that are not sure to be of the ending by what the kernel's list
	// says. They are not looked into before settle, since the kernel waits while it is asked what is on the port.
	unclear  []held
	halfOpen int // in SYN_RECV: whoever listens will get them
	// suspects are sockets that nobody claims or announced, by inode, in this look and all before.
	suspects map[uint32]sockdiag.State
	looked   bool
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
	case c.listenerOnly:
	case s.State == sockdiag.TimeWait:
		// Both sides had closed before the teardown came to it, even if it was to end: no abort makes TIME_WAIT.
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
	return contains(c.Connections, cookie)
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

// settle counts the unclear sockets. ours holds the cookies of those that this process has, by inode: those to end have outlived the
// teardown, and those that nobody claims are suspects, as is the listening socket. The rest are others'.
func (c *census) settle(ours map[uint32]uint64) {
	listening, own := false, false
	for _, h := range c.unclear {
		_, held := ours[h.inode]
		listening, own = listening || h.state == sockdiag.Listen, own || held
	}
	if listening {
		c.left.Others[sockdiag.SynRecv] += c.halfOpen
	} else {
		c.left.Residue[sockdiag.SynRecv] += c.halfOpen
	}
	var claimed map[uint64]bool
	foreign := false // this process has connections of somebody who does not claim each
	if own {
		claimed, foreign = claims.On(c.Port)
	}
	suspects := make(map[uint32]sockdiag.State)
	for _, h := range c.unclear {
		c.left.ListenerHeld = c.left.ListenerHeld || h.state == sockdiag.Listen && c.isListener(h.inode)
		switch cookie, held := ours[h.inode]; {
		case cookie != 0 && claimed[cookie]:
			tally(&c.left.Others, h.state)
		case c.isListener(h.inode) && h.state == sockdiag.Listen && (held || !c.Shared):
			suspects[h.inode] = h.state
		case !held || cookie != 0 && contains(c.Others, cookie) && !c.hasEnded(cookie):
			tally(&c.left.Others, h.state)
		case h.state == sockdiag.Listen:
			foreign = true
			tally(&c.left.Others, h.state)
		case cookie == 0 || c.hasEnded(cookie):
			// Where sockets have no cookies, whatever this process still holds is taken for what was to end.
			tally(&c.left.Outlived, h.state)
		default:
			suspects[h.inode] = h.state
		}
	}
	for inode, state := range suspects {
		_, before := c.suspects[inode]
		switch {
		case foreign && !c.isListener(inode):
			tally(&c.left.Others, state)
			delete(suspects, inode)
		case c.looked && !before:
			delete(suspects, inode) // it has come since
		}
	}
	c.suspects, c.looked = suspects, true
}

func (c *census) isListener(inode uint32) bool { return inode == c.Listener && inode != 0 }

// name enters those of the holders that have suspects.
func (c *census) name(holders []sockdiag.Process) {
	found := make(map[uint32]bool)
	for _, p := range holders { // in the order of their numbers
		if _, ok := c.suspects[p.Socket.Inode]; !ok {
			continue
		}
		found[p.Socket.Inode] = true
		last := len(c.left.Holders) - 1
		if last < 0 || c.left.Holders[last].PID != p.PID {
			c.left.Holders = append(c.left.Holders, Holder{PID: p.PID, Name: p.Name})
			last++
		}
		c.left.Holders[last].Descriptors = append(c.left.Holders[last].Descriptors, p.FD)
	}
	c.left.Hidden = len(c.suspects) - len(found)
}
