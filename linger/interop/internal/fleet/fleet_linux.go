//go:build linux

package fleet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// A Served is a server under test, of whatever make.
type Served struct {
	*linger.Listener
	AddrPort netip.AddrPort
	// Shutdown is the server's own graceful stop.
	Shutdown func(context.Context) error
	// ended is closed when the server's Serve has returned.
	ended chan struct{}
	// handlers is how many handlers are in the middle of something.
	handlers atomic.Int64
	// Gate is closed when handlers that wait are to return.
	Gate chan struct{}
	open func() // of Gate
}

// Start has serve, the Serve of a server, use a Listener until the test's end.
func Start(t testing.TB, config linger.ListenConfig, serve func(*Served) error) *Served {
	t.Helper()
	ln, err := config.Listen(context.Background(), "tcp", sockdiagtest.OwnAddr(t, "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	return StartOn(t, ln, serve)
}

// StartOn is Start on a Listener that the caller has made.
func StartOn(t testing.TB, ln *linger.Listener, serve func(*Served) error) *Served {
	t.Helper()
	s := &Served{
		Listener: ln,
		AddrPort: ln.Addr().(*net.TCPAddr).AddrPort(),
		ended:    make(chan struct{}),
		Gate:     make(chan struct{}),
	}
	s.open = sync.OnceFunc(func() { close(s.Gate) })
	go func() {
		defer close(s.ended)
		_ = serve(s) // how it ends is not the same everywhere
	}()
	t.Cleanup(func() {
		s.open()
		_, _ = s.Abort()
		<-s.ended
		lingertest.Wait(t, "the end of all handlers", func() bool { return s.handlers.Load() == 0 })
	})
	return s
}

// Working counts a handler until the returned function is called.
func (s *Served) Working() (done func()) {
	s.handlers.Add(1)
	return func() { s.handlers.Add(-1) }
}

// Dial connects a client whose end is on record. It ends by RST, so that tests leave nothing behind.
func (s *Served) Dial() (*Recorder, error) {
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		// What a slow client does not read is to fill up soon.
		var err error
		_ = c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 16<<10) })
		return err
	}}
	c, err := d.Dial("tcp", s.AddrPort.String())
	if err != nil {
		return nil, err
	}
	if err := c.(*net.TCPConn).SetLinger(0); err != nil {
		return nil, err
	}
	return &Recorder{Conn: c, ended: make(chan struct{})}, nil
}

// A Recorder is a client's connection that notes how it ended.
type Recorder struct {
	net.Conn
	once  sync.Once
	ended chan struct{}
	err   error // of the read or write that failed first: the kernel tells once
}

func (r *Recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.note(err)
	return n, err
}

func (r *Recorder) Write(p []byte) (int, error) {
	n, err := r.Conn.Write(p)
	r.note(err)
	return n, err
}

func (r *Recorder) note(err error) {
	var timeout net.Error
	if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		return
	}
	r.once.Do(func() {
		r.err = err
		close(r.ended)
	})
}

// Wait returns the error with which the connection ended.
func (r *Recorder) Wait() error {
	select {
	case <-r.ended:
		return r.err
	case <-time.After(lingertest.Patience):
		return errNotTold
	}
}

var errNotTold = errors.New("the client was told nothing")

// A Client is one connection in a certain state. End returns what its user sees of the end of the connection, after
// that has happened, and frees what it holds.
type Client interface {
	End() error
}

// A State is a way to bring a connection into a state in which it stays.
type State struct {
	Name string
	Open func(t testing.TB, s *Served) (Client, error)
	// Handlers is how many handlers such a connection keeps busy.
	Handlers int64
	// Sending: the server has more to send than the client takes.
	Sending bool
}

// fleet is many connections in all states.
type fleet struct {
	states  []State // of each client
	clients []Client
}

