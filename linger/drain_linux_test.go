//go:build linux

package linger

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/latch"
	"rstserver/internal/lingertest"
)

// errStop is what a graceful stop of a test fails with.
var errStop = errors.New("the stop failed")

// ending is a Drain that runs.
type ending struct {
	done chan struct{}
	rep  Report
	err  error
}

func (l *Listener) drainInBackground(ctx context.Context, shutdown func(context.Context) error) *ending {
	e := &ending{done: make(chan struct{})}
	go func() {
		defer close(e.done)
		e.rep, e.err = l.Drain(ctx, shutdown)
	}()
	return e
}

// waitRefusing waits until the port refuses.
func (l *listening) waitRefusing(t testing.TB) {
	t.Helper()
	<-l.refused
	if c, err := net.Dial("tcp", l.addr.String()); err == nil {
		c.Close()
		t.Error("the port accepts a connection after it was given up")
	}
}

// Connections that end in order are not reset, and the drain ends with the last of them.
func TestDrainInOrder(t *testing.T) {
	l := trackedOn4(t, ListenConfig{Armed: true})
	conns, ended := l.acceptAll(t)
	clients := []*net.TCPConn{l.dial(t), l.dial(t)}
	lingertest.Wait(t, "two connections", func() bool { return l.Len() == 2 })

	called := make(chan context.Context, 1)
	e := l.drainInBackground(context.Background(), func(ctx context.Context) error {
		called <- ctx
		// What servers do: no listener, no new connections.
		return l.Listener.Close()
	})
	l.waitRefusing(t)
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v, want net.ErrClosed", err)
	}
	ctx := <-called
	for range clients {
		if latch.IsClosed(e.done) {
			t.Error("Drain returned while a connection was alive")
		}
		if rep := l.Report(); rep.Mode != ModeDrain || rep.Connections.Total() == 0 || rep.Steps.Done != 0 || rep.Steps.Refused == 0 {
			t.Errorf("meanwhile the report is %+v", rep)
		}
		c := <-conns
		say(t, c, "goodbye")
		lingertest.Must(t, c.Close())
	}
	<-e.done
	if e.err != nil || e.rep.Mode != ModeDrain || e.rep.Connections.Total() != 0 || e.rep.Closed != 2 || e.rep.AtDeadline.Total() != 0 ||
		!e.rep.Complete() || e.rep.Steps.Drained == 0 {
		t.Errorf("Drain = %+v, %v, want two closed in order", e.rep, e.err)
	}
	if ctx.Err() == nil {
		t.Error("the context of the stop lives on")
	}
	for _, client := range clients {
		wantWhole(t, client, "goodbye")
	}
	rep, err := l.Abort()
	if rep.Steps != e.rep.Steps || err != nil {
		t.Errorf("Abort afterwards = %+v, %v, want the same report", rep, err)
	}
	rep, err = l.Drain(context.Background(), func(context.Context) error { t.Error("called a second time"); return nil })
	if rep.Steps != e.rep.Steps || err != nil {
		t.Errorf("Drain afterwards = %+v, %v, want the same report", rep, err)
	}
}

// What a drain does about a graceful stop that fails, or does not return, or is none.
func TestDrainAtDeadline(t *testing.T) {
	forever := make(chan struct{})
	t.Cleanup(func() { close(forever) }) // when all subtests are through
	for _, tt := range []struct {
		name     string
		shutdown func(context.Context) error
		want     []error
		wantNot  []error
	}{
		{"waits for its context", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			[]error{context.DeadlineExceeded}, []error{ErrShutdownRunning}},
		{"returns at once", func(context.Context) error { return nil }, []error{context.DeadlineExceeded}, []error{ErrShutdownRunning}},
		{"fails", func(context.Context) error { return errStop }, []error{context.DeadlineExceeded, errStop}, nil},
		{"never returns", func(context.Context) error { <-forever; return nil }, []error{context.DeadlineExceeded, ErrShutdownRunning}, nil},
		{"ends its goroutine", func(context.Context) error { runtime.Goexit(); return nil }, []error{context.DeadlineExceeded}, nil},
		{"none", nil, []error{context.DeadlineExceeded}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := trackedOn4(t, ListenConfig{})
			_, ended := l.acceptAll(t)
			client := l.dial(t)
			lingertest.Wait(t, "a connection", func() bool { return l.Len() == 1 })
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			defer cancel()
			rep, err := l.Drain(ctx, tt.shutdown)
			for _, want := range tt.want {
				if !errors.Is(err, want) {
					t.Errorf("Drain = %v, want one that wraps %v", err, want)
				}
			}
			for _, not := range tt.wantNot {
				if errors.Is(err, not) {
					t.Errorf("Drain = %v, want none that wraps %v", err, not)
				}
			}
			if n := strings.Count(err.Error(), context.DeadlineExceeded.Error()); n != 1 {
				t.Errorf("the error says %d times that the deadline came: %v", n, err)
			}
			if want := (Tally{Open: 1}); rep.Mode != ModeDrain || rep.Connections != want || rep.AtDeadline != want || rep.Closed != 0 || !rep.Complete() {
				t.Errorf("Drain = %+v, want one cut at the deadline", rep)
			}
			wantReset(t, client)
			l.wantFree(t)
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept = %v, want net.ErrClosed", err)
			}
		})
	}
}

