package linger

import (
	"encoding/json"
	"math"
	"time"
)

// Mode is the way in which a server lets go.
type Mode string

// The modes of a teardown.
const (
	// ModeNone is the mode of a server that has not begun to let go.
	ModeNone Mode = ""
	// ModeAbort ends every connection with RST at once.
	ModeAbort Mode = "abort"
)

// Report says what a teardown did and what the kernel says is left. Its JSON form has names in snake_case with units.
type Report struct {
	Mode Mode `json:"mode"`
	// Address is the local address that was served, as host:port.
	Address string `json:"address"`
	// Started is when the teardown was asked for.
	Started time.Time `json:"started_at"`
	Steps   Steps     `json:"steps"`
	// Connections counts, by what they were doing, those that the teardown ended; before a teardown those that are alive.
	Connections Tally `json:"connections"`
	// AbortedOutside is the number of Connections that were aborted by a goroutine other than their loop's, because the
	// loop was stuck.
	AbortedOutside int `json:"aborted_from_outside"`
	// Refused is the number of Connections that the kernel refused to reset in place; their close reset them.
	Refused int `json:"refused_in_place"`
	// HandlersRunning is the number of handlers that had not returned when the teardown was done.
	HandlersRunning int `json:"handlers_running"`
	// Left is what the kernel had on the port when it was asked.
	Left Left `json:"left"`
	// Unverified says why the kernel could not be asked; it is empty when Left is what the kernel said.
	Unverified string `json:"unverified,omitempty"`
}

// Steps holds how long after the call each step of a teardown was complete; zero means that it was not reached.
type Steps struct {
	// Refused: from here on the port refuses new connections.
	Refused time.Duration
	// PortFree: the last connection was reset, and the port given up.
	PortFree time.Duration
	// Verified: the kernel was asked what is left.
	Verified time.Duration
	// Done: every descriptor is closed and every goroutine that does not run a handler has ended.
	Done time.Duration
}

// MarshalJSON writes the steps in milliseconds, with three decimals.
func (s Steps) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Refused  float64 `json:"listener_refused_ms"`
		PortFree float64 `json:"port_free_ms"`
		Verified float64 `json:"verified_ms"`
		Done     float64 `json:"done_ms"`
	}{milliseconds(s.Refused), milliseconds(s.PortFree), milliseconds(s.Verified), milliseconds(s.Done)})
}

func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/1e3) / 1e3
}

// Complete tells whether the kernel was asked and nothing that the teardown was to end is left. Residue of earlier closes
// and sockets of others do not count.
func (r Report) Complete() bool {
	return r.Mode != ModeNone && r.Unverified == "" && r.Steps.Verified != 0 && r.Left.Outlived.Total() == 0
}