// openFleet opens n connections, the states in turn, and waits until the server has all of them where they are to be.
func openFleet(t testing.TB, s *Served, n int, states []State) *fleet {
	t.Helper()
	f := &fleet{clients: make([]Client, n)}
	var busy int64
	sending := 0
	for i := range n {
		st := states[i%len(states)]
		f.states = append(f.states, st)
		busy += st.Handlers
		if st.Sending {
			sending++
		}
	}
	var opening sync.WaitGroup
	next := make(chan int)
	for range 16 {
		opening.Go(func() {
			for i := range next {
				var err error
				if f.clients[i], err = f.states[i].Open(t, s); err != nil {
					t.Errorf("%s: %v", f.states[i].Name, err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	opening.Wait()
	if t.Failed() {
		t.FailNow()
	}
	lingertest.Wait(t, "all connections in their states", func() bool {
		if s.Len() != n || s.handlers.Load() != busy {
			return false
		}
		unread, queued := 0, 0
		for info := range s.All() {
			unread += info.RecvQueue
			if info.SendQueue > 0 {
				queued++
			}
		}
		return unread == 0 && queued >= sending
	})
	return f
}

// wantReset fails unless each client is told by ECONNRESET.
func (f *fleet) wantReset(t testing.TB) {
	t.Helper()
	for i, err := range f.ends() {
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: the client saw %v, want ECONNRESET", f.states[i].Name, err)
		}
	}
}

func (f *fleet) ends() []error {
	errs := make([]error, len(f.clients))
	var ending sync.WaitGroup
	for i, c := range f.clients {
		ending.Go(func() { errs[i] = c.End() })
	}
	ending.Wait()
	return errs
}

// wantFree fails unless no socket of any state is on the port, and it can be bound.
func (s *Served) wantFree(t testing.TB) {
	t.Helper()
	if counts, _, err := sockdiag.Count(s.AddrPort.Port()); err != nil || counts.Total() != 0 {
		t.Errorf("left on the port: %v, %v\n%s", counts, err, lingertest.Leftover(s.AddrPort.Port()))
	}
	if err := linger.CheckFree(s.AddrPort); err != nil {
		t.Errorf("the port is not free: %v", err)
	}
}

// AbortsAll is the test that every server has to pass: n connections in all states are reset; nothing is asked of the server.
func AbortsAll(t *testing.T, s *Served, n int, states []State) {
	t.Helper()
	f := openFleet(t, s, n, states)
	rep, err := s.Abort()
	if want := (linger.Tally{linger.Open: n}); err != nil || rep.Connections != want || !rep.Complete() || !rep.Left.Free() {
		t.Errorf("Abort = %v, %v, want %d connections aborted, and a free port", rep, err, n)
	}
	s.wantFree(t)
	f.wantReset(t)
	// Handlers that wait for the end of their connection, or of their request, have returned; the others are let go.
	s.open()
	<-s.ended
	lingertest.Wait(t, "the end of all handlers", func() bool { return s.handlers.Load() == 0 })
	s.wantFree(t)
}

// DrainsAll is the test that every server has to pass: at the deadline of a drain that never ends by itself, what is in the
// middle of something is reset; what was idle has been ended in order by the server.
func DrainsAll(t *testing.T, s *Served, states []State) {
	t.Helper()
	const each = 3
	f := openFleet(t, s, each*len(states), states)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	var rep linger.Report
	var err error
	go func() {
		defer close(done)
		rep, err = s.Drain(ctx, s.Shutdown)
	}()
	// The server ends by itself what is idle; what is in a handler stays.
	busy := 0
	for _, st := range f.states {
		if st.Handlers > 0 {
			busy++
		}
	}
	lingertest.Wait(t, "what the server's own stop ends", func() bool {
		return s.Report().Steps.Refused > 0 && s.Len() <= f.notIdle()
	})
	if _, e := net.Dial("tcp", s.AddrPort.String()); !errors.Is(e, syscall.ECONNREFUSED) {
		t.Errorf("during the drain a client got %v, want ECONNREFUSED", e)
	}
	cancel()
	<-done
	if !errors.Is(err, context.Canceled) || rep.Mode != linger.ModeDrain || !rep.Complete() || rep.AtDeadline.Total() < busy ||
		rep.Connections.Total()+rep.Closed != len(f.clients) || rep.Left.Others.Total() != 0 {
		t.Errorf("Drain = %v, %v, want at least %d of %d cut at the deadline", rep, err, busy, len(f.clients))
	}
	for i, err := range f.ends() {
		if f.states[i].Handlers > 0 && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: the client saw %v, want ECONNRESET", f.states[i].Name, err)
		}
	}
}

// notIdle is how many connections the server's stop may not take for idle: those in handlers, and those that have not sent a
// whole request.
func (f *fleet) notIdle() int {
	n := 0
	for _, st := range f.states {
		if st.Name != "idle" {
			n++
		}
	}
	return n
}

// EndsAll drains a server whose own stop does not end everything, and has the deadline come once the port refuses. Its clients are
// told then, by whatever their connection ended with, and nothing is left but what that stop has closed.
func EndsAll(t *testing.T, s *Served, n int, states []State) {
	t.Helper()
	f := openFleet(t, s, n, states)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	var rep linger.Report
	var err error
	go func() {
		defer close(done)
		rep, err = s.Drain(ctx, s.Shutdown)
	}()
	lingertest.Wait(t, "a port that refuses", func() bool { return s.Report().Steps.Refused > 0 })
	cancel()
	<-done
	if err != nil && !errors.Is(err, context.Canceled) || rep.Mode != linger.ModeDrain || !rep.Complete() || rep.Left.Others.Total() != 0 ||
		rep.Connections.Total()+rep.Closed != len(f.clients) {
		t.Errorf("Drain = %v, %v, want the end of %d", rep, err, len(f.clients))
	}
	for i, err := range f.ends() {
		if errors.Is(err, errNotTold) {
			t.Errorf("%s: %v", f.states[i].Name, err)
		}
	}
	s.open()
	<-s.ended
}

// A finisher is a client that can tell whether it got all of its answers.
type finisher interface {
	Client
	Whole() error
}

// FinishesInDrain is the test that every server has to pass: what handlers are at work on when a drain begins arrives whole,
// and nobody is reset.
func FinishesInDrain(t *testing.T, s *Served, states []State) {
	t.Helper()
	f := openFleet(t, s, 3*len(states), states)
	done := make(chan struct{})
	var rep linger.Report
	var err error
	go func() {
		defer close(done)
		rep, err = s.Drain(context.Background(), s.Shutdown)
	}()
	lingertest.Wait(t, "a port that refuses", func() bool { return s.Report().Steps.Refused > 0 })
	s.open()
	for i, c := range f.clients {
		if err := c.(finisher).Whole(); err != nil {
			t.Errorf("%s: the client's answer ended with %v", f.states[i].Name, err)
		}
	}
	<-done
	if err != nil || rep.Closed != len(f.clients) || rep.Connections.Total() != 0 || !rep.Complete() {
		t.Errorf("Drain = %v, %v, want %d closed in order", rep, err, len(f.clients))
	}
}