// A graceful stop that fails while all connections end in order makes an error, and no more.
func TestDrainStopFails(t *testing.T) {
	l := trackedOn4(t, ListenConfig{})
	l.acceptAll(t)
	rep, err := l.Drain(context.Background(), func(context.Context) error { return errStop })
	if !errors.Is(err, errStop) || !rep.Complete() || !rep.Left.Free() {
		t.Errorf("Drain = %+v, %v, want errStop", rep, err)
	}
}

// A context that has ended already: as much as can be is done in order.
func TestDrainWithoutTime(t *testing.T) {
	l := trackedOn4(t, ListenConfig{Delay: time.Hour, LameDuck: time.Hour, Spread: time.Hour})
	l.acceptAll(t)
	client := l.dial(t)
	lingertest.Wait(t, "a connection", func() bool { return l.Len() == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	called := make(chan struct{})
	rep, err := l.Drain(ctx, func(context.Context) error { close(called); return nil })
	if !errors.Is(err, context.Canceled) || rep.AtDeadline != (Tally{Open: 1}) || !rep.Complete() {
		t.Errorf("Drain = %+v, %v, want one cut and context.Canceled", rep, err)
	}
	<-called
	wantReset(t, client)
	l.wantFree(t)
}

// The more forceful wins, and all calls return the same end.
func TestDrainCutShort(t *testing.T) {
	for _, tt := range []struct {
		name string
		cut  func(l *Listener) (Report, error)
		want error // of the first Drain
	}{
		{"by Abort", (*Listener).Abort, nil},
		{"by another Drain", func(l *Listener) (Report, error) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			rep, err := l.Drain(ctx, func(context.Context) error { return errors.New("called") })
			if !errors.Is(err, context.Canceled) {
				return rep, errors.Join(errors.New("want context.Canceled"), err)
			}
			return rep, nil
		}, context.Canceled},
	} {
		for _, released := range []bool{false, true} {
			l := trackedOn4(t, ListenConfig{})
			_, ended := l.acceptAll(t)
			client := l.dial(t)
			lingertest.Wait(t, "a connection", func() bool { return l.Len() == 1 })
			if released {
				lingertest.Must(t, l.Release())
			}
			stopped := make(chan error, 1)
			e := l.drainInBackground(context.Background(), func(ctx context.Context) error {
				stopped <- nil
				<-ctx.Done()
				stopped <- ctx.Err()
				return nil
			})
			<-stopped
			rep, err := tt.cut(l.Listener)
			<-e.done
			if err != nil || !errors.Is(e.err, tt.want) || rep.Steps != e.rep.Steps || rep.Mode != ModeDrain ||
				(tt.want == nil) != (rep.ByAbort == Tally{Open: 1}) || (tt.want != nil) != (rep.AtDeadline == Tally{Open: 1}) || !rep.Complete() {
				t.Errorf("%s: %+v, %v; the Drain itself: %+v, %v", tt.name, rep, err, e.rep, e.err)
			}
			if err := <-stopped; err == nil {
				t.Errorf("%s: the stop's context lives on", tt.name)
			}
			wantReset(t, client)
			l.wantFree(t)
			<-ended
		}
	}
}

// Who waits in the queue is accepted and served; Accept has no error before it is all over.
func TestDrainTakesTheQueueIn(t *testing.T) {
	for _, mode := range []Mode{ModeDrain, ModeRelease} {
		l := trackedOn4(t, ListenConfig{})
		var clients []*net.TCPConn
		for range 50 {
			clients = append(clients, l.dial(t))
		}
		conns, ended := l.acceptAll(t)
		var e *ending
		if mode == ModeDrain {
			e = l.drainInBackground(context.Background(), nil)
		} else {
			lingertest.Must(t, l.Release())
		}
		l.waitRefusing(t)
		for range clients {
			select {
			case c := <-conns:
				say(t, c, "welcome")
				lingertest.Must(t, c.Close())
			case err := <-ended:
				t.Fatalf("%s: Accept = %v before the last connection has ended", mode, err)
			}
		}
		for _, client := range clients {
			wantWhole(t, client, "welcome")
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: Accept = %v, want net.ErrClosed", mode, err)
		}
		if e != nil {
			<-e.done
		}
		lingertest.Wait(t, "the report", func() bool { return l.Report().Steps.Done != 0 })
		if rep := l.Report(); rep.Mode != mode || rep.Closed != len(clients) || rep.Connections.Total() != 0 || !rep.Complete() {
			t.Errorf("%s: the report is %+v, want %d closed in order", mode, rep, len(clients))
		}
	}
}

// A server that takes its time with each client, as one on a busy machine, still gets all who wait.
func TestReleaseWaitsForASlowServer(t *testing.T) {
	l := trackedOn4(t, ListenConfig{})
	const n = 30
	clients := make([]*net.TCPConn, n)
	for i := range clients {
		clients[i] = l.dial(t)
	}
	served := make(chan int, 1)
	go func() {
		for i := 0; ; i++ {
			if i == 0 {
				time.Sleep(300 * time.Millisecond) // stands for others that have the processors
			}
			time.Sleep(10 * time.Millisecond) // and this for work
			conn, err := l.Listener.Accept()
			if err != nil {
				served <- i
				return
			}
			_ = conn.Close()
		}
	}()
	lingertest.Must(t, l.Release())
	for _, client := range clients {
		wantWhole(t, client, "")
	}
	if got := <-served; got != n {
		t.Errorf("%d clients were accepted, want %d", got, n)
	}
}

// Release gives up the port at once and keeps the connections; a successor can listen, and is not harmed by the end.
func TestRelease(t *testing.T) {
	l := trackedOn4(t, ListenConfig{})
	conns, ended := l.acceptAll(t)
	client := l.dial(t)
	conn := <-conns
	lingertest.Must(t, l.Release())
	lingertest.Must(t, l.Release())
	l.waitRefusing(t)
	if rep := l.Report(); rep.Mode != ModeRelease || rep.Connections != (Tally{Open: 1}) || rep.Steps.Done != 0 {
		t.Errorf("the report is %+v", rep)
	}
	successor, err := Listen("tcp", l.addr.String())
	lingertest.Must(t, err)
	heir := l.dial(t)
	c, err := successor.Accept()
	lingertest.Must(t, err)

	say(t, conn, "still ")
	if latch.IsClosed(l.closed) {
		t.Error("Accept returns while a connection is alive")
	}
	say(t, conn, "here")
	lingertest.Must(t, conn.Close())
	wantWhole(t, client, "still here")
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v, want net.ErrClosed", err)
	}
	rep, err := l.Abort() // waits for the same end
	if err != nil || rep.Mode != ModeRelease || rep.Closed != 1 || rep.Connections.Total() != 0 || !rep.Complete() || rep.Left.Others.Total() != 2 {
		t.Errorf("Abort afterwards = %+v, %v, want a complete release beside a successor", rep, err)
	}
	say(t, c, "hello")
	lingertest.Must(t, c.Close())
	wantWhole(t, heir, "hello")
	_, err = successor.Abort()
	lingertest.Must(t, err)
}

