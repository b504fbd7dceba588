// Package metrics shows what a [poller.Server] does to Prometheus:
//
//	registry := prometheus.NewRegistry()
//	registry.MustRegister(metrics.New(srv.Stats, nil))
//	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
//
// It is a package of its own, so that programs that do not want it do not import it. A scrape asks no event loop, and takes some microseconds
// and one pass over the table of connections.
package metrics

import (
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"rstserver/linger"
	"rstserver/poller"
)

// Collector implements prometheus.Collector for a Server. Any goroutine may call its methods.
type Collector struct {
	stats func() poller.Stats
	descs map[string]*prometheus.Desc
}

// metric is the description of one.
type metric struct {
	name, help string
	labels     []string
}

// all are the metrics of a Server. Names and units are those that Prometheus recommends; promlint has no objection.
var all = []metric{
	{"connections", "Connections held, by event loop (none: hijacked, or HTTP/2), by what they are doing, and by protocol.", []string{"loop", "activity", "protocol"}},
	{"connections_max", "Bound of connections (MaxConns); 0: what the limit of open files allows.", nil},
	{"connections_accepted_total", "Connections accepted.", nil},
	{"connections_ended_total", "Connections that have come to an end: closed in order, aborted by the server, timed_out, refused when they were accepted, or drained, which is aborted by a drain with nothing in flight. All that were accepted and have not ended are held.", []string{"end"}},
	{"connections_refused_total", "Connections reset when they were accepted, by why.", []string{"reason"}},
	{"accepting", "1 if connections are accepted, 0 if not: at the bound of connections or descriptors, or since the port was given up, which in a drain is behind its delay.", nil},
	{"state", "1 for what the server is doing: starting, serving, or letting go of its port by release, drain, handover or abort.", []string{"state"}},
	{"http_requests_total", "Answers, by the class of their status.", []string{"class"}},
	{"http_request_duration_seconds", "Time from when the head of a request was complete to when its answer had been handed to the kernel.", nil},
	{"http2_streams", "Requests of HTTP/2 that are under way.", nil},
	{"tls_handshakes_total", "TLS handshakes that are over, by how they ended: done or failed.", []string{"result"}},
	{"tls_handshakes_running", "TLS handshakes that are under way.", nil},
	{"tls_handshakes_waiting", "TLS handshakes that wait for one of those to end (MaxHandshakes).", nil},
	{"handlers_running", "Calls of the http.Handler that are under way.", nil},
	{"handlers_waiting", "Requests that wait for one of those to return (MaxHandlers).", nil},
	{"buffered_bytes", "Memory in which connections have buffered something.", nil},
	{"buffered_peak_bytes", "The most that was buffered at a time.", nil},
	{"buffered_max_bytes", "Bound of what is buffered (MaxBufferedBytes); 0: none.", nil},
	{"buffered_refusals_total", "Requests answered with 503 as memory was near its bound.", nil},
	{"buffered_resets_total", "Connections reset as memory was beyond its bound.", nil},
	{"listener_queue_connections", "Connections that wait to be accepted.", nil},
	{"listener_queue_max_connections", "How many connections can wait to be accepted (the backlog).", nil},
	{"listener_dropped_total", "Packets of clients that the kernel has dropped at the listener, as its queue was full or for want of memory.", nil},
	{"file_descriptors_open", "Descriptors that the process has open.", nil},
	{"file_descriptors_max", "Limit of open files (RLIMIT_NOFILE).", nil},
	{"file_descriptors_available", "Descriptors that are left.", nil},
	{"messages_waiting", "Messages to upgraded connections that wait to be sent.", nil},
	{"teardown_step_seconds", "Time from the call that let go of the port to the end of each step of the teardown.", []string{"step"}},
}

const namespace = "rstserver_"

