package metrics_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"rstserver/linger"
	"rstserver/poller"
	"rstserver/poller/metrics"
)

// full is a server that has something of everything.
func full() poller.Stats {
	var s poller.Stats
	s.Serving = true
	s.Accepted, s.Held = 10, 3
	s.Ended = poller.Ends{poller.EndClosed: 4, poller.EndTimedOut: 3}
	s.Loops = []linger.Tally{{linger.Idle: 2}}
	s.Others[linger.HTTP2] = 1
	s.Requests[2] = 3
	s.Durations.Counts[0], s.Durations.Counts[2], s.Durations.Counts[20] = 1, 1, 1
	s.Durations.Sum = 2e9
	s.Listener.Known, s.Listener.Dropped = true, 5
	s.Steps.Refused = 1e6
	return s
}

func TestLint(t *testing.T) {
	problems, err := testutil.CollectAndLint(metrics.New(full, prometheus.Labels{"generation": "1"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestValues(t *testing.T) {
	c := metrics.New(full, nil)
	if err := testutil.CollectAndCompare(c, strings.NewReader(`
# HELP rstserver_connections_ended_total Connections that have come to an end: closed in order, aborted by the server, timed_out, refused when they were accepted, or drained, which is aborted by a drain with nothing in flight. All that were accepted and have not ended are held.
# TYPE rstserver_connections_ended_total counter
rstserver_connections_ended_total{end="aborted"} 0
rstserver_connections_ended_total{end="closed"} 4
rstserver_connections_ended_total{end="drained"} 0
rstserver_connections_ended_total{end="refused"} 0
rstserver_connections_ended_total{end="timed_out"} 3
# HELP rstserver_listener_dropped_total Packets of clients that the kernel has dropped at the listener, as its queue was full or for want of memory.
# TYPE rstserver_listener_dropped_total counter
rstserver_listener_dropped_total 5
# HELP rstserver_teardown_step_seconds Time from the call that let go of the port to the end of each step of the teardown.
# TYPE rstserver_teardown_step_seconds gauge
rstserver_teardown_step_seconds{step="listener_refused"} 0.001
`), "rstserver_connections_ended_total", "rstserver_listener_dropped_total", "rstserver_teardown_step_seconds"); err != nil {
		t.Error(err)
	}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "rstserver_http_request_duration_seconds" {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		last := h.GetBucket()[len(h.GetBucket())-1]
		if h.GetSampleCount() != 3 || last.GetCumulativeCount() != 2 || last.GetUpperBound() != 60 || h.GetSampleSum() != 2 {
			t.Errorf("histogram = %v", h)
		}
	}
}
