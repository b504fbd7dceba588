package freeport

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/linger/sockdiag"
)

// TestPlanRefuses makes plans that make no sense. Each error names the field, and nothing is touched.
func TestPlanRefuses(t *testing.T) {
	for want, plan := range map[string]Plan{
		"Select.LocalPort": {},
		"Plan.Wait":        {Select: sockdiag.Selector{LocalPort: 1}, StopOwner: true, Wait: -time.Second},
		"Plan.Signal":      {Select: sockdiag.Selector{LocalPort: 1}, StopOwner: true, Signal: syscall.Signal(-1)},
	} {
		_, look := plan.Look()
		_, judge := plan.Judge()
		_, _, peers := plan.LargestPeers(1)
		result, _, run := plan.Run()
		for call, err := range map[string]error{"Look": look, "Judge": judge, "LargestPeers": peers, "Run": run} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s of %+v = %v, want an error that names %s", call, plan, err, want)
			}
		}
		if result.Destroyed > 0 || len(result.Stopped) > 0 {
			t.Errorf("Run of %+v = %+v, want nothing to be touched", plan, result)
		}
	}
}
