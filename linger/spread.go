package linger

import (
	"fmt"
	"time"
)

// Spread paces the endings of a drain, so that the clients of a large server do not all come back in the same millisecond.
// The zero value paces nothing: what is to end ends at once.
type Spread struct {
	// Window is the length of time over which connections are ended that the drain would otherwise cut together at its
	// deadline: it begins so long before the deadline, which stays the hard end of all. Without a deadline it begins as soon
	// as the server's graceful stop has been called, and its end is the deadline. Zero: all are cut at once.
	Window time.Duration
	// Idle, if it is not zero, has the drain begin with connections that have nothing queued and have carried no data for so
	// long: they are ended over a Window that begins with the drain, and only then is the server's graceful stop called, which
	// would have told all of them at once. Those that are busy when their turn comes are left to that stop. The risk is that
	// of every end of an idle connection: a request may be on its way. It needs a Window.
	Idle time.Duration
}

// maxWindow bounds Spread.Window. No fleet waits so long; what exceeds it is a number in the wrong unit.
const maxWindow = 365 * 24 * time.Hour

func (s Spread) check() error {
	switch {
	case s.Window < 0 || s.Window > maxWindow:
		return fmt.Errorf("linger: Spread.Window is %s; it must be 0 to %s", s.Window, maxWindow)
	case s.Idle < 0:
		return fmt.Errorf("linger: Spread.Idle is %s; it must not be negative", s.Idle)
	case s.Idle > 0 && s.Window == 0:
		return fmt.Errorf("linger: Spread.Idle is %s, but Spread.Window is 0", s.Idle)
	}
	return nil
}

// timeline says when the windows of a drain are, as offsets from its beginning.
//
//	0 ──idle connections end── idleEnd ──the server's graceful stop── cutBegin ──the rest ends── end
type timeline struct {
	idleEnd  time.Duration // 0: idle connections are left to the server
	cutBegin time.Duration
	end      time.Duration // negative: there is no deadline, and cutBegin means nothing
}

// timeline plans a drain that has the given time until its deadline; negative: it has none. Where that is too short for the
// windows, they share it.
func (s Spread) timeline(deadline time.Duration) timeline {
	windows := time.Duration(1)
	if s.Idle > 0 {
		windows = 2
	}
	t := timeline{end: deadline}
	if deadline < 0 {
		if s.Window == 0 {
			return t
		}
		t.end = windows * s.Window
	}
	window := min(s.Window, t.end/windows)
	if s.Idle > 0 {
		t.idleEnd = window
	}
	t.cutBegin = t.end - window
	return t
}