// Abort ends what a release has left.
func TestReleaseAbort(t *testing.T) {
	l := trackedOn4(t, ListenConfig{Armed: true})
	conns, ended := l.acceptAll(t)
	client := l.dial(t)
	<-conns
	lingertest.Must(t, l.Release())
	rep, err := l.Abort()
	wantAborted(t, rep, err, 1)
	wantReset(t, client)
	l.wantFree(t)
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v, want net.ErrClosed", err)
	}
}

// Close is that of any listener: the connections live on, and can be aborted.
func TestListenerClose(t *testing.T) {
	l := trackedOn4(t, ListenConfig{})
	conns, ended := l.acceptAll(t)
	client := l.dial(t)
	conn := <-conns
	lingertest.Must(t, l.Listener.Close())
	lingertest.Must(t, l.Listener.Close())
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v, want net.ErrClosed", err)
	}
	l.waitRefusing(t)
	if rep := l.Report(); rep.Mode != ModeNone || rep.Connections != (Tally{Open: 1}) {
		t.Errorf("the report is %+v, want one alive", rep)
	}
	say(t, client, "x")
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Errorf("the connection does not live on: %v", err)
	}
	rep, err := l.Abort()
	wantAborted(t, rep, err, 1)
	wantReset(t, client)
	l.wantFree(t)
}

