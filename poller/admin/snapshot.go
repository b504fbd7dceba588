package admin

import (
	"time"

	"rstserver/linger"
	"rstserver/poller"
)

// Snapshot is what the page shows of a server, at one moment: see [poller.Stats], from which it is. Counts go up from the start of the server
// on. Loops has the connections of each, Descriptors how many are open, and their limit; the maps have the names that metrics have.
type Snapshot struct {
	Time           time.Time          `json:"time"`
	Address        string             `json:"address"`
	State          string             `json:"state"`
	Generation     int                `json:"generation"`
	Accepting      bool               `json:"accepting"`
	Connections    linger.Tally       `json:"connections"`
	Held           int64              `json:"held"`
	MaxConns       int                `json:"max_conns"`
	Loops          []int              `json:"loops"`
	Accepted       int64              `json:"accepted"`
	Ended          map[string]int64   `json:"ended"`
	Refused        map[string]int64   `json:"refused"`
	Requests       int64              `json:"requests"`
	Classes        map[string]int64   `json:"requests_by_class"`
	DurationMillis float64            `json:"duration_sum_ms"`
	Streams        int64              `json:"http2_streams"`
	Running        int64              `json:"handlers_running"`
	Waiting        int64              `json:"handlers_waiting"`
	Memory         linger.Memory      `json:"memory"`
	Queue          int                `json:"listener_queue"`
	Backlog        int                `json:"listener_queue_max"`
	Dropped        int64              `json:"listener_dropped"`
	Descriptors    map[string]int     `json:"descriptors"`
	Undelivered    int64              `json:"messages_waiting"`
	Steps          map[string]float64 `json:"teardown_steps_ms"`
}

var classes = [...]string{"", "1xx", "2xx", "3xx", "4xx", "5xx"}

// snapshotOf describes srv.
func snapshotOf(srv *poller.Server, generation int) Snapshot {
	s := Snapshot{Time: time.Now(), Generation: generation, State: "starting", Ended: map[string]int64{}, Refused: map[string]int64{},
		Classes: map[string]int64{}, Descriptors: map[string]int{}, Steps: map[string]float64{}}
	if srv == nil {
		return s
	}
	st := srv.Stats()
	if a := srv.ListenerAddr(); a.IsValid() {
		s.Address = a.String()
	}
	s.State, s.Accepting = st.State(), st.Accepting()
	s.Connections = st.Others
	for _, l := range st.Loops {
		s.Connections.Add(l)
		s.Loops = append(s.Loops, l.Total())
	}
	s.Held, s.MaxConns, s.Accepted = st.Held, st.MaxConns, st.Accepted
	for i, n := range st.Ended {
		s.Ended[poller.End(i).String()] = n
	}
	for i, n := range st.Refused {
		s.Refused[poller.Refusal(i).String()] = n
	}
	for i, n := range st.Requests {
		if i > 0 {
			s.Requests += n
			s.Classes[classes[i]] = n
		}
	}
	s.DurationMillis, s.Streams = float64(st.Durations.Sum.Microseconds())/1e3, st.Streams
	s.Running, s.Waiting, s.Memory = st.Handlers.Running, st.Handlers.Waiting, st.Memory
	s.Queue, s.Backlog, s.Dropped = st.Listener.Queued, st.Listener.Backlog, st.Listener.Dropped
	s.Descriptors["open"], s.Descriptors["limit"] = st.Descriptors.Open, st.Descriptors.Limit
	s.Undelivered = st.Undelivered
	for _, step := range st.Steps.Named() {
		if step.After > 0 {
			s.Steps[step.Name] = float64(step.After.Microseconds()) / 1e3
		}
	}
	return s
}
