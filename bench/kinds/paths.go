package kinds

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Paths are the request-targets that kinds of connections need. An empty one is missing.
type Paths struct {
	Get     string `json:"get"`               // a small answer, and the connection is kept
	Late    string `json:"late,omitempty"`    // answered late; {ms} in it stands for milliseconds
	Large   string `json:"large,omitempty"`   // an answer larger than any send buffer
	Stream  string `json:"stream,omitempty"`  // an answer without an end
	Upgrade string `json:"upgrade,omitempty"` // 101 to an Upgrade to Protocol
	// Protocol is that of Upgrade. An upgraded connection of the protocol "echo" gets back what it sends, once, before it
	// counts as ready.
	Protocol string `json:"protocol,omitempty"`
	// WebSocket is one that sends back what it is sent.
	WebSocket string `json:"websocket,omitempty"`
	// Room is a WebSocket whose messages go to all who are there.
	Room string `json:"room,omitempty"`
}

// Lack is an error when there is no such kind, or no path for it.
func (p Paths) Lack(kind Kind) error {
	lacks := func(path, key string) error {
		if path != "" {
			return nil
		}
		return fmt.Errorf("it has no path for %s connections; a server is given one with %s=PATH", kind, key)
	}
	switch kind {
	case Idle:
		return lacks(p.Get, "path")
	case Fresh, Half:
		return nil
	case InFlight, Stuck, Unread:
		return lacks(p.Late, "late")
	case Full:
		return lacks(p.Large, "large")
	case Streaming:
		return lacks(p.Stream, "stream")
	case Upgraded:
		return lacks(p.Upgrade, "upgrade")
	case WebSocket:
		return lacks(p.WebSocket, "websocket")
	}
	return fmt.Errorf("%q is no kind of connection", kind)
}

// LateBy is the path that is answered so late.
func (p Paths) LateBy(d time.Duration) string {
	return strings.ReplaceAll(p.Late, "{ms}", strconv.FormatInt(d.Milliseconds(), 10))
}
