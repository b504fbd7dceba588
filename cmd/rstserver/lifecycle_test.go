package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
	"rstserver/poller"
)

// fakeServer takes as long for each way to end as it is told to.
type fakeServer struct {
	teardown time.Duration // of close
	drains   time.Duration // of shutdown, if nothing cuts it off; 0 is for ever, here and below
	serves   time.Duration // of the connections behind release
	failure  error         // what close and shutdown return
	refusal  error         // what release returns
	rep      linger.Report // what report returns in the end

	end  func() // ends what serve waits for, once
	done chan struct{}
}

func complete(mode linger.Mode) linger.Report {
	return linger.Report{Mode: mode, Steps: linger.Steps{Verified: time.Millisecond}}
}

// life is that of a process with this server.
func (f *fakeServer) life(signals chan os.Signal, over chan struct{}, out *bytes.Buffer) *life {
	done := make(chan struct{})
	f.done, f.end = done, sync.OnceFunc(func() { close(done) })
	return &life{
		serve: func() error { <-done; return poller.ErrServerClosed },
		close: func() error {
			time.Sleep(f.teardown)
			f.end()
			return f.failure
		},
		shutdown: func(ctx context.Context) error {
			defer f.end()
			select {
			case <-after(f.drains):
			case <-done:
			case <-ctx.Done():
				if f.failure == nil {
					return ctx.Err()
				}
				return errors.Join(ctx.Err(), f.failure)
			}
			return f.failure
		},
		release: func() error {
			go func() {
				select {
				case <-after(f.serves):
					f.end()
				case <-done:
				}
			}()
			return f.refusal
		},
		report:  func() linger.Report { return f.rep },
		signals: signals,
		over:    over,
		log:     slog.New(slog.NewTextHandler(out, nil)),
		print:   func(linger.Report) { out.WriteString("REPORT\n") },
	}
}

// after is time.After, but for ever where d is 0.
func after(d time.Duration) <-chan time.Time {
	if d == 0 {
		return nil
	}
	return time.After(d)
}

