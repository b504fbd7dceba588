package linger

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"rstserver/internal/prose"
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
	// a listening socket that is shared.
	Others sockdiag.Counts `json:"others"`
	// Unowned counts sockets that this process holds, but that no live [Listener] or server of rstserver/poller knows: the
	// listening socket by a File or another duplicate that was not closed, or a connection. The listening socket is among
	// them, too, if another process holds it and nobody has announced that it is shared: a child that has inherited it.
	Unowned sockdiag.Counts `json:"unowned"`
	// ListenerHeld: the listening socket that was given up is there all the same, among Others or Unowned, as somebody else holds it.
	// What waits in its queue was not reset then.
	ListenerHeld bool `json:"listener_held,omitempty"`
	// Holders are the processes that have the sockets of Unowned open, in the order of their numbers.
	Holders []Holder `json:"held_by,omitempty"`
	// Hidden is the number of those of Unowned of which no process could be seen: it is another user's, or in another PID
	// namespace.
	Hidden int `json:"held_by_hidden,omitempty"`
}

// Holder is a process that has sockets open that are not its server's.
type Holder struct {
	PID  int    `json:"pid"`
	Name string `json:"name"` // at most 15 bytes; empty where it cannot be read
	// Descriptors are the lowest of each socket, in ascending order.
	Descriptors []int `json:"descriptors"`
}

// shownDescriptors is how many descriptors String names.
const shownDescriptors = 5

// String is "cat (pid 123, descriptor 3)".
func (h Holder) String() string {
	var b strings.Builder
	if h.Name != "" {
		b.WriteString(prose.Printable(h.Name) + " (")
	}
	fmt.Fprintf(&b, "pid %d, descriptor", h.PID)
	if len(h.Descriptors) != 1 {
		b.WriteByte('s')
	}
	sep := " "
	for _, fd := range h.Descriptors[:min(len(h.Descriptors), shownDescriptors)] {
		b.WriteString(sep + strconv.Itoa(fd))
		sep = ", "
	}
	if more := len(h.Descriptors) - shownDescriptors; more > 0 {
		fmt.Fprintf(&b, " and %s more", prose.Grouped(more))
	}
	if h.Name != "" {
		b.WriteByte(')')
	}
	return b.String()
}

// heldBy is by whom the sockets of Unowned are held.
func (l Left) heldBy() string {
	var who []string
	for _, h := range l.Holders {
		who = append(who, h.String())
	}
	if l.Hidden > 0 || len(who) == 0 {
		who = append(who, "a process that cannot be seen from here")
	}
	return strings.Join(who, "; ")
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
		errs = append(errs, fmt.Errorf("linger: %s on the port that no server knows: %s, held by %s (mostly a File or another duplicate of "+
			"the listener or of a connection that was not closed, or a child that has inherited the listener; Shared announces one that is meant)",
			prose.Plural(n, "socket"), l.Unowned, l.heldBy()))
	}
	return errors.Join(errs...)
}
