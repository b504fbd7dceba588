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
	// ModeDrain finishes what is in flight, aborts idle connections, and aborts the rest at a deadline.
	ModeDrain Mode = "drain"
	// ModeHandover is a drain by a server to whose listening socket a successor has been let: the port is that one's, and does not
	// refuse.
	ModeHandover Mode = "handover"
	// ModeRelease gives up the port at once and serves the connections that exist until the last has ended by itself.
	ModeRelease Mode = "release"
)

// Drains reports whether a server that lets go by mode m has its connections come to their last answers, and aborts the rest at a
// deadline: in a drain, or in a handover.
func (m Mode) Drains() bool { return m == ModeDrain || m == ModeHandover }

// patient reports whether the connections of a server that lets go by mode m may end in order.
func (m Mode) patient() bool { return m.Drains() || m == ModeRelease }

// Report says what a teardown did and what the kernel says is left. A drain or a release that is still at work (its
// Steps.Done is zero) has a Report too, which says how far it is. The JSON form has names in snake_case with units.
type Report struct {
	// Mode is how the server lets go: the most forceful way that was asked for.
	Mode Mode `json:"mode"`
	// Address is the local address that was served, as host:port.
	Address string `json:"address"`
	// Started is when the teardown was asked for.
	Started time.Time `json:"started_at"`
	Steps   Steps     `json:"steps"`
	// Connections counts, by what they were doing, those that the teardown aborted; before a teardown, and while a drain or a
	// release is at work, those that are alive.
	Connections Tally `json:"connections"`
	// Closed is the number of connections that ended in order (FIN) from the start of a drain, a handover or a release to its end. They
	// are not among Connections. The JSON form has it, AtDeadline and ByAbort for these modes only, zero or not.
	Closed int `json:"closed_in_order"`
	// AtDeadline counts those of Connections that a drain cut at its deadline, which is the end of its context, and ByAbort those that it
	// was cut at by a Close or Abort before that. The others had nothing in flight when the drain aborted them.
	AtDeadline Tally `json:"cut_at_deadline"`
	ByAbort    Tally `json:"cut_by_abort"`
	// AbortedOutside is the number of Connections that were aborted by a goroutine other than their loop's, because the
	// loop was stuck.
	AbortedOutside int `json:"aborted_from_outside"`
	// Refused is the number of Connections that the kernel refused to reset in place; their close reset them.
	Refused int `json:"refused_in_place"`
	// Queued is the number of connections that nobody had accepted when the port was given up: the kernel reset them with the
	// listening socket. They are not among Connections. Where others hold that socket they live on, and are not counted.
	Queued int `json:"reset_in_queue"`
	// Streams is the number of requests that were under way on Connections of HTTP/2 when the teardown reset them, or are.
	Streams int `json:"streams,omitempty"`
	// Undelivered is the number of messages that upgraded connections were promised, and that waited to be sent when these were reset, or had
	// ended by themselves. What the kernel had taken, and the peer had not received, is not among them.
	Undelivered int `json:"messages_undelivered,omitempty"`
	// HandlersRunning is the number of handlers that had not returned when the teardown was done. It is negative where
	// nobody knows: a Listener knows no handlers.
	HandlersRunning int `json:"handlers_running"`
	// Memory says what connections had buffered, and what was done to keep that within its bound. It is zero where nothing is
	// counted: a Listener knows no buffers.
	Memory Memory `json:"memory,omitzero"`
	// Swept says what became of that which ordinary closes had left before; nil when it was not to be swept.
	Swept *Swept `json:"swept,omitempty"`
	// Left is what the kernel had on the port when it was asked.
	Left Left `json:"left"`
	// Unverified says why the kernel could not be asked; it is empty when Left is what the kernel said.
	Unverified string `json:"unverified,omitempty"`
}

