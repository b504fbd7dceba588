//go:build linux

package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rstserver/bench/peers/hello"
)

// against starts a server in this process.
func against(t *testing.T, h http.HandlerFunc) netip.AddrPort {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}

// A closed loop asks again once all is answered, in one write or in several, and counts what the server has.
func TestClosedLoop(t *testing.T) {
	for _, depth := range []int{1, 16} {
		var served atomic.Int64
		ctx, enough := context.WithCancel(t.Context())
		addr := against(t, func(w http.ResponseWriter, r *http.Request) {
			if served.Add(1) == 200 {
				enough()
			}
			hello.Handler(w, r)
		})
		o, err := load{Addr: addr, Path: "/", Connections: 5, Depth: depth, For: time.Minute, Threads: 2}.run(ctx, nothing)
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		// Each is asked once before it begins, and may have asked once more than was answered in the end.
		if n := int(served.Load()) - 5; o.Requests < depth || o.Requests > n || o.Requests < 200-5-5*depth || o.Requests%depth != 0 {
			t.Errorf("depth %d: %d requests, and the server has %d", depth, o.Requests, n)
		}
		if o.PerSecond() <= 0 {
			t.Errorf("%f a second", o.PerSecond())
		}
	}
}

// Of an open loop requests are due whatever the server does: those that come due while it stands still have waited since then.
func TestOpenLoop(t *testing.T) {
	const stall = 300 * time.Millisecond
	var stand sync.RWMutex
	var asked atomic.Int64
	addr := against(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 50 {
			stand.Lock()
			time.Sleep(stall)
			stand.Unlock()
		}
		stand.RLock()
		defer stand.RUnlock()
		hello.Handler(w, r)
	})
	const rate = 500
	length := time.Second
	o, err := load{Addr: addr, Path: "/", Connections: 4, Rate: rate, For: length, Threads: 2}.run(t.Context(), nothing)
	if err != nil {
		t.Fatal(err)
	}
	if due := o.Requests + o.Missing; due < rate-2 || due > rate+2 || len(o.Waited) != o.Requests {
		t.Fatalf("%d requests of %d that were due, %d of which it is known how long they have waited", o.Requests, due, len(o.Waited))
	}
	// No more than four were under way, but a hundred and more were due within.
	late := 0
	for _, d := range o.Waited {
		if d > stall/3 {
			late++
		}
	}
	if late+o.Missing < rate*int(stall)/int(time.Second)/2 || o.Waited[len(o.Waited)-1] < stall/2 {
		t.Errorf("%d of %d have waited long, at most %s, and %d had no answer", late, o.Requests, o.Waited[len(o.Waited)-1], o.Missing)
	}
}

func TestQuantile(t *testing.T) {
	o := outcome{Waited: []time.Duration{1, 2, 3, 4, 5, 6, 7, 8}, Missing: 2}
	for share, want := range map[float64]time.Duration{0: 1, 0.5: 6, 0.79: 8, 0.8: 0, 0.999: 0} {
		if got := o.Quantile(share); got != want {
			t.Errorf("%g: %d, want %d", share, got, want)
		}
	}
}

// A server that does not answer as it did, or not with 200, is an error.
func TestLoadErrors(t *testing.T) {
	var n atomic.Int64
	for want, h := range map[string]http.HandlerFunc{
		`the answer is "HTTP/1\.1 404`:                 http.NotFound,
		"the answer has no Content-Length":             func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() },
		"an answer is longer than the first":           func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1+n.Add(1)/2*100)) },
		"ended a connection|reset by peer|broken pipe": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") },
	} {
		n.Store(0)
		_, err := load{Addr: against(t, h), Path: "/", Connections: 1, For: 10 * time.Second, Threads: 1}.run(t.Context(), nothing)
		if err == nil || !regexp.MustCompile(want).MatchString(err.Error()) {
			t.Errorf("%v, want one that has %q", err, want)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if _, err := (load{Addr: netip.MustParseAddrPort(ln.Addr().String()), Path: "/", Connections: 1, Threads: 1}).run(t.Context(), nothing); err == nil {
		t.Error("no error where nobody listens")
	}
}
