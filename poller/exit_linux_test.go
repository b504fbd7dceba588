//go:build linux

package poller

import (
	"context"
	"testing"
)

// A process that ends leaves its descriptors to the kernel; all else is as it is otherwise.
func TestExitAfterClose(t *testing.T) {
	const n = 50
	for name, end := range map[string]func(*served) error{
		"Close":    func(s *served) error { return s.Close() },
		"Shutdown": func(s *served) error { return s.Shutdown(context.Background()) },
	} {
		for _, exits := range []bool{false, true} {
			s := start(t, &Server{ExitAfterClose: exits})
			clients := make([]*client, n)
			for i := range clients {
				clients[i] = s.dial(t)
				clients[i].get("/")
			}
			if err := end(s); err != nil {
				t.Errorf("%s = %v", name, err)
			}
			for _, c := range clients {
				c.wantReset()
			}
			s.assertGone(t)
			if rep := s.Report(); rep.Connections.Total() != n || !rep.Complete() || rep.Steps.Done == 0 {
				t.Errorf("%s: %s", name, rep)
			}
			if closed := s.run.closed.Load() == n; closed == exits {
				t.Errorf("%s with ExitAfterClose %v has closed %d of %d descriptors", name, exits, s.run.closed.Load(), n)
			}
			if exits {
				close(s.run.aborted) // this process does not end
				for _, l := range s.run.loops {
					<-l.ended
				}
			}
		}
	}
}
