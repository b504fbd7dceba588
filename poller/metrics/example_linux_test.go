package metrics_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"rstserver/poller"
	"rstserver/poller/metrics"
)

// What Prometheus is to scrape, on a listener of its own, or here by a call.
func Example() {
	srv := &poller.Server{} // and somewhere srv.ListenAndServe()
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.New(srv.Stats, prometheus.Labels{"instance": "a"}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))

	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(answer.Body.String()) {
		if strings.HasPrefix(line, "rstserver_connections_accepted_total") {
			fmt.Print(line)
		}
	}
	// Output:
	// rstserver_connections_accepted_total{instance="a"} 0
}