// Memory is what a server's connections have buffered, in bytes, and what became of those that took too much.
type Memory struct {
	Bound    int64 `json:"bound_bytes"`    // 0: none
	Buffered int64 `json:"buffered_bytes"` // at the time of the Report
	Peak     int64 `json:"peak_bytes"`
	Refused  int   `json:"requests_refused"`  // with 503, as memory was short
	Reset    int   `json:"connections_reset"` // as the bound was exceeded; they are not among Connections
}

// Steps holds how long after the call each step of a teardown was complete; zero means that it was not reached.
type Steps struct {
	// Refused: from here on the port refuses new connections; in a handover, it is the successor's alone.
	Refused time.Duration
	// Drained: the last connection that was to finish has, or the drain was cut short (see Report.AtDeadline and ByAbort). An abort waits for
	// none, and leaves it zero.
	Drained time.Duration
	// PortFree: the last connection was reset, and the port given up; with a sweep, what it could destroy is gone too.
	PortFree time.Duration
	// Verified: the kernel was asked what is left.
	Verified time.Duration
	// Done: every descriptor is closed and every goroutine that does not run a handler has ended. A Listener leaves both to
	// its server, which closes what was reset in its own time; here this is the end of its own work.
	Done time.Duration
}

// MarshalJSON writes what the field comments say. All members are there in every mode, save closed_in_order, cut_at_deadline, cut_by_abort
// and the step drained_ms, of which an abort has none, swept, which only a sweep has, and messages_undelivered and unverified,
// which are there only for a reason.
func (r Report) MarshalJSON() ([]byte, error) {
	type fields Report
	if r.Mode == ModeAbort {
		r.Steps.Drained = noStep
	}
	waited := struct {
		fields
		// These take the place of the fields of the same name.
		Closed     *int   `json:"closed_in_order,omitempty"`
		AtDeadline *Tally `json:"cut_at_deadline,omitempty"`
		ByAbort    *Tally `json:"cut_by_abort,omitempty"`
	}{fields: fields(r)}
	if r.Mode.patient() {
		waited.Closed, waited.AtDeadline, waited.ByAbort = &r.Closed, &r.AtDeadline, &r.ByAbort
	}
	return json.Marshal(waited)
}

// noStep is for a step that there is not in a mode.
const noStep = -1

// Step is one step of a teardown.
type Step struct {
	Name  string        // as in the JSON form, without its unit
	After time.Duration // zero: it was not reached
}

// Named returns the steps in their order.
func (s Steps) Named() []Step {
	return []Step{{"listener_refused", s.Refused}, {"drained", s.Drained}, {"port_free", s.PortFree}, {"verified", s.Verified}, {"done", s.Done}}
}

// MarshalJSON writes the steps in milliseconds, with three decimals; every step is there, zero or not.
func (s Steps) MarshalJSON() ([]byte, error) {
	var drained *float64
	if s.Drained != noStep {
		drained = new(milliseconds(s.Drained))
	}
	return json.Marshal(struct {
		Refused  float64  `json:"listener_refused_ms"`
		Drained  *float64 `json:"drained_ms,omitempty"`
		PortFree float64  `json:"port_free_ms"`
		Verified float64  `json:"verified_ms"`
		Done     float64  `json:"done_ms"`
	}{milliseconds(s.Refused), drained, milliseconds(s.PortFree), milliseconds(s.Verified), milliseconds(s.Done)})
}

func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/1e3) / 1e3
}

// Complete reports whether the kernel was asked and nothing that was to end is left, in every mode: connections that a drain or
// a release left to end by themselves have, or it is not complete. Nor is it while this process holds a socket on the port that
// none of its servers knows, or another process the listening socket, unless that is shared (see [Left]). Residue of closes and
// sockets of others do not count.
func (r Report) Complete() bool {
	return r.Mode != ModeNone && r.Unverified == "" && r.Steps.Verified != 0 && r.Left.Outlived.Total()+r.Left.Unowned.Total() == 0
}
