package main

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/internal/restartload"
)

// restart is how somebody restarts the servers behind a proxy, one after the other.
type restart struct {
	name, file string
	changes    []string // of the file; nil: the recipe
	short      bool     // it is tried with -short, too
	loses      bool
	within     time.Duration // in which all have to be restarted for that; 0: any
}

// abortFirst has the servers of a file end as they do without flags.
var abortFirst = []string{" --on-term drain --drain-delay 5s", ""}

var restarts = []restart{
	{name: "haproxy.cfg", file: "haproxy.cfg", short: true},
	{name: "haproxy.cfg, an abort", file: "haproxy.cfg", changes: abortFirst, short: true, loses: true},
	{name: "haproxy-tls.cfg", file: "haproxy-tls.cfg"},
	{name: "haproxy-tls.cfg, an abort", file: "haproxy-tls.cfg", changes: abortFirst, loses: true},
	{name: "nginx.conf", file: "nginx.conf", short: true},
	{name: "nginx.conf, an abort", file: "nginx.conf", changes: abortFirst, loses: true},
	{name: "nginx.conf without max_fails=0, all three within 10 s", file: "nginx.conf", loses: true, within: 10 * time.Second,
		changes: []string{" max_fails=0", "", "--drain-delay 5s", "--drain-delay 1s", "keepalive_timeout 3s", "keepalive_timeout 500ms"}},
	{name: "nginx-tls.conf", file: "nginx-tls.conf"},
	{name: "nginx-tls.conf, an abort", file: "nginx-tls.conf", changes: abortFirst, loses: true},
}

// A restart of all servers behind a proxy, one after the other, loses no request by the recipe, and other ways lose some. deploy/README.md has the
// table that it prints, of a run without -short.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	for _, r := range restarts {
		if testing.Short() && !r.short {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			result := untilInTime(t, func() (restartload.Result, bool) { return r.roll(t) })
			if tooLittle(result) {
				t.Errorf("the load was too little to tell: %s", result)
			}
			if (len(result.Lost) > 0) != r.loses {
				t.Errorf("lost are %d requests, want some: %t: %s", len(result.Lost), r.loses, result)
			}
			if !r.loses {
				expectNoKeptCut(t, result)
				if n := cutOff(result); n > 0 {
					t.Errorf("%d WebSockets and event streams were not told: %s", n, result)
				}
			}
			t.Logf("| %s | %d | %s%d |", r.name, result.Requests(), lostOf(result), cutOff(result))
		})
	}
}

// lostOf are the cells of a table with what was lost of each kind.
func lostOf(result restartload.Result) (cells string) {
	for _, kind := range []restartload.Kind{restartload.New, restartload.Kept, restartload.Slow, restartload.Upload} {
		n := 0
		for _, lost := range result.Lost {
			if lost.Kind == kind {
				n++
			}
		}
		cells += fmt.Sprintf("%d | ", n)
	}
	return cells
}

// cutOff is how many WebSockets and event streams have not come to an end of theirs, or could not be had.
func cutOff(result restartload.Result) (n int) {
	for _, lost := range result.Lost {
		if lost.Kind == restartload.WebSocket || lost.Kind == restartload.SSE {
			n++
		}
	}
	for _, cut := range result.Cuts {
		if (cut.Kind == restartload.WebSocket || cut.Kind == restartload.SSE) && (cut.How == "reset" || cut.How == "closed") {
			n++
		}
	}
	return n
}

// inShort are the times of the files, as they are with -short.
var inShort = []string{"inter 1s fastinter 200ms", "inter 50ms fastinter 20ms", "keepalive_timeout 3s", "keepalive_timeout 300ms", "--drain-delay 5s", "--drain-delay 500ms"}

// roll has each server restarted under load, when the one before serves again. It is in time if HAProxy has noticed that a server goes before
// the delay was over, and all is done within what r says.
func (r restart) roll(t *testing.T) (result restartload.Result, inTime bool) {
	changes := slices.Clone(r.changes)
	if testing.Short() {
		changes = append(changes, inShort...)
	}
	d := deploy(t, r.file, changes)
	var delay time.Duration
	if i := slices.Index(d.args, "--drain-delay"); i >= 0 {
		delay, _ = time.ParseDuration(d.args[i+1])
	}
	c := restartload.Config{
		Addr: d.secure(), TLS: d.trusts, New: 4, Kept: 8, Slow: 8, Upload: 4, WebSocket: 4, SSE: 4, Pause: shortPause,
		// An answer that has begun is repeated by nobody.
		PostPath: "/echo", SlowPath: "/stream?chunks=3&bytes=10&ms=100", WebSocketPath: "/ws", EventsPath: "/events?ms=100",
	}
	if testing.Short() { // handshakes are work
		c.Addr, c.TLS, c.Pause = d.plain(), nil, 8*shortPause
	}
	l := restartload.Start(c)
	t.Cleanup(func() { l.Stop() })
	lingertest.Wait(t, "it is under load", func() bool { return l.Ready() == int64(c.Clients()) })
	first := time.Now()
	inTime = true
	for i, server := range d.servers {
		began := time.Now()
		server.signal(syscall.SIGTERM)
		if d.proxy != nil && delay > 0 {
			lingertest.Wait(t, "HAProxy has noticed that it goes", func() bool { return strings.HasPrefix(d.proxy.status(i), "DOWN") })
			inTime = inTime && time.Since(began) < delay
		}
		server.wait()
		d.start(i)
		if d.proxy != nil {
			lingertest.Wait(t, "HAProxy has noticed that it is back", func() bool { return d.proxy.status(i) == "UP" })
		}
		before := l.Requests()
		lingertest.Wait(t, "all is well again", func() bool { return l.Requests() > before+50 })
	}
	return l.Stop(), inTime && (r.within == 0 || time.Since(first) < r.within)
}
