package poller

import (
	"time"

	"rstserver/linger"
)

// End says how a connection came to its end.
type End uint8

// The ends of connections. Each connection that was accepted has one of them, once.
const (
	EndClosed   End = iota // in order: by FIN, of either side, or by a reset of the client's
	EndAborted             // reset by the server: in a teardown, on demand, to make room, or since an answer broke off
	EndTimedOut            // one of the Timeouts of the Server, or a least rate, was not met
	EndRefused             // reset when it was accepted, as its client has too many (see Refusal)
	EndDrained             // reset in a drain, in which it had nothing in flight
	ends
)

var endNames = [ends]string{"closed", "aborted", "timed_out", "refused", "drained"}

// String returns the name that metrics have, such as "timed_out".
func (e End) String() string { return endNames[e] }

// Ends counts connections by how they ended.
type Ends [ends]int64

// Total is the number of connections counted.
func (e Ends) Total() (n int64) {
	for _, v := range e {
		n += v
	}
	return n
}

// Refusal says why a connection was reset when it was accepted.
type Refusal uint8

// The reasons for which connections are refused.
const (
	RefusedConns Refusal = iota // Server.MaxConnsPerClient
	RefusedRate                 // Server.ConnRatePerClient
	RefusedProxy                // no PROXY header where there has to be one, or a malformed one
	refusalKinds
)

var refusalNames = [refusalKinds]string{"client_connections", "client_rate", "proxy_header"}

// String returns the name that metrics have, such as "client_rate".
func (r Refusal) String() string { return refusalNames[r] }

// Refusals counts connections by why they were refused.
type Refusals [refusalKinds]int64

// DurationBounds are the upper bounds of the classes in which Stats counts durations of requests, in seconds. They must not be changed.
var DurationBounds = []float64{
	25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 5, 10, 30, 60,
}

const durationBounds = 20

// Durations counts how long requests took: from when the head was complete to when the answer had been handed to the kernel or, on a
// loop, was about to be. Of a WebSocket, or an event stream of package sse, that is the head, with whatever version of HTTP.
type Durations struct {
	// Counts has, for each of DurationBounds, how many took up to that and longer than the one before, and behind them those that took
	// longer than all.
	Counts [durationBounds + 1]int64
	Sum    time.Duration
}

// Stats is what a Server has done and what it holds, at one moment. Counts go up only, from Serve on. They are exact, but what other
// goroutines change meanwhile can be in one of them and not in another yet.
type Stats struct {
	// Mode is how the server lets go, ModeNone before; see [linger.Report].
	Mode linger.Mode
	// Serving: connections are accepted, or would be if there were none too many; false before all loops do, and once the port is given up,
	// which is behind the Delay of a drain.
	Serving bool
	// Accepted counts the connections that were accepted, Ended those that have come to an end: the others are Held.
	Accepted int64
	Ended    Ends
	Held     int64
	// Refused says why those were refused that Ended counts as EndRefused.
	Refused Refusals
	// Loops is what each event loop holds. Hijacked connections and those of HTTP/2 belong to none, and are in Others.
	Loops  []linger.Tally
	Others linger.Tally
	// MaxConns is the bound of connections at present, 0 if there is none but descriptors. Paused: nobody is accepted at present.
	MaxConns int
	Paused   bool
	// Requests counts answers by the class of their status: Requests[2] those with 2xx. Streams is how many requests of HTTP/2 are under way.
	Requests [6]int64
	Streams  int64
	// Durations counts answers by how long they took.
	Durations Durations
	// Handshakes counts TLS handshakes by how they ended, and those that are under way and that wait for it.
	Handshakes struct{ Done, Failed, Running, Waiting int64 }
	// Handlers is how many calls of Server.Handler are under way, and how many requests wait for one.
	Handlers struct{ Running, Waiting int64 }
	Memory   linger.Memory
	// Listener is the accept queue: connections in it, how many there may be, and how many packets of clients the kernel has dropped
	// as it was full, or for want of memory (SO_MEMINFO, socket(7)). Known is false where the kernel does not say, and when the port
	// was given up.
	Listener struct {
		Known           bool
		Queued, Backlog int
		Dropped         int64
	}
	// Descriptors is the limit of open files, how many of them connections may have, and how many the process has open; 0 where
	// that is not known, since /proc is not mounted.
	Descriptors struct{ Limit, ForConns, Open int }
	// Undelivered is how many messages to upgraded connections wait to be sent.
	Undelivered int64
	// Steps are those of a teardown that is under way, or over.
	Steps linger.Steps
}

// StateNames are what State returns.
var StateNames = []string{"starting", "serving", "release", "drain", "handover", "abort"}

// State is what the server is doing, in one word: its Mode, or whether it serves.
func (s *Stats) State() string {
	switch {
	case s.Mode != linger.ModeNone:
		return string(s.Mode)
	case s.Serving:
		return "serving"
	}
	return "starting"
}

// Accepting reports whether connections are accepted.
func (s *Stats) Accepting() bool { return s.Serving && !s.Paused }
