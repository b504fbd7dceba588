//go:build linux

package bench

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/kinds"
	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

// onWrite calls f when something is written.
type onWrite struct{ f func() }

func (w onWrite) Write(p []byte) (int, error) {
	w.f()
	return len(p), nil
}

// Whenever ctx ends, Measure returns its cause, and nothing is left.
func TestInterrupted(t *testing.T) {
	const n = 100
	tests := []struct {
		phase  string
		fault  string
		prints bool // what the server prints tells that it is so far
		opened int  // so many open connections do
		left   int  // so many sockets in TIME_WAIT do
		n      int
		sent   bool // the signal
	}{
		{phase: "the server starts", fault: "deaf", prints: true, n: n},
		{phase: "a client connects", fault: "deaf-late", prints: true, n: n},
		{phase: "clients wait", fault: "silent", prints: true, n: n},
		{phase: "some are open", fault: "none", opened: 1, n: 600}, // more than are opened in one go
		{phase: "all are open", fault: "none", opened: n, n: n},
		{phase: "the server ends", fault: "keeps", prints: true, n: n, sent: true},
		{phase: "its child lives on", fault: "heir", prints: true, n: n, sent: true},
		{phase: "the port settles", fault: "fin", left: n, n: n, sent: true},
	}
	for _, tt := range tests {
		t.Run(tt.phase, func(t *testing.T) {
			if tt.left > 0 {
				sockdiagtest.NeedDestroy(t)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			cut := errors.New("cut short")
			r := run{Server: onKnownPort(t, faulty(tt.fault)), Mix: fleet.All(tt.n, kinds.Idle), Settle: time.Hour, Timeout: time.Hour, Patience: time.Hour}
			var watching sync.WaitGroup
			var stderr io.Writer
			switch {
			case tt.prints:
				stderr = onWrite{func() { cancel(cut) }}
			case tt.opened > 0:
				r.Opened = func(n int) {
					if n >= tt.opened {
						cancel(cut)
					}
				}
			default:
				watching.Go(func() {
					for ctx.Err() == nil {
						if counts, _, err := sockdiag.Count(uint16(r.Server.Port)); err != nil || counts == (sockdiag.Counts{sockdiag.TimeWait: tt.left}) {
							cancel(cut)
						}
						time.Sleep(time.Millisecond)
					}
				})
			}
			r.Stderr = stderr
			rep, err := r.measure(ctx)
			cancel(nil)
			watching.Wait()
			if err != cut {
				t.Errorf("got %v, want %v", err, cut)
			}
			if rep.At.IsZero() == tt.sent {
				t.Errorf("the signal was sent: %v, want %v", !rep.At.IsZero(), tt.sent)
			}
			expectNothingOf(t, r.Server)
		})
	}
}

// A server that ends by itself when all are connected has not been measured.
func TestEndsBeforeTheSignal(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	const n = 50
	r := run{Server: onKnownPort(t, faulty("none")), Mix: fleet.All(n, kinds.Idle)}
	killed := false
	r.Opened = func(opened int) {
		if opened < n || killed { // it is told again once all are ready
			return
		}
		killed = true
		holders, _, err := sockdiag.Holders(uint16(r.Server.Port))
		if err != nil || len(holders) == 0 {
			t.Fatalf("%v holds port %d, %v", holders, r.Server.Port, err)
		}
		pid := holders[0].PID
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		lingertest.Wait(t, "the server has ended", func() bool {
			_, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid)))
			return err != nil
		})
	}
	rep, err := measure(t, r)
	expectFailure(t, err, "it ended by itself, with SIGKILL")
	if !rep.At.IsZero() {
		t.Error("it was sent the signal")
	}
}

// A run without connections, and a port that is in use, are refused before anything is started.
func TestMeasureRefuses(t *testing.T) {
	_, err := run{Server: faulty("none"), Mix: fleet.All(0, kinds.Idle)}.measure(t.Context())
	lingertest.ExpectError(t, err, `"0 idle"`, "one at least")
	s := onKnownPort(t, faulty("none"))
	p, err := s.start(t.Context(), localPort(s.Port), 1, nil, patience, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = run{Server: s, Mix: fleet.All(1, kinds.Idle)}.measure(t.Context())
	expectFailure(t, err, "is in use: rstserver free "+strconv.Itoa(s.Port))
	p.Kill()
	expectNothingOf(t, s)
}

// An end of ctx also ends the wait for what may not be destroyed: TIME_WAIT takes a minute.
func TestInterruptedUnprivileged(t *testing.T) {
	if !elsewhere(t, func() error { return errors.Join(lingertest.Network(nil), lingertest.Unprivileged()) }) {
		return
	}
	const n = 20
	ctx, cancel := context.WithCancelCause(t.Context())
	cut := errors.New("cut short")
	r := run{Server: faulty("fin"), Mix: fleet.All(n, kinds.Idle)}
	r.Waiting = func(left sockdiag.Counts) {
		if left != (sockdiag.Counts{sockdiag.TimeWait: n}) {
			t.Errorf("it waits for %s", left)
		}
		cancel(cut)
	}
	rep, err := r.measure(ctx)
	if err != cut || rep.Cleaned != n || rep.Gone == nil {
		t.Errorf("got %v, %d left, gone after %v; want %v and %d", err, rep.Cleaned, rep.Gone, cut, n)
	}
	lingertest.ExpectNoChildren(t)
}

// A helper that measures, since its main function has not called Helper, does not start more of its kind.
func TestHelpersDoNotMeasure(t *testing.T) {
	defer func(args []string) { os.Args = args }(os.Args)
	os.Args = []string{os.Args[0], clientsCommand}
	_, err := (&Comparison{}).Measure(t.Context())
	lingertest.ExpectError(t, err, "main has to call bench.Helper")
}

// A process of clients that ends by itself, or is some other program, is no fault of the server's.
func TestClientsEnd(t *testing.T) {
	r := run{Server: onKnownPort(t, faulty("none")), Mix: fleet.All(10, kinds.Idle)}
	for _, script := range []string{"", "echo hello && exec sleep 1000"} {
		r.Clients = func() *exec.Cmd { return exec.Command("sh", "-c", script) }
		_, err := r.measure(t.Context())
		var f *failure
		lingertest.ExpectError(t, err, "a process of clients")
		if errors.As(err, &f) {
			t.Errorf("%v is the server's failure", err)
		}
		expectNothingOf(t, r.Server)
	}
	r.Clients = func() *exec.Cmd { return exec.Command("/no/such/program") }
	_, err := r.measure(t.Context())
	lingertest.ExpectError(t, err, "starting a process of clients", "/no/such/program")
	expectNothingOf(t, r.Server)
}