// New returns a Collector of what stats says, which is the method of a [poller.Server], or has the sum of several. labels are those of
// all its metrics; nil: none.
func New(stats func() poller.Stats, labels prometheus.Labels) *Collector {
	c := &Collector{stats: stats, descs: make(map[string]*prometheus.Desc)}
	for _, m := range all {
		c.descs[m.name] = prometheus.NewDesc(namespace+m.name, m.help, m.labels, labels)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	s := c.stats()
	send := func(t prometheus.ValueType, name string, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(c.descs[name], t, v, labels...)
	}
	gauge := func(name string, v float64, labels ...string) { send(prometheus.GaugeValue, name, v, labels...) }
	counter := func(name string, v int64, labels ...string) {
		send(prometheus.CounterValue, name, float64(v), labels...)
	}

	for i, tally := range s.Loops {
		for a, n := range tally {
			if a := linger.Activity(a); a != linger.Hijacked && a != linger.HTTP2 && a != linger.Open {
				gauge("connections", float64(n), strconv.Itoa(i), a.String(), protocolOf(a))
			}
		}
	}
	for _, a := range []linger.Activity{linger.Hijacked, linger.HTTP2} {
		gauge("connections", float64(s.Others[a]), "none", a.String(), protocolOf(a))
	}
	gauge("connections_max", float64(s.MaxConns))
	counter("connections_accepted_total", s.Accepted)
	for i, n := range s.Ended {
		counter("connections_ended_total", n, poller.End(i).String())
	}
	for i, n := range s.Refused {
		counter("connections_refused_total", n, poller.Refusal(i).String())
	}
	gauge("accepting", one(s.Accepting()))
	for _, state := range poller.StateNames {
		gauge("state", one(state == s.State()), state)
	}
	for class, n := range s.Requests {
		if class > 0 {
			counter("http_requests_total", n, fmt.Sprintf("%dxx", class))
		}
	}
	buckets, count := make(map[float64]uint64), uint64(0)
	for i, n := range s.Durations.Counts {
		if count += uint64(n); i < len(poller.DurationBounds) {
			buckets[poller.DurationBounds[i]] = count
		}
	}
	out <- prometheus.MustNewConstHistogram(c.descs["http_request_duration_seconds"], count, s.Durations.Sum.Seconds(), buckets)
	gauge("http2_streams", float64(s.Streams))
	counter("tls_handshakes_total", s.Handshakes.Done, "done")
	counter("tls_handshakes_total", s.Handshakes.Failed, "failed")
	gauge("tls_handshakes_running", float64(s.Handshakes.Running))
	gauge("tls_handshakes_waiting", float64(s.Handshakes.Waiting))
	gauge("handlers_running", float64(s.Handlers.Running))
	gauge("handlers_waiting", float64(s.Handlers.Waiting))
	gauge("buffered_bytes", float64(s.Memory.Buffered))
	gauge("buffered_peak_bytes", float64(s.Memory.Peak))
	gauge("buffered_max_bytes", float64(s.Memory.Bound))
	counter("buffered_refusals_total", int64(s.Memory.Refused))
	counter("buffered_resets_total", int64(s.Memory.Reset))
	if s.Listener.Known {
		gauge("listener_queue_connections", float64(s.Listener.Queued))
		gauge("listener_queue_max_connections", float64(s.Listener.Backlog))
		counter("listener_dropped_total", s.Listener.Dropped)
	}
	gauge("file_descriptors_max", float64(s.Descriptors.Limit))
	if s.Descriptors.Open > 0 {
		gauge("file_descriptors_open", float64(s.Descriptors.Open))
		gauge("file_descriptors_available", float64(max(s.Descriptors.Limit-s.Descriptors.Open, 0)))
	}
	gauge("messages_waiting", float64(s.Undelivered))
	for _, step := range s.Steps.Named() {
		if step.After > 0 {
			gauge("teardown_step_seconds", step.After.Seconds(), step.Name)
		}
	}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// protocolOf is what is spoken by a connection that does that.
func protocolOf(a linger.Activity) string {
	switch a {
	case linger.Handshake:
		return "tls"
	case linger.HTTP2:
		return "http2"
	case linger.Upgraded, linger.Hijacked:
		return "other"
	}
	return "http1"
}
