package linger

// Sweep says what one pass of [Table.AbortOwned] did.
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
