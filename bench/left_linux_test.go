//go:build linux

package bench

import (
	"testing"
	"time"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/internal/kernel"
	"rstserver/bench/kinds"
	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

// What is left and stays is seen to be there at the end of the settle time too.
func TestLeftToTheEnd(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	const settle = 100 * time.Millisecond
	rep, err := measure(t, run{Server: peer("nethttp-close"), Mix: fleet.All(50, kinds.Idle), Settle: settle})
	if err != nil {
		t.Fatal(err)
	}
	last := rep.Left[len(rep.Left)-1] // the first too where that has taken so long
	if last.At < *rep.Gone+settle || last.States[sockdiag.TimeWait] == 0 {
		t.Errorf("left: %v, gone after %s; want a look after %s more", rep.Left, *rep.Gone, settle)
	}
}

// The resets that a probe causes are not counted either.
func TestProbeResets(t *testing.T) {
	if !elsewhere(t, func() error { return lingertest.Network(nil) }) { // where nobody else sends any
		return
	}
	const n = 10
	for fault, want := range map[string]int64{"stubborn": 0, "none": n} {
		t.Run(fault, func(t *testing.T) {
			r := run{Server: faulty(fault), Mix: fleet.All(n, kinds.Idle), Timeout: patience}
			if fault == "stubborn" {
				r.Server.overdue, r.Stderr = onLine()
			}
			rep, _ := measure(t, r)
			// A server that dies may end the connection of a probe before the probe does, or both at once: with a reset each, of which
			// the probe knows one. That is one connection at most: the others are no more.
			atMost := want
			if fault == "none" {
				atMost++
			}
			if got := rep.Kernel[kernel.Resets]; rep.At.IsZero() || got < want || got > atMost {
				t.Errorf("counted %v, want %d to %d resets", rep.Kernel, want, atMost)
			}
			if got := rep.Kernel["TCPAbortOnData"]; got < want || got > atMost {
				t.Errorf("counted %v, want %d to %d armed ends", rep.Kernel, want, atMost)
			}
		})
	}
}
