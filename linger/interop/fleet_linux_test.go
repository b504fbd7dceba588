//go:build linux

package interop

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
	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// served is a server under test, of whatever make.
type served struct {
	*linger.Listener
	addr netip.AddrPort
	// shutdown is the server's own graceful stop.
	shutdown func(context.Context) error
	// ended is closed when the server's Serve has returned.
	ended chan struct{}
	// handlers is how many handlers are in the middle of something.
	handlers atomic.Int64
	// gate is closed when handlers that wait are to return.
	gate chan struct{}
	open func() // of gate
}

// start has serve, the Serve of a server, use a Listener until the test's end.
func start(t testing.TB, config linger.ListenConfig, serve func(*served) error) *served {
	t.Helper()
	ln, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &served{
		Listener: ln,
		addr:     ln.Addr().(*net.TCPAddr).AddrPort(),
		ended:    make(chan struct{}),
		gate:     make(chan struct{}),
	}
	s.open = sync.OnceFunc(func() { close(s.gate) })
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

// working counts a handler until the returned function is called.
func (s *served) working() (done func()) {
	s.handlers.Add(1)
	return func() { s.handlers.Add(-1) }
}

// dial connects a client whose end is on record. It ends by RST, so that tests leave nothing behind.
func (s *served) dial() (*recorder, error) {
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		// What a slow client does not read is to fill up soon.
		var err error
		_ = c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 16<<10) })
		return err
	}}
	c, err := d.Dial("tcp", s.addr.String())
	if err != nil {
		return nil, err
	}
	if err := c.(*net.TCPConn).SetLinger(0); err != nil {
		return nil, err
	}
	return &recorder{Conn: c, ended: make(chan struct{})}, nil
}

// recorder is a client's connection that notes how it ended.
type recorder struct {
	net.Conn
	once  sync.Once
	ended chan struct{}
	err   error // of the read or write that failed first: the kernel tells once
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.note(err)
	return n, err
}

func (r *recorder) Write(p []byte) (int, error) {
	n, err := r.Conn.Write(p)
	r.note(err)
	return n, err
}

func (r *recorder) note(err error) {
	var timeout net.Error
	if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		return
	}
	r.once.Do(func() {
		r.err = err
		close(r.ended)
	})
}

// wait returns the error with which the connection ended.
func (r *recorder) wait() error {
	select {
	case <-r.ended:
		return r.err
	case <-time.After(lingertest.Patience):
		return errors.New("the client was told nothing")
	}
}

// A client is one connection in a certain state. Its end returns what its user sees of the end of the connection, after
// that has happened, and frees what it holds.
type client interface {
	end() error
}

// A state is a way to bring a connection into a state in which it stays.
type state struct {
	name string
	open func(t testing.TB, s *served) (client, error)
	// handlers is how many handlers such a connection keeps busy.
	handlers int64
	// sending: the server has more to send than the client takes.
	sending bool
}

// fleet is many connections in all states.
type fleet struct {
	states  []state // of each client
	clients []client
}

// openFleet opens n connections, the states in turn, and waits until the server has all of them where they are to be.
func openFleet(t testing.TB, s *served, n int, states []state) *fleet {
	t.Helper()
	f := &fleet{clients: make([]client, n)}
	var busy int64
	sending := 0
	for i := range n {
		st := states[i%len(states)]
		f.states = append(f.states, st)
		busy += st.handlers
		if st.sending {
			sending++
		}
	}
	var opening sync.WaitGroup
	next := make(chan int)
	for range 16 {
		opening.Go(func() {
			for i := range next {
				var err error
				if f.clients[i], err = f.states[i].open(t, s); err != nil {
					t.Errorf("%s: %v", f.states[i].name, err)
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
			t.Errorf("%s: the client saw %v, want ECONNRESET", f.states[i].name, err)
		}
	}
}

func (f *fleet) ends() []error {
	errs := make([]error, len(f.clients))
	var ending sync.WaitGroup
	for i, c := range f.clients {
		ending.Go(func() { errs[i] = c.end() })
	}
	ending.Wait()
	return errs
}

// wantFree fails unless no socket of any state is on the port, and it can be bound.
func (s *served) wantFree(t testing.TB) {
	t.Helper()
	if counts, _, err := sockdiag.Count(s.addr.Port()); err != nil || counts.Total() != 0 {
		t.Errorf("left on the port: %v, %v\n%s", counts, err, lingertest.Leftover(s.addr.Port()))
	}
	if err := linger.CheckFree(s.addr); err != nil {
		t.Errorf("the port is not free: %v", err)
	}
}

// abortsAll is the test that every server has to pass: n connections in all states are reset; nothing is asked of the server.
func abortsAll(t *testing.T, s *served, n int, states []state) {
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

// drainsAll is the test that every server has to pass: at the deadline of a drain that never ends by itself, what is in the
// middle of something is reset; what was idle has been ended in order by the server.
func drainsAll(t *testing.T, s *served, states []state) {
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
		rep, err = s.Drain(ctx, s.shutdown)
	}()
	// The server ends by itself what is idle; what is in a handler stays.
	busy := 0
	for _, st := range f.states {
		if st.handlers > 0 {
			busy++
		}
	}
	lingertest.Wait(t, "what the server's own stop ends", func() bool {
		return s.Report().Steps.Refused > 0 && s.Len() <= f.notIdle()
	})
	if _, e := net.Dial("tcp", s.addr.String()); !errors.Is(e, syscall.ECONNREFUSED) {
		t.Errorf("during the drain a client got %v, want ECONNREFUSED", e)
	}
	cancel()
	<-done
	if !errors.Is(err, context.Canceled) || rep.Mode != linger.ModeDrain || !rep.Complete() || rep.AtDeadline.Total() < busy ||
		rep.Connections.Total()+rep.Closed != len(f.clients) || rep.Left.Others.Total() != 0 {
		t.Errorf("Drain = %v, %v, want at least %d of %d cut at the deadline", rep, err, busy, len(f.clients))
	}
	for i, err := range f.ends() {
		if f.states[i].handlers > 0 && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: the client saw %v, want ECONNRESET", f.states[i].name, err)
		}
	}
}

// notIdle is how many connections the server's stop may not take for idle: those in handlers, and those that have not sent a
// whole request.
func (f *fleet) notIdle() int {
	n := 0
	for _, st := range f.states {
		if st.name != "idle" {
			n++
		}
	}
	return n
}

// A finisher is a client that can tell whether it got all of its answers.
type finisher interface {
	client
	whole() error
}

// finishesInDrain is the test that every server has to pass: what handlers are at work on when a drain begins arrives whole,
// and nobody is reset.
func finishesInDrain(t *testing.T, s *served, states []state) {
	t.Helper()
	f := openFleet(t, s, 3*len(states), states)
	done := make(chan struct{})
	var rep linger.Report
	var err error
	go func() {
		defer close(done)
		rep, err = s.Drain(context.Background(), s.shutdown)
	}()
	lingertest.Wait(t, "a port that refuses", func() bool { return s.Report().Steps.Refused > 0 })
	s.open()
	for i, c := range f.clients {
		if err := c.(finisher).whole(); err != nil {
			t.Errorf("%s: the client's answer ended with %v", f.states[i].name, err)
		}
	}
	<-done
	if err != nil || rep.Closed != len(f.clients) || rep.Connections.Total() != 0 || !rep.Complete() {
		t.Errorf("Drain = %v, %v, want %d closed in order", rep, err, len(f.clients))
	}
}
