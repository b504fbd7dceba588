//go:build linux

package poller

import (
	"context"
	"net/http"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// idleConnections opens n connections that each had one request, half of them by way of the loop.
func idleConnections(t *testing.T, s *served, n int) []*client {
	t.Helper()
	var clients []*client
	for range n {
		c := s.dial(t)
		c.get("/free")
		clients = append(clients, c)
	}
	// A handler gives its connection back behind its answer.
	lingertest.Wait(t, "all are idle", func() bool { return s.Report().Connections == linger.Tally{linger.Idle: n} })
	return clients
}

func TestSpread(t *testing.T) {
	const n = 50
	s := start(t, &Server{Handler: newGate(), Spread: 100 * time.Millisecond})
	clients := idleConnections(t, s, n)
	if err := wait(t, "Shutdown", s.shutdown(t, context.Background())); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	for _, c := range clients {
		c.wantReset()
	}
	s.assertGone(t)
	if rep := s.Report(); rep.Connections != (linger.Tally{linger.Idle: n}) || rep.AtDeadline.Total() != 0 || !rep.Complete() {
		t.Errorf("report = %s", rep)
	}
}

// The turns are spread evenly over the window. A connection that gets a request before its turn has it answered; the end of
// the context is the end of the others.
func TestSpreadIsEven(t *testing.T) {
	const n, window = 40, time.Hour
	s := start(t, &Server{Loops: 1, Handler: newGate(), Spread: window})
	clients := idleConnections(t, s, n)
	ctx, cancel := context.WithCancel(context.Background())
	result := s.shutdown(t, ctx)
	<-s.run.refused
	deadlines := make(chan []time.Duration)
	l := s.run.loops[0]
	lingertest.Wait(t, "the turns are planned", func() bool {
		l.post(func() {
			var all []time.Duration
			for c := l.lists[turnTimeout].first; c != nil; c = c.next {
				all = append(all, c.deadline-l.clock.now)
			}
			deadlines <- all
		})
		all := <-deadlines
		for i, at := range all {
			// One in each slot, give or take how long this took to be looked at.
			slot := window / n
			if from := time.Duration(i) * slot; at < from-time.Minute || at > from+slot+time.Minute {
				t.Errorf("turn %d is in %s, want within %s and %s", i, at, from, from+slot)
			}
		}
		return len(all) >= n-1 // the first turn may have come
	})
	answered := 0
	for _, c := range clients[:3] {
		c.send("GET /free HTTP/1.1\r\nHost: x\r\n\r\n")
		res, err := http.ReadResponse(c.in, nil)
		if err != nil {
			continue // its turn was the first
		}
		if res.StatusCode != 200 || !res.Close {
			t.Errorf("answer before its turn = %s, close %v", res.Status, res.Close)
		}
		answered++
		_ = c.Close()
	}
	if answered < 2 {
		t.Errorf("%d of 3 requests before the turn were answered", answered)
	}
	cancel()
	for _, c := range clients[3:] {
		c.wantReset()
	}
	if err := wait(t, "Shutdown", result); err != context.Canceled {
		t.Errorf("Shutdown = %v", err)
	}
	s.assertGone(t)
}
