//go:build linux

package bench

import (
	"testing"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/internal/kernel"
	"rstserver/bench/kinds"
	"rstserver/internal/lingertest"
)

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
			if rep.At.IsZero() || rep.Kernel[kernel.Resets] != want || rep.Kernel["TCPAbortOnData"] != want {
				t.Errorf("counted %v, want %d resets", rep.Kernel, want)
			}
		})
	}
}
