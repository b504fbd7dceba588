package linger

import "fmt"

// Sweep says what one pass of [Table.AbortOwned] or [Conns.AbortAll] did.
type Sweep struct {
	Aborted Tally    // the connections, by what they were doing
	Cookies []uint64 // their sockets, for Verify
	Refused int      // those that connect(2) with AF_UNSPEC did not reset: armed, so that their owner's close will
	Err     error    // the first such refusal
}

// Add joins what another pass did.
func (s *Sweep) Add(u Sweep) {
	s.Aborted.Add(u.Aborted)
	s.Cookies = append(s.Cookies, u.Cookies...)
	s.Refused += u.Refused
	if s.Err == nil {
		s.Err = u.Err
	}
}

// count enters one connection that was aborted. err is the refusal of the kernel, if it refused.
func (s *Sweep) count(fd int, e ended, err error) {
	s.Aborted[e.activity]++
	s.Cookies = append(s.Cookies, e.cookie)
	if err != nil {
		s.Refused++
		if s.Err == nil {
			s.Err = fmt.Errorf("linger: descriptor %d: %w", fd, err)
		}
	}
}

// ended is what was known of a connection that was aborted.
type ended struct {
	activity Activity
	cookie   uint64
}
