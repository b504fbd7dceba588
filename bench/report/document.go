package report

import (
	"time"

	"rstserver/linger/sockdiag"
)

// Version is the version of the JSON format: it changes when a reader of the one before would be wrong about what it reads.
const Version = 1

// Document is all that one call of the benchmark found out. A Duration is in nanoseconds, and its member ends in _ns.
type Document struct {
	Version     int           `json:"version"`
	Command     []string      `json:"command"` // with its arguments
	Program     string        `json:"program"` // the version of the program that measured
	Began       time.Time     `json:"began"`
	Took        time.Duration `json:"took_ns"`
	Interrupted bool          `json:"interrupted"` // by a signal, before all was measured
	Machine     Machine       `json:"machine"`
	Settings    Settings      `json:"settings"`
	Servers     []Server      `json:"servers"`
	Cells       []Cell        `json:"cells"`               // in the order of their first run
	Restarted   []Restarted   `json:"restarted,omitempty"` // what was restarted, and not ended for good
	Skipped     []Omission    `json:"skipped"`             // not measured, for a reason that is not the server's fault
	Failed      []Omission    `json:"failed"`              // not measured, or not to the end, since the server did something wrong
	Warnings    []string      `json:"warnings"`
	// Unwired is why nothing was seen on the wire, although runs for that were asked for: "needs CAP_NET_RAW". Warnings has the remedy. Empty: it was.
	Unwired string `json:"unwired"`
}

// Machine is where it was measured.
type Machine struct {
	OS         string            `json:"os"`     // of /etc/os-release
	Kernel     string            `json:"kernel"` // uname -r
	Arch       string            `json:"arch"`
	Processor  string            `json:"processor"`
	Processors int               `json:"processors"` // that the program may use
	Memory     int64             `json:"memory_bytes"`
	OpenFiles  uint64            `json:"open_files"` // hard limit for each process
	Load       string            `json:"load"`       // of the minutes before, /proc/loadavg
	Sysctl     map[string]string `json:"sysctl"`     // those that matter, such as net.ipv4.tcp_max_tw_buckets
	GoVersion  string            `json:"go_version"`
}

// Settings are what the flags, or their defaults, asked for.
type Settings struct {
	Runs    int           `json:"runs"`
	Wire    int           `json:"wire"`       // runs besides these in which segments were seen on the wire
	Settle  time.Duration `json:"settle_ns"`  // how long sockets on the port were watched after a run
	Timeout time.Duration `json:"timeout_ns"` // after which a server that had not ended was killed
	Late    time.Duration `json:"late_ns"`    // how long an in-flight request takes
	Probe   time.Duration `json:"probe_ns"`   // between two probes of the port
	// Of restarts alone:
	Restarts int           `json:"restarts,omitempty"`  // in each run
	Rate     float64       `json:"rate,omitempty"`      // requests a second of get and post clients together
	Window   time.Duration `json:"window_ns,omitempty"` // that each was watched at least, and as long without one
	Clients  string        `json:"clients,omitempty"`   // "50 % get, 50 % post"
	N        int           `json:"client_count,omitempty"`
}

// Role is what a server is in the comparison.
type Role string

// The roles.
const (
	Ours  Role = "ours"
	Floor Role = "floor" // the first of them is what ratios are to
	Peer  Role = "peer"
)

// Server is one of those that were measured: a program, and the way that it is told to end.
type Server struct {
	Name    string   `json:"name"`
	Role    Role     `json:"role"`
	About   string   `json:"about"`   // one sentence at the most
	Command []string `json:"command"` // {port} stands for the port
	Signal  string   `json:"signal"`  // SIGTERM; of a restart how it is done: "signal=USR2"
	Version string   `json:"version"` // of the program, where it is known
}

// Cell is one server with one number of connections of one mix of kinds.
type Cell struct {
	Server    string `json:"server"` // its name
	N         int    `json:"connections"`
	Mix       string `json:"mix"`       // "idle", or "80 % idle, 20 % in-flight", with OverTLS behind it if that is so
	Processes int    `json:"processes"` // of the server, on one port
	Clients   int    `json:"client_processes"`
	Runs      []Run  `json:"runs"`
	// Wired are runs of their own in which segments were seen on the wire, which a server pays for. They are in no figure but that.
	Wired []Run `json:"wired"`
}

// OverTLS is what a Mix ends in of which all connections are over TLS.
const OverTLS = " over TLS"

// Moment is when something was first seen, counted from the signal. It happened after Before, when it was looked for in vain,
// and not after At.
type Moment struct {
	At     time.Duration `json:"at_ns"`
	Before time.Duration `json:"before_ns"`
}