// net/http's Serve returns what its callers look for.
func TestServeReturns(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(l *Listener, srv *http.Server)
		want error
	}{
		{"Abort", func(l *Listener, _ *http.Server) { l.Abort() }, net.ErrClosed},
		{"Drain", func(l *Listener, srv *http.Server) { l.Drain(context.Background(), srv.Shutdown) }, http.ErrServerClosed},
		{"Release", func(l *Listener, _ *http.Server) { l.Release() }, net.ErrClosed},
		{"Release and Shutdown", func(l *Listener, srv *http.Server) { l.Release(); srv.Shutdown(context.Background()) }, nil},
	} {
		l := trackedOn4(t, ListenConfig{})
		srv := &http.Server{}
		serving := make(chan error, 1)
		go func() { serving <- srv.Serve(l.Listener) }()
		lingertest.Wait(t, "an Accept", func() bool { return l.accepting.Load() == 1 })
		tt.end(l.Listener, srv)
		err := <-serving
		if tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: Serve = %v, want %v", tt.name, err, tt.want)
		}
		lingertest.Must(t, srv.Close())
	}
}

// All life-cycle calls at once, with clients that come and go: every call returns, every client is told, and in the end there is
// one report and a free port.
func TestListenerHammer(t *testing.T) {
	for round := range 30 {
		l := trackedOn4(t, ListenConfig{Armed: round%2 == 0, Spread: time.Millisecond * time.Duration(round%3), Queue: time.Duration(round%4 - 1)})
		var serving, calls, clients sync.WaitGroup
		serving.Go(func() {
			for {
				c, err := l.Listener.Accept()
				if err != nil {
					return
				}
				serving.Go(func() {
					defer c.Close()
					b := make([]byte, 1)
					for {
						if _, err := c.Read(b); err != nil {
							return
						}
						if _, err := c.Write(b); err != nil {
							return
						}
					}
				})
			}
		})
		for range 8 {
			clients.Go(func() {
				for {
					c, err := net.Dial("tcp", l.addr.String())
					if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) {
						return
					}
					if err != nil {
						t.Errorf("Dial = %v", err)
						return
					}
					c.SetDeadline(time.Now().Add(lingertest.Patience))
					c.(*net.TCPConn).SetLinger(0)
					b := []byte{1}
					for range 3 {
						if _, err = c.Write(b); err == nil {
							_, err = c.Read(b)
						}
						if err != nil {
							break
						}
					}
					c.Close()
					if err != nil && !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) && !errors.Is(err, io.EOF) {
						t.Errorf("a client got %v", err)
					}
				}
			})
		}
		lingertest.Wait(t, "some connections", func() bool { return l.Len() > 2 })
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(round%5)*time.Millisecond)
		reports := make(chan Report, 10)
		call := func(f func() (Report, error)) {
			calls.Go(func() {
				rep, err := f()
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("round %d: %v", round, err)
				}
				reports <- rep
			})
		}
		for range 2 {
			call(func() (Report, error) { return l.Drain(ctx, func(context.Context) error { return l.Listener.Close() }) })
			calls.Go(func() { lingertest.Must(t, l.Release()) })
			calls.Go(func() { l.AbortIf(func(i ConnInfo) bool { return i.Remote.Port()%2 == 0 }) })
			calls.Go(func() { _ = l.Report().String() })
		}
		if round%3 != 0 {
			call(l.Abort)
		}
		calls.Wait()
		cancel()
		close(reports)
		rep, err := l.Abort()
		for other := range reports {
			if other.Steps != rep.Steps || other.Mode != rep.Mode {
				t.Errorf("round %d: one report is\n%v\nanother is\n%v", round, other, rep)
			}
		}
		if rep.Left.Outlived.Total() != 0 || rep.Left.Others.Total() != 0 || rep.Steps.Done == 0 || l.Len() != 0 {
			t.Errorf("round %d: %+v, %v, Len = %d", round, rep, err, l.Len())
		}
		clients.Wait()
		serving.Wait()
	}
}