func TestLife(t *testing.T) {
	const term, intr, quit, usr1 = syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1
	abort, drain, release := complete(linger.ModeAbort), complete(linger.ModeDrain), complete(linger.ModeRelease)
	outlived, unverified := abort, abort
	outlived.Left.Outlived[sockdiag.Established] = 1
	unverified.Unverified = "netlink is refused"
	failure := errors.New("a loop was stuck")
	const atOnce = "SIGTERM during the teardown: exiting at once"
	for _, tc := range []struct {
		name       string
		server     fakeServer
		timeout    time.Duration // of the drain
		termDrains bool
		signals    []os.Signal
		over       bool // the countdown ends before the signals; a nil among them is its end, too
		err        string
		out        string // words of the output, in this order
	}{
		{name: "signal", server: fakeServer{rep: abort}, signals: []os.Signal{intr}, out: "aborting reason=SIGINT REPORT"},
		{name: "countdown", server: fakeServer{rep: abort}, over: true, out: "aborting reason=countdown REPORT"},
		// A loop that spins would never let the clock of the bubble go on.
		{name: "countdown and a long teardown", server: fakeServer{rep: abort, teardown: time.Hour}, over: true,
			out: "reason=countdown REPORT"},
		{name: "second signal", server: fakeServer{rep: abort, teardown: time.Hour}, signals: []os.Signal{intr, term},
			out: "reason=SIGINT", err: atOnce},
		{name: "signal after the countdown", server: fakeServer{rep: abort, teardown: time.Hour},
			over: true, signals: []os.Signal{term}, out: "reason=countdown", err: atOnce},
		{name: "weaker signals during an abort", server: fakeServer{rep: abort, teardown: time.Hour},
			signals: []os.Signal{term, quit, usr1},
			out:     "reason=SIGTERM effect signal=SIGQUIT during=abort effect signal=SIGUSR1 during=abort REPORT"},

		{name: "drain", server: fakeServer{rep: drain, drains: time.Hour}, signals: []os.Signal{quit},
			out: "draining reason=SIGQUIT timeout=none REPORT"},
		{name: "drain with a timeout that it keeps", server: fakeServer{rep: drain, drains: time.Second}, timeout: time.Minute,
			signals: []os.Signal{quit}, out: "draining reason=SIGQUIT timeout=1m0s REPORT"},
		{name: "drain that reaches its timeout", server: fakeServer{rep: drain}, timeout: time.Minute,
			signals: []os.Signal{quit}, out: "draining timeout=1m0s level=WARN timeout=1m0s REPORT"},
		{name: "drain that reaches its timeout and fails", server: fakeServer{rep: drain, failure: failure}, timeout: time.Minute,
			signals: []os.Signal{quit}, out: "draining level=WARN REPORT level=ERROR stuck"},
		{name: "drain that leaves something", server: fakeServer{rep: outlived}, timeout: time.Minute,
			signals: []os.Signal{quit}, out: "draining level=WARN REPORT", err: "the teardown is not complete"},
		{name: "drain by SIGTERM", server: fakeServer{rep: drain, drains: time.Second}, termDrains: true,
			signals: []os.Signal{term}, out: "draining reason=SIGTERM REPORT"},
		{name: "weaker signals during a drain", server: fakeServer{rep: drain, drains: time.Hour},
			signals: []os.Signal{quit, quit, usr1},
			out:     "draining effect signal=SIGQUIT during=drain effect signal=SIGUSR1 during=drain REPORT"},
		{name: "abort of a drain", server: fakeServer{rep: abort}, signals: []os.Signal{quit, term},
			out: "draining reason=SIGQUIT aborting reason=SIGTERM REPORT"},
		{name: "abort of a drain by SIGTERM", server: fakeServer{rep: abort}, termDrains: true, signals: []os.Signal{term, intr},
			out: "draining reason=SIGTERM aborting reason=SIGINT REPORT"},
		{name: "third signal", server: fakeServer{rep: abort, teardown: time.Hour}, termDrains: true,
			signals: []os.Signal{term, intr, term}, out: "draining reason=SIGTERM aborting reason=SIGINT", err: atOnce},
		{name: "countdown during a drain", server: fakeServer{rep: abort}, signals: []os.Signal{quit, nil},
			out: "draining reason=SIGQUIT aborting reason=countdown REPORT"},

		{name: "release", server: fakeServer{rep: release, serves: time.Hour}, signals: []os.Signal{usr1},
			out: "releasing reason=SIGUSR1 released: REPORT"},
		{name: "release twice", server: fakeServer{rep: release, serves: time.Hour}, signals: []os.Signal{usr1, usr1},
			out: "releasing released: effect signal=SIGUSR1 during=release REPORT"},
		{name: "release that fails", server: fakeServer{rep: release, refusal: failure, serves: time.Hour},
			signals: []os.Signal{usr1}, out: "releasing level=ERROR stuck REPORT"},
		{name: "abort of a release", server: fakeServer{rep: abort}, signals: []os.Signal{usr1, term},
			out: "released: aborting reason=SIGTERM REPORT"},
		{name: "drain of a release", server: fakeServer{rep: drain, drains: time.Hour}, signals: []os.Signal{usr1, quit},
			out: "released: draining reason=SIGQUIT REPORT"},
		{name: "drain of a release by SIGTERM", server: fakeServer{rep: drain, drains: time.Hour}, termDrains: true,
			signals: []os.Signal{usr1, term}, out: "released: draining reason=SIGTERM REPORT"},
		{name: "countdown during a release", server: fakeServer{rep: abort}, signals: []os.Signal{usr1, nil},
			out: "released: aborting reason=countdown REPORT"},
		{name: "all of them", server: fakeServer{rep: abort, teardown: time.Hour}, signals: []os.Signal{usr1, quit, intr, term},
			out: "releasing released: draining aborting reason=SIGINT", err: atOnce},

		{name: "outlived", server: fakeServer{rep: outlived, failure: failure}, signals: []os.Signal{term},
			out: "reason=SIGTERM REPORT", err: "the teardown is not complete\na loop was stuck"},
		{name: "unverified", server: fakeServer{rep: unverified}, signals: []os.Signal{term},
			out: "reason=SIGTERM REPORT", err: "the teardown is not complete"},
		{name: "complete in spite of an error", server: fakeServer{rep: abort, failure: failure},
			signals: []os.Signal{term}, out: "reason=SIGTERM REPORT level=ERROR"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				signals, over := make(chan os.Signal, 2), make(chan struct{})
				l := tc.server.life(signals, over, &out)
				l.drainTimeout, l.termDrains = tc.timeout, tc.termDrains
				ended := make(chan error)
				go func() { ended <- l.run() }()
				if tc.over {
					close(over)
				}
				for _, sig := range tc.signals {
					synctest.Wait()
					if sig != nil {
						signals <- sig
					} else {
						close(over)
					}
				}
				err := <-ended
				<-tc.server.done
				if got := text(err); got != tc.err {
					t.Errorf("run() = %q, want %q", got, tc.err)
				}
				rest := out.String()
				for part := range strings.FieldsSeq(tc.out) {
					_, after, found := strings.Cut(rest, part)
					if !found {
						t.Fatalf("output = %q, want in it, in this order: %s", out.String(), tc.out)
					}
					rest = after
				}
				if strings.Contains(rest, "REPORT") {
					t.Errorf("output = %q, want no report behind %s", out.String(), tc.out)
				}
			})
		})
	}
}

