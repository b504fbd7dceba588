//go:build linux

package linger

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

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
// successor from the same port by then. Where the kernel's list has no cookie that helps (one read from /proc/net/tcp has
// none, and one of netlink has that of the TCP socket below an MPTCP connection), the descriptors of this process are asked
// for theirs. An error means that nothing could be verified.
func Verify(port uint16, ended []uint64) (Left, error) {
	slices.Sort(ended)
	for tries := 3; ; tries-- {
		left, err := verify(port, ended)
		// A dump that the kernel could not finish consistently counts for nothing.
		if err == nil || tries == 0 || !errors.Is(err, sockdiag.ErrInterrupted) {
			return left, err
		}
	}
}

func verify(port uint16, ended []uint64) (Left, error) {
	c := census{ended: ended}
	source, err := sockdiag.Each(port, func(s *sockdiag.Socket) bool {
		c.add(s)
		return true
	})
	if err != nil {
		return Left{}, err
	}
	c.left.Source = source
	// Without /proc the sockets that netlink lists are still told apart, save those of MPTCP.
	if err := c.settle(); err != nil && source == sockdiag.FromProc {
		return Left{}, err
	}
	return c.left, nil
}

// census sorts the sockets of a port by whose they are.
type census struct {
	left  Left
	ended []uint64 // cookies in ascending order
	// unclear are sockets that have a descriptor in some process and no cookie of ended. They are not looked into before
	// settle, since the kernel waits while it is asked what is on the port.
	unclear  []held
	halfOpen int // in SYN_RECV: whoever listens will get them
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
		tally(&c.left.Others, s.State)
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
	_, found := slices.BinarySearch(c.ended, cookie)
	return found
}

func tally(counts *sockdiag.Counts, s sockdiag.State) {
	if int(s) >= len(counts) {
		s = sockdiag.Unknown // a state of a kernel to come
	}
	counts[s]++
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

// settle counts the unclear sockets: those of this process whose descriptor has a cookie of ended outlived the teardown,
// the rest are others'. On an error all of them count as others'.
func (c *census) settle() error {
	if c.left.Others[sockdiag.Listen] > 0 {
		c.left.Others[sockdiag.SynRecv] += c.halfOpen
	} else {
		c.left.Residue[sockdiag.SynRecv] += c.halfOpen
	}
	c.halfOpen = 0
	if len(c.unclear) == 0 {
		return nil
	}
	ours := make(map[uint32]bool, len(c.unclear)) // by inode
	for _, h := range c.unclear {
		ours[h.inode] = false
	}
	slots, err := descriptorSlots()
	var st unix.Stat_t
	for fd := range slots {
		// Descriptors come and go meanwhile: one that cannot be asked any more is not held any more.
		if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
			continue
		}
		if _, wanted := ours[uint32(st.Ino)]; !wanted {
			continue
		}
		// Where sockets have no cookies, whatever this process still holds is taken for what was to end.
		if cookie, err := Cookie(fd); err != nil || c.hasEnded(cookie) {
			ours[uint32(st.Ino)] = true
		}
	}
	for _, h := range c.unclear {
		if ours[h.inode] {
			tally(&c.left.Outlived, h.state)
		} else {
			tally(&c.left.Others, h.state)
		}
	}
	c.unclear = nil
	return err
}

// descriptorSlots returns how many descriptors this process's table has room for; every number in use is below. To try
// them all takes a quarter of the time of listing /proc/self/fd.
func descriptorSlots() (int, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("linger: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if size, ok := strings.CutPrefix(line, "FDSize:"); ok {
			return strconv.Atoi(strings.TrimSpace(size))
		}
	}
	return 0, errors.New("linger: /proc/self/status has no FDSize")
}
