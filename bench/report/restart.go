package report

import "time"

// Restarted is one server that was restarted under load.
type Restarted struct {
	Server  string         `json:"server"` // its name
	Clients map[string]int `json:"clients"`
	Without []string       `json:"without"` // kinds of clients that were asked for and that it has no path for
	Runs    []RestartRun   `json:"runs"`
}

// RestartRun is one life of a server, in which it was restarted several times.
type RestartRun struct {
	Round    int       `json:"round"` // from 1; the servers of a round are measured in turn
	At       time.Time `json:"at"`    // that the clients began
	Restarts []Restart `json:"restarts"`
	// Workers and Server are the processor time of the clients, with what measures, and of the server, in the windows without a restart,
	// which were as long in all as Quiet.
	Workers time.Duration `json:"workers_cpu_ns"`
	Server  time.Duration `json:"server_cpu_ns"`
	Quiet   time.Duration `json:"quiet_ns"`
}

// Restart is what one restart has cost. Times count from when it began; those that are null did not come.
type Restart struct {
	Window time.Duration  `json:"window_ns"` // that it was watched, and that was watched without a restart right behind
	Ready  *time.Duration `json:"ready_ns"`  // the first answer of a new process; null also where processes are not known
	Gone   *time.Duration `json:"gone_ns"`   // the last old process had ended
	// InPlace says that no process has come or gone, so that none could be waited for.
	InPlace bool `json:"in_place"`

	With    Traffic `json:"with"`    // in the window
	Without Traffic `json:"without"` // in the one behind

	Resident     int64 `json:"resident_bytes"`      // of all processes, before
	ResidentMost int64 `json:"resident_most_bytes"` // at most, within the window

	Timeline []Tick `json:"timeline"` // ticks of TickLength in which something came, from BeforeTimeline before the restart on
}

// Traffic is what became of requests in a window.
type Traffic struct {
	Answers   map[string]int            `json:"answers"`   // by the kind of client
	Lost      map[string]map[string]int `json:"lost"`      // by the kind of client, and by how: refused, reset, clean end, cut answer, 5xx, timeout, other
	Cut       map[string]map[string]int `json:"cut"`       // connections that have ended between requests without an answer having said so, likewise: reset, closed, close 1012
	Processes map[string]int            `json:"processes"` // answers by process, as a field of them says
	Old       int                       `json:"old"`       // answers of processes that had answered before the restart; with New 0 where processes are not known
	New       int                       `json:"new"`       // of others
	Gap       *time.Duration            `json:"gap_ns"`    // longest time without an answer to a get or post client; null if there are none of these
	Took      []Took                    `json:"took"`      // of get and post clients, from when a request was due, in order
	Events    Events                    `json:"events"`    // of sse clients
	Late      Lateness                  `json:"late"`      // of the clients themselves
}

// Events are those of event streams. What was lost is told by the IDs of events, if these are numbers that grow by one, from one stream of a
// client to its next.
type Events struct {
	Came     int `json:"came"`
	Lost     int `json:"lost"`     // that a client did not get which came back
	Repeated int `json:"repeated"` // with an ID and content that the client had had
	Unknown  int `json:"unknown"`  // times that a client came back and the IDs did not tell what was lost
}

// Took is a number of requests that took so long, rounded up to three digits.
type Took struct {
	Took time.Duration `json:"took_ns"`
	N    int           `json:"n"`
}

// Lateness is how late the clients' process was to do what was due, which it tries every millisecond: what it cannot tell from a server that
// is late.
type Lateness struct {
	P99  time.Duration `json:"p99_ns"`
	Most time.Duration `json:"most_ns"`
}

// Tick is what came within TickLength.
type Tick struct {
	At   time.Duration `json:"at_ns"` // its beginning; negative: before the restart
	Old  int           `json:"old"`   // answers of processes that had answered before the restart, or of unknown ones
	New  int           `json:"new"`   // of others
	Lost int           `json:"lost"`
	// Ended are connections that have ended between requests, in whatever way, and whose clients came back then.
	Ended int `json:"ended,omitempty"`
}

// TickLength is that of a Tick, and BeforeTimeline how much of the time before a restart is in its Timeline.
const (
	TickLength     = 10 * time.Millisecond
	BeforeTimeline = 200 * time.Millisecond
)

// steps are when connections have ended.
func (r Restart) steps() (steps []Step) {
	for _, t := range r.Timeline {
		if t.Ended > 0 && t.At >= 0 {
			steps = append(steps, Step{At: t.At, N: t.Ended})
		}
	}
	return steps
}

// sum is the number of all.
func sum(of map[string]map[string]int) int {
	n := 0
	for _, m := range of {
		for _, k := range m {
			n += k
		}
	}
	return n
}

// LostRequests is the number of all.
func (t Traffic) LostRequests() int { return sum(t.Lost) }

// CutConnections is the number of those that have ended without notice. A close frame is one, and the last chunk of an event stream.
func (t Traffic) CutConnections() int {
	n := 0
	for _, m := range t.Cut {
		n += m["reset"] + m["closed"]
	}
	return n
}

// Requests is the number of all.
func (t Traffic) Requests() int {
	n := t.LostRequests()
	for _, k := range t.Answers {
		n += k
	}
	return n
}
