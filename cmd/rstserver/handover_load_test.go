package main

import (
	"cmp"
	"crypto/tls"
	"flag"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/internal/restartload"
)

var handovers = flag.Int("handovers", 0, "handovers under load; 0: some. With -short there are fewer clients. From 10 on equal windows without are measured beside them")

// Under load, from clients that repeat nothing, a handover loses no request.
func TestHandoverUnderLoad(t *testing.T) {
	n, scale := cmp.Or(*handovers, 10), 1
	if testing.Short() {
		n, scale = cmp.Or(*handovers, 2), 8
	}
	for _, variant := range []string{"plain", "TLS"} {
		t.Run(variant, func(t *testing.T) {
			if testing.Short() {
				t.Parallel()
			}
			c := restartload.Config{New: 64 / scale, Kept: 64 / scale, Idle: 1000 / scale, PostPath: "/echo"}
			var args []string
			if variant == "TLS" {
				c.TLS = &tls.Config{InsecureSkipVerify: true}
				args = append(args, "--tls-self-signed")
			}
			d := startDynasty(t, args...)
			c.Addr = d.addr.String()
			if result := underLoad(t, d, c, n); len(result.Lost) > 0 {
				t.Errorf("lost were %d of %d requests: %s", len(result.Lost), result.Requests(), result)
			}
			if lost := d.logs.count("level=ERROR"); lost > 0 {
				t.Errorf("%d errors were logged", lost)
			}
		})
	}
}

// shortPause is between two requests of a client where tests run with -short: beside it others have work to do.
const shortPause = 5 * time.Millisecond

// underLoad puts d under load while it hands over n times.
func underLoad(t *testing.T, d *dynasty, c restartload.Config, n int) restartload.Result {
	if testing.Short() {
		c.Pause = shortPause
		if c.TLS != nil {
			c.Pause *= 8 // a handshake, under the race detector, takes a processor for longer than that
		}
	}
	l := restartload.Start(c)
	t.Cleanup(func() { l.Stop() })
	// All idle clients have a connection that came behind so many handovers.
	settled := func(handovers int) {
		lingertest.Wait(t, "all idle clients are idle, at the one that serves", func() bool {
			return l.IdleAnswers() >= int64(c.Idle*(handovers+1)) && l.Idle() == int64(c.Idle)
		})
	}
	var with, without []restartload.Window
	settled(0)
	for i := range n {
		began := l.Since()
		before := d.last()
		d.handOver()
		d.awaitEnd(before)
		settled(i + 1)
		if n < 10 {
			continue
		}
		// From its beginning to when all is as it was before, and as long without.
		over := l.Since()
		with = append(with, restartload.Window{From: began, To: over})
		without = append(without, restartload.Window{From: over, To: 2*over - began})
		time.Sleep(over - began)
	}
	result := l.Stop()
	t.Logf("%d handovers under %s", n, result)
	for _, kind := range []restartload.Kind{restartload.New, restartload.Kept} {
		if with != nil {
			t.Logf("%s: with a handover %s", kind, restartload.LatencyOf(result.Of(kind), with))
			t.Logf("%s: without %s", kind, restartload.LatencyOf(result.Of(kind), without))
		}
	}
	if tooLittle(result) || len(result.Of(restartload.Idle)) < c.Idle*(n+1) {
		t.Errorf("the load was too little to tell: %s", result)
	}
	expectNoKeptCut(t, result)
	if len(d.pids) != n+1 {
		t.Errorf("processes = %d, want %d", len(d.pids), n+1)
	}
	return result
}

// tooLittle reports whether there were no requests to lose.
func tooLittle(result restartload.Result) bool {
	return len(result.Of(restartload.New)) == 0 || len(result.Of(restartload.Kept)) == 0
}

// expectNoKeptCut fails the test if a connection was ended between two requests without notice: another client might have lost one.
func expectNoKeptCut(t *testing.T, result restartload.Result) {
	t.Helper()
	for _, c := range result.Cuts {
		if c.Kind == restartload.Kept {
			t.Errorf("a kept connection has ended without notice (%s), after %s", c.How, c.At)
		}
	}
}