// TestLifeOfServerThatGivesUp ends Serve unasked.
func TestLifeOfServerThatGivesUp(t *testing.T) {
	for _, began := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			f := &fakeServer{}
			if began {
				f.rep = complete(linger.ModeAbort)
			}
			l := f.life(nil, nil, &out)
			failure := errors.New("loops fail")
			l.serve = func() error { return failure }
			if err := l.run(); err != failure {
				t.Errorf("run() = %v, want %v", err, failure)
			}
			if reported := out.String() == "REPORT\n"; reported != began {
				t.Errorf("output = %q, but it had begun: %t", out.String(), began)
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestLifeSuccession starts successors that fail, take over, and die.
func TestLifeSuccession(t *testing.T) {
	const term, quit, usr1, usr2 = syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2
	handover, abort := complete(linger.ModeHandover), complete(linger.ModeAbort)
	drain, release := complete(linger.ModeDrain), complete(linger.ModeRelease)
	failure := errors.New("the database is away")
	for _, tc := range []struct {
		name    string
		server  fakeServer
		takes   time.Duration // to start a successor
		fails   error
		dies    time.Duration // after which the successor does; 0: never, less: at once
		signals []os.Signal   // a nil is an hour
		out     string
	}{
		{name: "takes over", server: fakeServer{rep: handover, drains: time.Hour}, signals: []os.Signal{usr2},
			out: "successor reason=SIGUSR2 handed timeout=none REPORT CLOSED"},
		{name: "fails", server: fakeServer{rep: abort}, fails: failure, signals: []os.Signal{usr2, nil, usr2, nil, term},
			out: "reason=SIGUSR2 level=ERROR database reason=SIGUSR2 level=ERROR database aborting STOPPING=1 CLOSED REPORT"},
		{name: "is asked for twice", server: fakeServer{rep: handover, drains: time.Hour}, takes: time.Minute, signals: []os.Signal{usr2, usr2, nil, usr2},
			out: "successor reason=SIGUSR2 effect signal=SIGUSR2 start handed effect signal=SIGUSR2 during=handover REPORT"},
		{name: "is killed by an abort", server: fakeServer{rep: abort}, takes: time.Minute, signals: []os.Signal{usr2, term},
			out: "reason=SIGUSR2 aborting reason=SIGTERM STOPPING=1 CLOSED REPORT"},
		{name: "is killed by a drain", server: fakeServer{rep: drain, drains: time.Hour}, takes: time.Minute, signals: []os.Signal{usr2, quit},
			out: "reason=SIGUSR2 draining reason=SIGQUIT STOPPING=1 CLOSED REPORT"},
		{name: "is killed by a release", server: fakeServer{rep: release, serves: time.Hour}, takes: time.Minute, signals: []os.Signal{usr2, usr1},
			out: "reason=SIGUSR2 releasing reason=SIGUSR1 CLOSED REPORT"},
		{name: "is not for a drain", server: fakeServer{rep: drain, drains: time.Hour}, signals: []os.Signal{quit, usr2},
			out: "draining effect signal=SIGUSR2 during=drain REPORT"},
		{name: "goes on without", server: fakeServer{rep: handover, teardown: time.Minute}, signals: []os.Signal{usr2, nil, term},
			out: "handed aborting reason=SIGTERM CLOSED REPORT"},
		{name: "dies", server: fakeServer{rep: handover, drains: time.Hour}, dies: time.Minute, signals: []os.Signal{usr2, nil, nil, nil, term},
			out: "handed level=WARN died AGAIN REPORT aborting REPORT"},
		{name: "dies at once", server: fakeServer{rep: handover, drains: time.Hour}, dies: -1, signals: []os.Signal{usr2, nil, nil, nil, term},
			out: "handed level=WARN died AGAIN REPORT aborting REPORT"},
		{name: "dies, and the end comes for both", server: fakeServer{rep: handover}, dies: time.Minute, signals: []os.Signal{usr2, nil, term},
			out: "handed level=WARN died AGAIN aborting REPORT REPORT"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out lingertest.Output
				signals := make(chan os.Signal, 2)
				l := tc.server.life(signals, nil, new(bytes.Buffer))
				l.log, l.print = slog.New(slog.NewTextHandler(&out, nil)), func(linger.Report) { out.Write([]byte("REPORT\n")) }
				l.handOver = l.shutdown
				exit, lost, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
				l.exit, l.lost = exit, lost
				closing := sync.OnceFunc(func() {
					close(closed)
					out.Write([]byte("CLOSED\n"))
				})
				l.succession = &succession{
					start: func() error {
						select {
						case <-after(max(tc.takes, 1)):
						case <-closed:
							return errors.New("killed")
						}
						if tc.fails != nil {
							return tc.fails
						}
						if tc.dies < 0 {
							close(lost)
						}
						close(exit)
						if tc.dies > 0 {
							time.AfterFunc(tc.dies, func() { close(lost) })
						}
						return nil
					},
					close:  func() error { closing(); return nil },
					notify: func(state string) { out.Write([]byte(state + "\n")) },
					again: func(before *life) (*life, error) {
						out.Write([]byte("AGAIN\n"))
						next := (&fakeServer{rep: abort}).life(signals, nil, new(bytes.Buffer))
						next.log, next.print = before.log, before.print
						end := next.close
						next.close = func() error {
							go before.close()
							return end()
						}
						return next, nil
					},
				}
				ended := make(chan error)
				go func() {
					err := l.run()
					l.succession.close()
					ended <- err
				}()
				for _, sig := range tc.signals {
					synctest.Wait()
					if sig != nil {
						signals <- sig
					} else {
						time.Sleep(40 * time.Minute)
					}
				}
				if err := <-ended; err != nil {
					t.Errorf("run() = %v", err)
				}
				rest := out.String()
				for part := range strings.FieldsSeq(tc.out) {
					_, after, found := strings.Cut(rest, part)
					if !found {
						t.Fatalf("output = %q, want in it, in this order: %s", out.String(), tc.out)
					}
					rest = after
				}
				if strings.Contains(rest, "REPORT") {
					t.Errorf("output = %q, want no report behind %s", out.String(), tc.out)
				}
			})
		})
	}
}
