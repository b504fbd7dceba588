//go:build linux

package bench

import (
	"testing"
	"time"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/kinds"
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
	first, last := rep.Left[0], rep.Left[len(rep.Left)-1]
	if last.At < *rep.Gone+settle || last.At <= first.At || last.States[sockdiag.TimeWait] == 0 {
		t.Errorf("left: %v, gone after %s; want a look after %s more", rep.Left, *rep.Gone, settle)
	}
}