// Run is one teardown: what was seen, raw. Times count from the signal; those that are null did not come, within the timeout
// or the settle time.
type Run struct {
	Round   int            `json:"round"`                 // from 1; the servers of a round are measured in turn
	At      time.Time      `json:"at"`                    // of the signal
	Open    time.Duration  `json:"open_ns"`               // that opening the connections took
	TakenIn time.Duration  `json:"taken_in_ns,omitempty"` // processor time of the server meanwhile
	Held    time.Duration  `json:"held_ns,omitempty"`     // that they were held before the signal; 0: they were not
	Holding time.Duration  `json:"holding_ns,omitempty"`  // processor time of the server meanwhile
	Pair    time.Duration  `json:"pair_ns,omitempty"`     // that a bare pair of programs took to open as many; 0: there was none
	Refused *Moment        `json:"refused"`               // a connect was refused
	Told    *time.Duration `json:"told_ns"`               // the last client knew
	Free    *Moment        `json:"free"`                  // a bind without SO_REUSEADDR succeeded
	Gone    *time.Duration `json:"gone_ns"`               // the last process had ended
	Exit    []string       `json:"exit"`                  // of each process: "exit code 0", "SIGKILL"

	Endings map[string]int            `json:"endings"`         // clients by how they were told: reset, eof, answered, failed, untold, left; of those that the server had said something before "close 1001 then eof" (a WebSocket), "GOAWAY then left" (HTTP/2), "close_notify then eof" (TLS) and so on
	ByKind  map[string]map[string]int `json:"endings_by_kind"` // the same for each kind of connection
	Curve   []Step                    `json:"curve"`           // by time
	Left    []Left                    `json:"left"`            // on the port: the first right after, then each change, and what there was at the end of the settle time
	Holders []string                  `json:"holders"`         // processes that still had sockets of the port, right after

	CPU     time.Duration `json:"cpu_ns"`               // processor time of the server from the signal to its end
	User    time.Duration `json:"user_ns,omitempty"`    // of that in user mode
	SoftIRQ time.Duration `json:"softirq_ns,omitempty"` // of all processors in soft interrupts, from the signal until the server's end and the clients' knowing

	// Memory before the signal.
	Resident     int64 `json:"resident_bytes"`                // of the server
	Anonymous    int64 `json:"anonymous_bytes,omitempty"`     // of that what is no part of a file
	Grown        int64 `json:"grown_bytes,omitempty"`         // by how much anonymous memory of the server had grown since it had come to listen
	Clients      int64 `json:"clients_bytes,omitempty"`       // the same of the clients
	KernelMemory int64 `json:"kernel_memory_bytes,omitempty"` // that the kernel has taken since before the server started, of both ends
	Queues       int64 `json:"queues_bytes,omitempty"`        // the same of what TCP has accounted for queues

	Kernel  map[string]int64 `json:"kernel"`  // what counters of /proc/net/netstat and /proc/net/snmp rose by, all of the machine's, without the resets that the probe has caused
	Cleaned int              `json:"cleaned"` // sockets that were destroyed or waited out after the run

	Wire *Wire `json:"wire,omitempty"` // of a run that was for it
}

// Wire is when the server's ends of connections were on the wire, by the kernel's time stamps: the first RST or FIN to each client.
type Wire struct {
	Last    *time.Duration `json:"last_ns"` // null: not all connections have ended, as far as was seen
	Curve   []Step         `json:"curve"`   // by time, which is rounded up to a tenth of a millisecond; the endings are RST and FIN
	Dropped int            `json:"dropped"` // segments that the kernel had no room for, so that it is not known whose they were
}

// Ends are the connections that have ended, by RST and FIN.
func (w *Wire) Ends() map[string]int {
	ends := make(map[string]int)
	for _, s := range w.Curve {
		ends[s.Ending] += s.N
	}
	return ends
}

// Step is a number of clients that were told in the same way, and of which the benchmark learnt at the same time.
type Step struct {
	At     time.Duration `json:"at_ns"`
	Ending string        `json:"ending"`
	N      int           `json:"n"`
}

// Left is what was on the port at a time.
type Left struct {
	At     time.Duration   `json:"at_ns"`
	States sockdiag.Counts `json:"states"`
}

// Omission is a server that was not measured, or not with so many connections of such a mix; those two are empty if it was
// not measured at all.
type Omission struct {
	Server string `json:"server"`
	N      int    `json:"connections,omitempty"`
	Mix    string `json:"mix,omitempty"`
	Round  int    `json:"round,omitempty"`
	Reason string `json:"reason"` // with the remedy
}
