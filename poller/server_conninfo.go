package poller

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// ConnInfo describes a connection of a Server at one moment: what the Server knows of it, and what the kernel does (TCP_INFO, SIOCINQ and
// SIOCOUTQ, tcp(7)).
type ConnInfo struct {
	Conn
	linger.ConnInfo
	// Loop is the event loop that owns it, -1 for a connection that none does: a hijacked one, or one that speaks HTTP/2.
	Loop     int
	Activity linger.Activity
	// Protocol is what is spoken on it: HTTP/1.1, HTTP/2, or what it was upgraded to, such as websocket; "hijacked" where a handler has
	// taken it over without an upgrade.
	Protocol string
	// TLS is the version of TLS, such as tls.VersionTLS13; 0 without TLS, or before the handshake is over, and where a handler has it.
	TLS uint16
	// Requests counts those that came on it.
	Requests int64
	// Path is that of the request that Handler has, or had last where another protocol, or the handler, has the connection. It is empty
	// if there is none.
	Path string
	// Buffered is what the Server holds for it, in bytes (see Server.MaxBufferedBytes).
	Buffered int
}

// Age is how long ago the connection was accepted.
func (c *ConnInfo) Age() time.Duration { return time.Since(c.Accepted) }

// MarshalJSON writes times in seconds, and names in snake_case with units.
func (c ConnInfo) MarshalJSON() ([]byte, error) {
	seconds := func(d time.Duration) float64 { return float64(d.Milliseconds()) / 1e3 }
	return json.Marshal(struct {
		ID       uint64  `json:"id"`
		Peer     string  `json:"peer"`
		Local    string  `json:"local,omitempty"`
		State    string  `json:"state"`
		Age      float64 `json:"age_seconds"`
		Idle     float64 `json:"idle_seconds"`
		Activity string  `json:"activity"`
		Protocol string  `json:"protocol"`
		TLS      bool    `json:"tls"`
		Requests int64   `json:"requests"`
		Recv     int     `json:"recv_queue_bytes"`
		Send     int     `json:"send_queue_bytes"`
		Buffered int     `json:"buffered_bytes"`
		Path     string  `json:"path,omitempty"`
		Loop     int     `json:"loop"`
	}{c.ID, c.Conn.Remote.String(), addrString(c.Local), c.State.String(), seconds(c.Age()), seconds(c.Idle()), c.Activity.String(), c.Protocol,
		c.TLS != 0, c.Requests, c.RecvQueue, c.SendQueue, c.Buffered, c.Path, c.Loop})
}

