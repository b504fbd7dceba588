//go:build linux

package handover_test

import (
	"cmp"
	"flag"
	"fmt"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/internal/restartload"
)

var handovers = flag.Int("handovers", 0, "handovers under load; 0: some. With -short there are fewer clients")

// A net/http server loses no request by a handover, of clients that repeat nothing.
func TestUnderLoad(t *testing.T) {
	n, scale := cmp.Or(*handovers, 10), 1
	if testing.Short() {
		n, scale = cmp.Or(*handovers, 3), 8
	}
	l := begin(t, plan{LameDuck: 2 * time.Second, Timeout: lingertest.Patience})
	c := restartload.Config{Addr: l.addr.String(), New: 64 / scale, Kept: 64 / scale, Idle: 1000 / scale}
	if testing.Short() {
		c.Pause = 5 * time.Millisecond // beside it others have work to do
	}
	load := restartload.Start(c)
	t.Cleanup(func() { load.Stop() })
	var with, without []restartload.Window
	// All idle clients have a connection that came behind so many handovers.
	settled := func(handovers int) {
		lingertest.Wait(t, "all idle clients are idle, at the one that serves", func() bool {
			return load.IdleAnswers() >= int64(c.Idle*(handovers+1)) && load.Idle() == int64(c.Idle)
		})
	}
	settled(0)
	for i := range n {
		before, began := l.last(), load.Since()
		l.signal(syscall.SIGUSR2)
		l.serving()
		l.next(fmt.Sprintf("ended %d <nil>", before))
		settled(i + 1)
		over := load.Since()
		with = append(with, restartload.Window{From: began, To: over})
		if *handovers > 0 {
			without = append(without, restartload.Window{From: over, To: 2*over - began})
			time.Sleep(over - began)
		}
	}
	result := load.Stop()
	t.Logf("%d handovers under %s", n, result)
	for _, kind := range []restartload.Kind{restartload.New, restartload.Kept} {
		t.Logf("%s: with a handover %s", kind, restartload.LatencyOf(result.Of(kind), with))
		if without != nil {
			t.Logf("%s: without %s", kind, restartload.LatencyOf(result.Of(kind), without))
		}
		if len(result.Of(kind)) == 0 {
			t.Errorf("there was no request on %s connections", kind)
		}
	}
	if len(result.Lost) > 0 || len(result.Of(restartload.Idle)) < c.Idle*(n+1) {
		t.Errorf("%s", result)
	}
	for _, c := range result.Cuts {
		if c.Kind == restartload.Kept {
			t.Errorf("a kept connection has ended without notice (%s), after %s", c.How, c.At)
		}
	}
}
