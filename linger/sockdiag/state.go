package sockdiag

import (
	"fmt"
	"strings"
)

// State is the state of a TCP socket, with the kernel's number (include/net/tcp_states.h).
type State uint8

const (
	// Unknown is a state that the kernel has and this package has not. It is counted like any other.
	Unknown State = iota
	Established
	SynSent
	SynRecv
	FinWait1
	FinWait2
	TimeWait
	// Close is a socket that is bound but neither listens nor is connected.
	Close
	CloseWait
	LastAck
	Listen
	Closing
	// NewSynRecv is a connection request that has no socket yet. Netlink and /proc both report it as SynRecv.
	NewSynRecv
)

// names are those of the kernel, without TCP_.
var names = [len(Counts{})]string{
	Unknown:     "UNKNOWN",
	Established: "ESTABLISHED",
	SynSent:     "SYN_SENT",
	SynRecv:     "SYN_RECV",
	FinWait1:    "FIN_WAIT1",
	FinWait2:    "FIN_WAIT2",
	TimeWait:    "TIME_WAIT",
	Close:       "CLOSE",
	CloseWait:   "CLOSE_WAIT",
	LastAck:     "LAST_ACK",
	Listen:      "LISTEN",
	Closing:     "CLOSING",
	NewSynRecv:  "NEW_SYN_RECV",
}

// String returns the kernel's name: ESTABLISHED, FIN_WAIT1, TIME_WAIT. For a number that has none it is UNKNOWN.
func (s State) String() string {
	if int(s) >= len(names) {
		s = Unknown
	}
	return names[s]
}

// MarshalText returns the name in lower case: established, fin_wait1, time_wait.
func (s State) MarshalText() ([]byte, error) {
	return []byte(strings.ToLower(s.String())), nil
}

// UnmarshalText takes what String and MarshalText give, and the same without or with other separators: time-wait,
// FIN-WAIT-2, timewait. A name that is no state's is an error and leaves s as it was.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range names {
		if plain(name) == plain(string(text)) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("sockdiag: no TCP state is called %q", text)
}

var separators = strings.NewReplacer("_", "", "-", "")

func plain(name string) string { return strings.ToLower(separators.Replace(name)) }
