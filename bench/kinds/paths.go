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
	Post    string `json:"post,omitempty"`    // a small answer to a POST, and the connection is kept
	Upload  string `json:"upload,omitempty"`  // the same for content that comes slowly
	// Protocol is that of Upgrade. An upgraded connection of the protocol "echo" gets back what it sends, once, before it
	// counts as ready.
	Protocol string `json:"protocol,omitempty"`
	// WebSocket is one that sends back what it is sent.
	WebSocket string `json:"websocket,omitempty"`
	// Room is a WebSocket whose messages go to all who are there.
	Room string `json:"room,omitempty"`
	// Events is an event stream.
	Events string `json:"events,omitempty"`
	// EventRoom is one that gets the content of each POST to the same path as an event.
	EventRoom string `json:"event_room,omitempty"`
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
	case Idle, Get, H2:
		return lacks(p.Get, "path")
	case Fresh, Half, Handshake:
		return nil
	case Post:
		return lacks(p.Post, "post")
	case Upload:
		return lacks(p.Upload, "upload")
	case InFlight, Stuck, Unread, H2Streams:
		return lacks(p.Late, "late")
	case Full:
		return lacks(p.Large, "large")
	case Streaming:
		return lacks(p.Stream, "stream")
	case Upgraded:
		return lacks(p.Upgrade, "upgrade")
	case WebSocket:
		return lacks(p.WebSocket, "websocket")
	case SSE:
		return lacks(p.Events, "events")
	}
	return fmt.Errorf("%q is no kind of connection", kind)
}

// LateBy is the path that is answered so late.
func (p Paths) LateBy(d time.Duration) string {
	return strings.ReplaceAll(p.Late, "{ms}", strconv.FormatInt(d.Milliseconds(), 10))
}
