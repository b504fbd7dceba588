//go:build linux

package linger

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

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

func inBubble(t *testing.T, spread Spread, f func(t *testing.T, p *paced)) {
	p := &paced{listening: trackedOn4(t, ListenConfig{Spread: spread})}
	for range pacedConnections {
		client, conn := p.pair(t)
		p.clients, p.conns = append(p.clients, client), append(p.conns, conn)
	}
	synctest.Test(t, func(t *testing.T) {
		// A channel of the bubble, so that waiting for it counts as waiting.
		l, err := ListenConfig{Spread: spread}.Wrap(p.TCPListener)
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

func TestSpread(t *testing.T) {
	inBubble(t, Spread{Window: 10 * time.Second}, func(t *testing.T, p *paced) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		began := time.Now()
		e := p.drainInBackground(ctx, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		time.Sleep(19 * time.Second)
		p.wantLeft(t, "before the window", pacedConnections)
		for i := range 10 {
			time.Sleep(time.Second)
			p.wantLeft(t, "within the window", pacedConnections-10*i)
		}
		<-e.done
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("it took %v, want no more than the deadline", took)
		}
		if want := (Tally{Open: pacedConnections}); !errors.Is(e.err, context.DeadlineExceeded) || e.rep.AtDeadline != want || e.rep.Connections != want ||
			!e.rep.Complete() || e.rep.Closed != 0 {
			t.Errorf("Drain = %+v, %v, want %v at the deadline", e.rep, e.err, want)
		}
	})
}

// The end of the window comes before the end of the stop: what the stop waits for is gone then.
func TestSpreadThenStopped(t *testing.T) {
	inBubble(t, Spread{Window: 10 * time.Second}, func(t *testing.T, p *paced) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		e := p.drainInBackground(ctx, func(context.Context) error {
			for p.Len() > 0 {
				time.Sleep(time.Millisecond)
			}
			return nil
		})
		<-e.done
		if !errors.Is(e.err, context.DeadlineExceeded) || e.rep.AtDeadline != (Tally{Open: pacedConnections}) || !e.rep.Complete() {
			t.Errorf("Drain = %+v, %v, want all cut, and an error that says so", e.rep, e.err)
		}
	})
}

// Without a deadline the window is the deadline, for a stop that does not return too.
func TestSpreadWithoutDeadline(t *testing.T) {
	inBubble(t, Spread{Window: 10 * time.Second}, func(t *testing.T, p *paced) {
		began := time.Now()
		forever := make(chan struct{})
		e := p.drainInBackground(t.Context(), func(context.Context) error { <-forever; return nil })
		time.Sleep(5 * time.Second)
		p.wantLeft(t, "in the middle", pacedConnections/2)
		<-e.done
		if took := time.Since(began); took > 10*time.Second+shutdownPatience {
			t.Errorf("it took %v, want the window and the patience", took)
		}
		if !errors.Is(e.err, context.DeadlineExceeded) || !errors.Is(e.err, ErrShutdownRunning) || e.rep.AtDeadline.Total() != pacedConnections {
			t.Errorf("Drain = %+v, %v", e.rep, e.err)
		}
		close(forever)
	})
}

// A cancelled context, or an Abort, is the hard end in the middle of a window.
func TestSpreadCutShort(t *testing.T) {
	for _, abort := range []bool{false, true} {
		inBubble(t, Spread{Window: 10 * time.Second}, func(t *testing.T, p *paced) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			e := p.drainInBackground(ctx, nil)
			time.Sleep(5 * time.Second)
			p.wantLeft(t, "in the middle", pacedConnections/2)
			if abort {
				_, err := p.Abort()
				lingertest.Must(t, err)
			} else {
				cancel()
			}
			<-e.done
			if p.Len() != 0 || e.rep.AtDeadline != (Tally{Open: pacedConnections}) || !e.rep.Complete() {
				t.Errorf("Drain = %+v, %v, and %d are left", e.rep, e.err, p.Len())
			}
			if abort == errors.Is(e.err, context.Canceled) {
				t.Errorf("Drain = %v (an Abort: %v)", e.err, abort)
			}
		})
	}
}

// Idle connections end first, over a window that begins with the drain, and the server's stop comes behind it. Those that are
// not idle are left to it.
func TestSpreadIdle(t *testing.T) {
	// The kernel's clock is the machine's: to it all of this is one moment. Connections are as idle as can be seen then.
	inBubble(t, Spread{Window: 10 * time.Second, Idle: 1}, func(t *testing.T, p *paced) {
		waitIdle(t, p)
		const busy = 20
		for _, conn := range p.conns[:busy] {
			say(t, conn.NetConn(), "x") // to a client that does not read: acknowledged
		}
		for _, client := range p.clients[:busy] {
			say(t, client, "x") // never read
		}
		called := make(chan time.Time, 1)
		began := time.Now()
		e := p.drainInBackground(t.Context(), func(context.Context) error { called <- time.Now(); return nil })
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got, most := p.Len(), pacedConnections-(pacedConnections-busy)/2+15; got >= most || got < busy {
			t.Errorf("in the middle of the first window %d are left, want less than %d", got, most)
		}
		if at := <-called; at.Sub(began) < 9*time.Second || at.Sub(began) > 10*time.Second {
			t.Errorf("the stop was called after %v, want the end of the first window", at.Sub(began))
		}
		p.wantLeft(t, "behind the first window", busy)
		<-e.done
		if !errors.Is(e.err, context.DeadlineExceeded) || e.rep.AtDeadline != (Tally{Open: busy}) || e.rep.Connections != (Tally{Open: pacedConnections}) {
			t.Errorf("Drain = %+v, %v, want %d cut at the deadline, and the others before", e.rep, e.err, busy)
		}
	})
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

// When nobody is left, a drain does not wait for the windows.
func TestSpreadNobody(t *testing.T) {
	l := trackedOn4(t, ListenConfig{Spread: Spread{Window: time.Hour, Idle: time.Hour}})
	l.acceptAll(t)
	called := false
	rep, err := l.Drain(context.Background(), func(context.Context) error { called = true; return l.Listener.Close() })
	if err != nil || !called || !rep.Complete() || rep.Connections.Total() != 0 {
		t.Errorf("Drain = %+v, %v, called: %v", rep, err, called)
	}
}
