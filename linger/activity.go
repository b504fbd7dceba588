package linger

import (
	"fmt"
	"strings"
)

// Activity is what a connection was doing, as its server saw it.
type Activity uint8

// The activities, in the order in which a connection usually goes through them.
const (
	New       Activity = iota // accepted, not a byte received yet
	Handshake                 // in, or before, a TLS handshake
	Idle                      // between two requests, all answers handed to the kernel
	Receiving                 // part of a request received
	Handling                  // a handler works on a request
	Sending                   // part of an answer waits for the peer to read
	Closing                   // last answer handed to the kernel, FIN sent or about to be sent
	Hijacked                  // taken over from the server by a handler, which alone knows (WebSocket, for one)
	HTTP2                     // speaks HTTP/2, on which several requests can be under way, or none
	Open                      // accepted by a Listener: its server alone knows what it is doing, and in which protocol
	Upgraded                  // speaks another protocol than HTTP with its server (WebSocket, for one)
	activities
)

var activityNames = [activities]string{"new", "handshake", "idle", "receiving", "handling", "sending", "closing", "hijacked", "HTTP/2", "open", "upgraded"}

// String returns the name as the Report prints it.
func (a Activity) String() string {
	if a < activities {
		return activityNames[a]
	}
	return fmt.Sprintf("activity %d", uint8(a))
}

// UnmarshalText takes a name as String returns it, in whatever case. The error names those that there are, and leaves a as it was.
func (a *Activity) UnmarshalText(text []byte) error {
	for i, name := range activityNames {
		if strings.EqualFold(name, string(text)) {
			*a = Activity(i)
			return nil
		}
	}
	return fmt.Errorf("linger: %q is no activity; they are %s", text, strings.Join(activityNames[:], ", "))
}

// Tally counts connections by activity. The zero value counts nothing.
type Tally [activities]int

// Total is the number of connections counted.
func (t Tally) Total() int {
	n := 0
	for _, v := range t {
		n += v
	}
	return n
}

// Add counts what u counted.
func (t *Tally) Add(u Tally) {
	for i, v := range u {
		t[i] += v
	}
}

// MarshalJSON writes an object with the activities that occurred, by name.
func (t Tally) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, v := range t {
		if v == 0 {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%q:%d", Activity(i), v)
	}
	return append(b, '}'), nil
}

// each calls f for every activity that occurred.
func (t Tally) each(f func(a Activity, n int)) {
	for i, v := range t {
		if v != 0 {
			f(Activity(i), v)
		}
	}
}
