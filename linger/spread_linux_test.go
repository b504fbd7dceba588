//go:build linux

package linger

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"rstserver/internal/latch"
	"rstserver/internal/lingertest"
)

// paced is a Drain with a Spread in a bubble of testing/synctest, where time passes when all wait, and none of it is the
// machine's. Whoever waits for a socket does not count as waiting, so nobody does: the test accepts beforehand, and looks how
// many are left.
type paced struct {
	*listening
	clients []*net.TCPConn
	conns   []*Conn
}

const pacedConnections = 100

func inBubble(t *testing.T, config ListenConfig, f func(t *testing.T, p *paced)) {
	config.Queue = -1 // it counts by the machine's time, too
	p := &paced{listening: trackedOn4(t, config)}
	for range pacedConnections {
		client, conn := p.pair(t)
		p.clients, p.conns = append(p.clients, client), append(p.conns, conn)
	}
	synctest.Test(t, func(t *testing.T) {
		// A channel of the bubble, so that waiting for it counts as waiting.
		l, err := config.Wrap(p.TCPListener)
		lingertest.Must(t, err)
		for i, c := range p.conns {
			nc, err := l.track(c.tcpConn)
			lingertest.Must(t, err)
			p.conns[i] = nc.(*Conn)
		}
		p.Listener = l
		f(t, p)
		for _, c := range p.conns {
			c.Close() // here, as the garbage collector would do it outside of the bubble
		}
	})
	for _, client := range p.clients {
		wantReset(t, client)
	}
	p.wantFree(t)
}

// wantLeft fails unless about n connections are left, as the even rate has it.
func (p *paced) wantLeft(t *testing.T, when string, n int) {
	t.Helper()
	synctest.Wait()
	if got := p.Len(); got < n-1 || got > n+1 {
		t.Errorf("%s: %d connections are left, want %d or a neighbour", when, got, n)
	}
}

// The parts come one after the other: the port is given up behind the delay, nobody is ended before the spread, and the server's stop
// comes behind it. Those who are not idle are left to it.
func TestTimeline(t *testing.T) {
	config := ListenConfig{Delay: 5 * time.Second, LameDuck: 20 * time.Second, Spread: 10 * time.Second, Idle: 1}
	inBubble(t, config, func(t *testing.T, p *paced) {
		waitIdle(t, p)
		const busy = 20
		for i := range busy {
			say(t, p.clients[i], "x") // never read
		}
		called := make(chan time.Time, 1)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		e := p.drainInBackground(ctx, func(context.Context) error { called <- time.Now(); return nil })
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if latch.IsClosed(p.refused) {
			t.Error("the port was given up before the delay is over")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !latch.IsClosed(p.refused) {
			t.Error("the port was not given up behind the delay")
		}
		time.Sleep(18 * time.Second)
		p.wantLeft(t, "in the time of the lame duck", pacedConnections)
		time.Sleep(6 * time.Second) // the middle of the spread
		synctest.Wait()
		if got := p.Len(); got > pacedConnections-(pacedConnections/2-busy)+1 || got < pacedConnections/2-1 {
			t.Errorf("in the middle of the spread %d connections are left", got)
		}
		if at := (<-called).Sub(began); at < 34*time.Second || at > 36*time.Second {
			t.Errorf("the stop was called after %v, want the end of the spread", at)
		}
		p.wantLeft(t, "behind the spread", busy)
		<-e.done
		if took := time.Since(began); took < time.Minute || took > time.Minute+time.Second {
			t.Errorf("it took %v, want the time until the deadline", took)
		}
		if !errors.Is(e.err, context.DeadlineExceeded) || e.rep.AtDeadline != (Tally{Open: busy}) || e.rep.Connections != (Tally{Open: pacedConnections}) ||
			!e.rep.Complete() || e.rep.Closed != 0 {
			t.Errorf("Drain = %+v, %v, want %d cut at the deadline, and the others before", e.rep, e.err, busy)
		}
	})
}

// The rate of a spread is even, and the order random.
func TestSpread(t *testing.T) {
	inBubble(t, ListenConfig{Spread: 10 * time.Second, Idle: 1}, func(t *testing.T, p *paced) {
		waitIdle(t, p)
		e := p.drainInBackground(t.Context(), nil)
		for i := range 9 {
			time.Sleep(time.Second)
			p.wantLeft(t, "within the spread", pacedConnections-10*(i+1))
			if i == 4 {
				first := 0 // of the first half
				for _, c := range p.conns[:pacedConnections/2] {
					if c.state.Load() != phaseLive {
						first++
					}
				}
				if first < 10 || first > 40 { // with random order not once in a million
					t.Errorf("%d of %d that have ended are of the first half", first, pacedConnections/2)
				}
			}
		}
		<-e.done
		if want := (Tally{Open: pacedConnections}); e.err != nil || e.rep.Connections != want || e.rep.AtDeadline.Total() != 0 || !e.rep.Complete() {
			t.Errorf("Drain = %+v, %v, want all ended before the deadline", e.rep, e.err)
		}
	})
}

// Whatever part a drain is in, a cancelled context, or an Abort, is its end.
func TestTimelineCutShort(t *testing.T) {
	for _, tt := range []struct {
		part   string
		config ListenConfig
	}{
		{"delay", ListenConfig{Delay: 10 * time.Second}},
		{"lame duck", ListenConfig{LameDuck: 10 * time.Second}},
		{"spread", ListenConfig{Spread: 10 * time.Second}},
		{"stop", ListenConfig{}},
	} {
		for _, abort := range []bool{false, true} {
			inBubble(t, tt.config, func(t *testing.T, p *paced) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				e := p.drainInBackground(ctx, nil)
				time.Sleep(5 * time.Second)
				synctest.Wait()
				cut := p.Len()
				if abort {
					_, err := p.Abort()
					lingertest.Must(t, err)
				} else {
					cancel()
				}
				<-e.done
				atDeadline, byAbort := e.rep.AtDeadline, e.rep.ByAbort
				if abort {
					atDeadline, byAbort = byAbort, atDeadline
				}
				if p.Len() != 0 || atDeadline != (Tally{Open: cut}) || byAbort.Total() != 0 || e.rep.Connections.Total() != pacedConnections || !e.rep.Complete() {
					t.Errorf("%s: Drain = %+v, %v, and %d are left", tt.part, e.rep, e.err, p.Len())
				}
				if abort == errors.Is(e.err, context.Canceled) {
					t.Errorf("%s: Drain = %v (an Abort: %v)", tt.part, e.err, abort)
				}
			})
		}
	}
}

// waitIdle waits until the kernel's clock has moved on since the last connection came.
func waitIdle(t *testing.T, p *paced) {
	t.Helper()
	for idle := 0; idle < pacedConnections; {
		idle = 0
		for info := range p.All() {
			if info.Idle() > 0 {
				idle++
			}
		}
	}
}

// When nobody is left, a drain does not wait for its parts.
func TestSpreadNobody(t *testing.T) {
	l := trackedOn4(t, ListenConfig{LameDuck: time.Hour, Spread: time.Hour})
	l.acceptAll(t)
	called := false
	rep, err := l.Drain(context.Background(), func(context.Context) error { called = true; return l.Listener.Close() })
	if err != nil || !called || !rep.Complete() || rep.Connections.Total() != 0 {
		t.Errorf("Drain = %+v, %v, called: %v", rep, err, called)
	}
}