func addrString(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// Selector picks connections of a Server: those that [sockdiag.Selector] picks, by what the kernel knows, and of these the ones that meet the
// conditions of which only the Server knows. The zero value picks all. Any number of goroutines may use it.
type Selector struct {
	sockdiag.Selector
	// Age is the least time since the connection was accepted. Zero and less: any.
	Age time.Duration
	// Activities holds the activity. Empty: any.
	Activities []linger.Activity
	// Protocols holds the protocol, in whatever case; see ConnInfo.Protocol. Empty: any.
	Protocols []string
	// Paths holds a pattern of path.Match for ConnInfo.Path; one that ends in /* or is /** matches whatever is below. Empty: any, and none.
	Paths []string
	// IDs holds the number of the connection; see Conn. Empty: any.
	IDs []uint64

	ordered bool // IDs are in order
}

// inOrder is s with IDs in order, for many calls of Match.
func (s Selector) inOrder() *Selector {
	s.IDs, s.ordered = slices.Sorted(slices.Values(s.IDs)), true
	return &s
}

func (s *Selector) hasID(id uint64) (has bool) {
	if !s.ordered {
		return slices.Contains(s.IDs, id)
	}
	_, has = slices.BinarySearch(s.IDs, id)
	return has
}

// Match reports whether c is picked. Peer is compared with the client's address, which a PROXY header can have told.
func (s *Selector) Match(c *ConnInfo) bool {
	sock := sockdiag.Socket{
		Local: c.Local, Remote: c.Conn.Remote, State: c.State, RecvQueue: uint32(c.RecvQueue), SendQueue: uint32(c.SendQueue),
		Traffic: sockdiag.Traffic{Known: true, LastReceived: c.SinceReceived, LastSent: c.SinceSent},
	}
	switch {
	case !s.Selector.Match(&sock),
		s.Age > 0 && c.Age() < s.Age,
		len(s.Activities) > 0 && !slices.Contains(s.Activities, c.Activity),
		len(s.Protocols) > 0 && !slices.ContainsFunc(s.Protocols, func(p string) bool { return strings.EqualFold(p, c.Protocol) }),
		len(s.Paths) > 0 && !slices.ContainsFunc(s.Paths, func(p string) bool { return matchPath(p, c.Path) }),
		len(s.IDs) > 0 && !s.hasID(c.ID):
		return false
	}
	return true
}

func matchPath(pattern, p string) bool {
	if p == "" {
		return false
	}
	if below, ok := strings.CutSuffix(pattern, "*"); ok && strings.HasSuffix(below, "/") && !strings.ContainsAny(below, `*?[\`) {
		return strings.HasPrefix(p, below)
	}
	match, _ := path.Match(pattern, p)
	return match
}

// SelectorKeys returns the names that ParseSelector reads.
func SelectorKeys() []string { return slices.Clone(selectorKeys) }

// selectorKeys are what ParseSelector knows.
var selectorKeys = []string{"peer", "local", "state", "idle", "queued", "age", "activity", "protocol", "path", "id"}

// ParseSelector reads a Selector from the values of a query, with the names and the forms of the flags of "rstserver connections": peer,
// local, state, idle, queued, age, activity, protocol, path and id. Where several are allowed they are separated by commas, or given one
// after the other. Other names are left alone. An error names the value and says what it has to be.
func ParseSelector(q url.Values) (s Selector, err error) {
	for _, key := range selectorKeys {
		for _, text := range q[key] {
			for value := range strings.SplitSeq(text, ",") {
				if value = strings.TrimSpace(value); value == "" {
					return s, fmt.Errorf("%s=%s: it lacks a value", key, text)
				}
				if err := s.add(key, value); err != nil {
					return s, fmt.Errorf("%s=%s: %w", key, value, err)
				}
			}
		}
	}
	return s, nil
}

// IsZero reports whether s picks every connection.
func (s *Selector) IsZero() bool {
	return len(s.Peer)+len(s.Local)+len(s.States)+len(s.Processes)+len(s.Activities)+len(s.Protocols)+len(s.Paths)+len(s.IDs) == 0 &&
		s.LocalPort == 0 && s.Idle <= 0 && s.Queued == 0 && s.Age <= 0
}

func (s *Selector) add(key, value string) error {
	switch key {
	case "peer", "local":
		n, err := sockdiag.ParseNetwork(value)
		if err != nil {
			return fmt.Errorf("it must be an address such as 10.0.0.5 or ::1, or a network such as 10.0.0.0/8")
		}
		if key == "peer" {
			s.Peer = append(s.Peer, n)
		} else {
			s.Local = append(s.Local, n)
		}
	case "state":
		var state sockdiag.State
		if strings.EqualFold(value, "estab") {
			value = "established" // as ss prints it
		}
		if err := state.UnmarshalText([]byte(value)); err != nil || state == sockdiag.Unknown {
			return fmt.Errorf("no TCP state is called that; established, close-wait and fin-wait-1 are some")
		}
		s.States = append(s.States, state)
	case "idle", "age":
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 {
			return fmt.Errorf("it must be a duration such as 500ms, 10s or 3m")
		}
		if key == "idle" {
			s.Idle = d
		} else {
			s.Age = d
		}
	case "queued":
		n, err := strconv.ParseUint(value, 10, 63)
		if err != nil {
			return fmt.Errorf("it must be a number of bytes, from 0 on")
		}
		s.Queued = n
	case "activity":
		var a linger.Activity
		if err := a.UnmarshalText([]byte(value)); err != nil {
			return err
		}
		s.Activities = append(s.Activities, a)
	case "protocol":
		s.Protocols = append(s.Protocols, value)
	case "path":
		if _, err := path.Match(value, "/"); err != nil || !strings.HasPrefix(value, "/") {
			return fmt.Errorf("it must be a path such as /ws, or a pattern such as /files/*")
		}
		s.Paths = append(s.Paths, value)
	case "id":
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return fmt.Errorf("it must be the number of a connection")
		}
		s.IDs = append(s.IDs, n)
	}
	return nil
}
