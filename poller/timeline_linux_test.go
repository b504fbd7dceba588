//go:build linux

package poller

import (
	"context"
	"testing"
	"time"

	"rstserver/internal/latch"
	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// wantLast sends a request and fails unless its answer says that it is the last.
func (c *client) wantLast(when string) {
	c.t.Helper()
	c.send("GET /free HTTP/1.1\r\nHost: x\r\n\r\n")
	if res, _ := c.answer("GET"); res.StatusCode != 200 || !res.Close {
		c.t.Errorf("%s the answer is %s, close %v, want the connection's last", when, res.Status, res.Close)
	}
	_ = c.Close()
}

// While a Shutdown is delayed, clients can still connect; every answer is a last one, and who asks for nothing stays.
func TestDelay(t *testing.T) {
	s := start(t, &Server{Handler: newGate(), Delay: time.Hour})
	clients := idleConnections(t, s, 2)
	ctx, cancel := context.WithCancel(context.Background())
	result := s.shutdown(t, ctx)
	s.dial(t).wantLast("in the delay")
	clients[0].wantLast("in the delay")
	lingertest.Wait(t, "those have ended", func() bool { return s.Report().Connections == linger.Tally{linger.Idle: 1} })
	if latch.IsClosed(s.run.refused) {
		t.Error("the port was given up")
	}
	cancel()
	if err := wait(t, "Shutdown", result); err != context.Canceled {
		t.Errorf("Shutdown = %v", err)
	}
	clients[1].wantReset()
	s.assertGone(t)
}

// In the time of the lame duck, which a Release can come before, idle connections are kept for one request.
func TestLameDuck(t *testing.T) {
	for _, released := range []bool{false, true} {
		s := start(t, &Server{Handler: newGate(), LameDuck: time.Hour})
		clients := idleConnections(t, s, 2)
		if released {
			lingertest.Must(t, s.Release())
		}
		ctx, cancel := context.WithCancel(context.Background())
		result := s.shutdown(t, ctx)
		<-s.run.settled
		clients[0].wantLast("as a lame duck")
		lingertest.Wait(t, "it has ended", func() bool { return s.Report().Connections == linger.Tally{linger.Idle: 1} })
		cancel()
		if err := wait(t, "Shutdown", result); err != context.Canceled {
			t.Errorf("Shutdown = %v", err)
		}
		clients[1].wantReset()
		s.assertGone(t)
	}
}

// The time of the lame duck is over with the last connection, and its end is that of the idle ones.
func TestLameDuckEnds(t *testing.T) {
	s := start(t, &Server{Handler: newGate(), LameDuck: time.Hour})
	clients := idleConnections(t, s, 2)
	result := s.shutdown(t, context.Background())
	for _, c := range clients {
		c.wantLast("as a lame duck")
	}
	if err := wait(t, "Shutdown", result); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	s.assertGone(t)

	s = start(t, &Server{Handler: newGate(), Delay: time.Millisecond, LameDuck: time.Millisecond, Spread: time.Millisecond})
	clients = idleConnections(t, s, 2)
	result = s.shutdown(t, context.Background())
	for _, c := range clients {
		c.wantReset()
	}
	if err := wait(t, "Shutdown", result); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	s.assertGone(t)
}

// A client that has only just connected has its request answered. One that sends none does not hold the Shutdown up.
func TestQueue(t *testing.T) {
	s := start(t, &Server{Handler: newGate(), Queue: lingertest.Patience})
	c := s.dial(t)
	accepted := func() bool {
		all := s.Report().Connections
		return all[linger.New]+all[linger.Handshake] == 1
	}
	lingertest.Wait(t, "it is accepted", accepted)
	result := s.shutdown(t, context.Background())
	<-s.run.settled
	c.wantLast("to a client that has just come")
	if err := wait(t, "Shutdown", result); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	s.assertGone(t)

	for _, srv := range []*Server{{Queue: time.Millisecond}, {Queue: -1}, {Queue: time.Hour, HeaderTimeout: -1, HandshakeTimeout: -1}} {
		srv.Handler = newGate()
		s = start(t, srv)
		c = s.dial(t)
		lingertest.Wait(t, "it is accepted", accepted)
		result = s.shutdown(t, context.Background())
		c.wantReset()
		if err := wait(t, "Shutdown", result); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		s.assertGone(t)
	}
}
