//go:build linux

package poller

import (
	"testing"

	"rstserver/internal/lingertest"
)

// Who waited in the queue and was reset with it is counted, but not those who wait in the queue of a socket that others hold.
func TestQueuedAreCounted(t *testing.T) {
	for _, shared := range []bool{false, true} {
		ln := listenAlone(t)
		if shared {
			lingertest.HoldElsewhere(t, ln)
		}
		s := startOn(t, &Server{Loops: 1, MaxConns: 1, Shared: shared}, ln)
		c := s.dial(t)
		c.get("/")
		var waiting []*client
		for range 3 {
			waiting = append(waiting, s.dial(t))
		}
		lingertest.Must(t, s.Close())
		rep := s.Report()
		taken := rep.Connections.Total() - 1 // one may have been accepted before the loop paused
		want := len(waiting) - taken
		if shared {
			want = 0
		}
		if rep.Queued != want || taken > 1 {
			t.Errorf("%d are reset in the queue, want %d: %s", rep.Queued, want, rep)
		}
		if !shared {
			for _, c := range waiting {
				c.wantReset()
			}
		}
	}
}
