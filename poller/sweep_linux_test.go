//go:build linux

package poller

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// dialFrom connects from a certain address, or fails with EADDRINUSE.
func (s *served) dialFrom(from netip.AddrPort) (*net.TCPConn, error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(from)}
	c, err := d.Dial("tcp", s.addr.String())
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(lingertest.Patience))
	return c.(*net.TCPConn), nil
}

// leaveTimeWait makes n connections that the server closes first, and returns the addresses that they came from.
func (s *served) leaveTimeWait(t testing.TB, n int) (from []netip.AddrPort) {
	t.Helper()
	lingertest.DialEach(t, s.addr, n, func(c *net.TCPConn) {
		_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		lingertest.Must(t, err)
		_, err = io.ReadAll(c)
		lingertest.Must(t, err)
		c.Close()
		from = append(from, c.LocalAddr().(*net.TCPAddr).AddrPort())
	})
	lingertest.Wait(t, "all are in TIME_WAIT", func() bool { return sockdiagtest.Closed(t, s.addr.Port()) == n })
	return from
}

// wantSwept fails unless the teardown is complete and has destroyed so much.
func (s *served) wantSwept(t testing.TB, destroyed int) {
	t.Helper()
	rep := s.Report()
	if rep.Swept == nil || *rep.Swept != (linger.Swept{Destroyed: destroyed}) || !rep.Complete() {
		t.Errorf("swept %+v, want %d destroyed:\n%s", rep.Swept, destroyed, rep)
	}
}

func TestSweepOfThousands(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	n := lingertest.Times(1000, 5000)
	s := start(t, &Server{Sweep: true})
	s.leaveTimeWait(t, n)
	idle := s.dial(t)
	idle.get("/")
	if err := s.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	// At once, without SO_REUSEADDR.
	if err := linger.CheckFree(s.addr); err != nil {
		t.Errorf("the port is not free: %v", err)
	}
	s.wantSwept(t, n)
	if rep := s.Report(); !rep.Left.Free() {
		t.Errorf("Report() = %s", rep)
	}
	s.assertGone(t)
	idle.wantReset()
}

func TestSweepIsOffByDefault(t *testing.T) {
	s := start(t, &Server{})
	s.leaveTimeWait(t, 1)
	if err := s.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	if rep := s.Report(); rep.Swept != nil || rep.Left.Residue[sockdiag.TimeWait] != 1 {
		t.Errorf("Report() = %s", rep)
	}
}

func TestSweepAfterDrain(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	g := newGate()
	s := start(t, &Server{Handler: g, Sweep: true})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-g.entered
	drained := s.shutdown(t, context.Background())
	close(g.open)
	if res, body := c.answer("GET"); !res.Close || body != "through the gate" {
		t.Errorf("answer = %v, %q", res, body)
	}
	c.Close() // the client first, so TIME_WAIT is its own
	if err := wait(t, "Shutdown", drained); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	s.wantSwept(t, 0)
	s.assertGone(t)
}

// TestSweepOfHijacked: a handler closes its connection, and the client does not.
func TestSweepOfHijacked(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	s := start(t, &Server{Sweep: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(c, "goodbye")
		c.Close()
	})})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if got, err := c.ended(); got != "goodbye" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	lingertest.Wait(t, "FIN_WAIT2", func() bool { return s.peerState(t, c) == "FIN_WAIT2" })
	if err := s.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	s.wantSwept(t, 1)
	s.assertGone(t)
}

// TestSweepSparesSuccessor: a server that has released its port ends while its heir serves, also clients that come from
// the very ports of connections that the first had closed.
func TestSweepSparesSuccessor(t *testing.T) {
	plain(t, "its clients connect by themselves")
	sockdiagtest.NeedDestroy(t)
	const n = 400
	first := start(t, &Server{Sweep: true})
	from := first.leaveTimeWait(t, n)
	last := first.dial(t)
	last.get("/")
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	ln, err := Listen(context.Background(), first.addr.String(), false)
	if err != nil {
		t.Fatal(err)
	}
	heir := startOn(t, &Server{}, ln)

	// A quarter of the ports is taken up by connections that stay, another by such as come and go all the time.
	stay, comeAndGo := from[:n/4], from[n/4:n/2]
	var held []*client
	for _, f := range stay {
		c, err := heir.dialFrom(f)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.SetLinger(0); c.Close() })
		held = append(held, &client{TCPConn: c, t: t, in: bufio.NewReader(c)})
		held[len(held)-1].get("/")
	}
	var stop atomic.Bool
	var rounds atomic.Int64
	var storm sync.WaitGroup
	for i := range 2 {
		storm.Go(func() {
			for !stop.Load() {
				for k := i; k < len(comeAndGo); k += 2 {
					if err := heir.roundTrip(comeAndGo[k]); err != nil {
						t.Errorf("a client of the heir: %v", err)
						return
					}
				}
				rounds.Add(1)
			}
		})
	}
	aRound := func() {
		now := rounds.Load()
		lingertest.Wait(t, "the heir's clients have come and gone", func() bool { return rounds.Load() > now+2 || t.Failed() })
	}
	aRound()
	last.Close() // the last connection of the first server
	if err := first.wait(t); !errors.Is(err, ErrServerClosed) {
		t.Errorf("Serve = %v", err)
	}
	aRound()
	stop.Store(true)
	storm.Wait()
	for _, c := range held {
		c.get("/")
	}
	// What the heir's clients have taken up was no TIME_WAIT any more.
	first.wantSwept(t, n/2)
}

// roundTrip makes one request on a connection of its own, which it resets, so that its port can be used again at once.
func (s *served) roundTrip(from netip.AddrPort) error {
	c, err := s.dialFrom(from)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetLinger(0)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// TestSweepBesideSibling: two servers share the port from the start, and one ends.
func TestSweepBesideSibling(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	ln, err := Listen(context.Background(), "127.0.0.1:0", true)
	if err != nil {
		t.Fatal(err)
	}
	ln2, err := Listen(context.Background(), ln.Addr().String(), true)
	if err != nil {
		t.Fatal(err)
	}
	var closed, closed2 atomic.Int64
	one := startOn(t, &Server{Sweep: true, ConnClosed: func(Conn) { closed.Add(1) }}, ln)
	two := startOn(t, &Server{ConnClosed: func(Conn) { closed2.Add(1) }}, ln2)
	const n = 100
	one.leaveTimeWait(t, n) // of both, as the kernel deals them out
	lingertest.Wait(t, "all are closed", func() bool { return closed.Load()+closed2.Load() == n })
	ours := int(closed.Load())
	if err := one.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	one.wantSwept(t, ours)
	if got := one.Report().Left.Residue[sockdiag.TimeWait]; got != n-ours {
		t.Errorf("%d in TIME_WAIT are left, want the sibling's %d of %d", got, n-ours, n)
	}
	two.dial(t).get("/")
}
