//go:build linux

package poller

import (
	"context"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/linger/sockdiag"
)

// Clients that wait in the accept queue, since the server holds as many as it may, are taken in before the port is given up, and
// get their answers.
func TestWhoWaitsIsTakenInFirst(t *testing.T) {
	const most, n = 20, 300
	tests := map[string]func(s *served) error{
		"Shutdown": func(s *served) error { return s.Shutdown(context.Background()) },
		"Release":  (*served).release,
	}
	for name, letGo := range tests {
		for range lingertest.Times(3, 60) {
			whoWaits(t, name, letGo, most, n)
		}
	}
}

func whoWaits(t *testing.T, name string, letGo func(s *served) error, most, n int) {
	t.Run(name, func(t *testing.T) {
		s := start(t, &Server{Loops: 8, MaxConns: most})
		var clients []*client
		for range most {
			c := s.dial(t)
			c.get("/")
			clients = append(clients, c)
		}
		lingertest.Wait(t, "accepting pauses", s.run.admission.paused.Load)
		for range n - most {
			clients = append(clients, s.dial(t))
		}
		for _, c := range clients {
			c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		}
		// All of them are on the port, and have sent what they have to say.
		lingertest.Wait(t, "all have connected", func() bool {
			counts, _, err := sockdiag.Count(s.addr.Port())
			return err == nil && counts[sockdiag.Established] == n
		})
		result := make(chan error, 1)
		go func() { result <- letGo(s) }()
		answered := 0
		for _, c := range clients {
			if res, _ := c.answer("GET"); res.StatusCode == 200 {
				answered++
			}
			_ = c.Close()
		}
		if answered != n {
			t.Errorf("%d of %d clients were answered", answered, n)
		}
		if err := wait(t, name, result); err != nil {
			t.Errorf("%s = %v", name, err)
		}
	})
}

func (s *served) release() error { return s.Release() }

// A loop that is busy for longer than the queue may stand still where descriptors are short takes in who waits all the same.
func TestWhoWaitsForABusyLoopIsTakenIn(t *testing.T) {
	s := start(t, &Server{Loops: 1})
	result := make(chan error, 1)
	var c *client
	s.hold(t, func() {
		c = s.dial(t)
		c.send(getRoot)
		go func() { result <- s.Release() }()
		lingertest.Wait(t, "the server lets go", func() bool { return s.run.lettingGo() })
		time.Sleep(3 * queuePatience)
	})
	c.answer("GET")
	c.Close()
	if err := wait(t, "Release", result); err != nil {
		t.Errorf("Release = %v", err)
	}
}
