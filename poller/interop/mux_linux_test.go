//go:build linux

package interop

import (
	"encoding/json"
	"expvar"
	"io"
	"net/http"
	"net/http/pprof"
	"strings"
	"testing"
)

func TestServeMux(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Pattern+" "+r.PathValue("id")+" "+r.PathValue("rest"))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items/{id}", answer)
	mux.HandleFunc("POST /items/{id}", answer)
	mux.HandleFunc("/files/{rest...}", answer)
	mux.HandleFunc("/tree/", answer)
	mux.HandleFunc("/{$}", answer)
	mux.HandleFunc("example.com/host", answer)
	mux.Handle("/strip/", http.StripPrefix("/strip", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Path)
	})))
	mux.Handle("/moved", http.RedirectHandler("/items/1", http.StatusMovedPermanently))
	s := serve(t, mux)
	tests := []struct {
		method, target, host string
		status               int
		want                 string // content, or Location of a redirect, or Allow of 405
	}{
		{"GET", "/items/7", "x", 200, "GET /items/{id} 7 "},
		{"POST", "/items/a%2Fb", "x", 200, "POST /items/{id} a/b "},
		{"HEAD", "/items/7", "x", 200, ""},
		{"PUT", "/items/7", "x", 405, "GET, HEAD, POST"},
		{"GET", "/files/a/b/c", "x", 200, "/files/{rest...}  a/b/c"},
		{"GET", "/", "x", 200, "/{$}  "},
		{"GET", "/nothing", "x", 404, "404 page not found\n"},
		{"GET", "/tree", "x", 307, "/tree/"},
		{"GET", "//tree//a/../b", "x", 307, "/tree/b"},
		{"GET", "/host", "example.com", 200, "example.com/host  "},
		{"GET", "http://example.com/host", "x", 200, "example.com/host  "},
		{"GET", "/strip/a/b", "x", 200, "/a/b"},
		{"GET", "/moved", "x", 301, "/items/1"},
		{"OPTIONS", "*", "x", 200, ""},
	}
	c := s.dial(t)
	for _, tt := range tests {
		c.send(tt.method + " " + tt.target + " HTTP/1.1\r\nHost: " + tt.host + "\r\n\r\n")
		res, got := c.answer(tt.method)
		if res.StatusCode/100 == 3 {
			got = res.Header.Get("Location")
		}
		if res.StatusCode == 405 {
			got = res.Header.Get("Allow")
		}
		if res.StatusCode != tt.status || got != tt.want {
			t.Errorf("%s %s = %s %q, want %d %q", tt.method, tt.target, res.Status, got, tt.status, tt.want)
		}
	}
}

func TestDebugHandlers(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.Handle("/debug/vars", expvar.Handler())
	s := serve(t, mux)
	c := newClient(t)
	if got := get(t, c, s.url+"/debug/pprof/", 200); !strings.Contains(got, "goroutine?debug=1") {
		t.Errorf("the index of profiles is %.200q", got)
	}
	if got := get(t, c, s.url+"/debug/pprof/goroutine?debug=2", 200); !strings.Contains(got, "poller.(*worker).run") {
		t.Errorf("the list of goroutines lacks the handler's own: %.200q", got)
	}
	for _, path := range []string{"heap", "allocs?debug=1", "cmdline", "symbol", "trace?seconds=0.01"} {
		if get(t, c, s.url+"/debug/pprof/"+path, 200) == "" {
			t.Errorf("%s is empty", path)
		}
	}
	if got := get(t, c, s.url+"/debug/vars", 200); !json.Valid([]byte(got)) {
		t.Errorf("the variables are no JSON: %.200q", got)
	}
}
