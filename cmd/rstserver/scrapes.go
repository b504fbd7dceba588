package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"rstserver/internal/latch"
	"rstserver/poller"
	"rstserver/poller/metrics"
)

// scrapes answers /metrics. During a handover two processes have something to say, and Prometheus finds the successor: it has its predecessor
// say what there is, on an abstract unix socket (unix(7)) that this one opens when it steps aside, and shows both. The label generation tells
// them apart. Any goroutine may call the methods, also of nil.
type scrapes struct {
	http.Handler
	predecessor int             // its number; 0: there was none
	gone        <-chan struct{} // closed when that has ended
	log         *slog.Logger

	mu    sync.Mutex // guards aside
	aside *http.Server
}

// asidePatience is how long a predecessor has for its answer.
const asidePatience = time.Second

func newScrapes(generation, predecessor int, server func() *poller.Server, messages, lines func() int64, gone <-chan struct{}, log *slog.Logger) *scrapes {
	s := &scrapes{gone: gone, log: log}
	if !latch.IsClosed(gone) {
		s.predecessor = predecessor
	}
	own := prometheus.NewRegistry()
	labelled := prometheus.WrapRegistererWith(prometheus.Labels{"generation": strconv.Itoa(generation)}, own)
	labelled.MustRegister(
		metrics.New(func() poller.Stats {
			if srv := server(); srv != nil {
				return srv.Stats()
			}
			return poller.Stats{}
		}, nil),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rstserver_generation", Help: "Which of the processes that have handed over to each other this one is, from 1."}, func() float64 { return float64(generation) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "rstserver_messages_dropped_total", Help: "Messages that were left out for clients of /ws/room which do not take them."}, func() float64 { return float64(messages()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "rstserver_access_log_lines_dropped_total", Help: "Lines of the access log that were dropped, as it was written more slowly than requests came."}, func() float64 { return float64(lines()) }),
	)
	s.Handler = promhttp.HandlerFor(prometheus.Gatherers{own, prometheus.GathererFunc(s.before)}, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
	return s
}

// asideName is the address at which the process of that number says what there is once it has a successor.
func asideName(pid int) string { return fmt.Sprintf("@rstserver-metrics-%d", pid) }

// before is what the predecessor has, nothing if there is none any more.
func (s *scrapes) before() ([]*dto.MetricFamily, error) {
	if s.predecessor == 0 || latch.IsClosed(s.gone) {
		return nil, nil
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", asideName(s.predecessor))
		if err == nil && peerPID(c) != s.predecessor {
			_ = c.Close()
			return nil, fmt.Errorf("%s is another process's", asideName(s.predecessor))
		}
		return c, err
	}}
	res, err := (&http.Client{Transport: transport, Timeout: asidePatience}).Get("http://predecessor/metrics")
	if err != nil {
		return nil, nil // it is about to come, or to go
	}
	defer res.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(res.Body)
	if err != nil {
		return nil, err
	}
	all := make([]*dto.MetricFamily, 0, len(families))
	for _, f := range families {
		all = append(all, f)
	}
	return all, nil
}

// stepAside makes what this process has to say known to the successor.
func (s *scrapes) stepAside() {
	if s == nil {
		return
	}
	ln, err := net.Listen("unix", asideName(os.Getpid()))
	if err != nil {
		s.log.Warn("the successor cannot show the metrics of this process", "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aside = &http.Server{Handler: s.Handler, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: frontWriteTimeout, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
	go s.aside.Serve(ln)
}

// comeBack is the end of that: the successor is lost, or there was none yet.
func (s *scrapes) comeBack() { s.close() }

func (s *scrapes) close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aside != nil {
		_ = s.aside.Close()
		s.aside = nil
	}
}
