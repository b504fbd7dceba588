package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"rstserver/linger"
	"rstserver/linger/sockdiag"
	"rstserver/poller"
)

// fakeServer takes as long for its teardown as it is told to.
type fakeServer struct {
	teardown time.Duration
	failure  error         // what close returns
	rep      linger.Report // what report returns in the end
	begun    chan struct{} // closed by close
	done     chan struct{}
}

func complete() linger.Report {
	return linger.Report{Mode: linger.ModeAbort, Steps: linger.Steps{Verified: time.Millisecond}}
}

// life is that of a process with this server.
func (f *fakeServer) life(signals chan os.Signal, over chan struct{}, out *bytes.Buffer) *life {
	f.begun, f.done = make(chan struct{}), make(chan struct{})
	return &life{
		serve: func() error { <-f.done; return poller.ErrServerClosed },
		close: func() error {
			close(f.begun)
			time.Sleep(f.teardown)
			close(f.done)
			return f.failure
		},
		report:  func() linger.Report { return f.rep },
		signals: signals,
		over:    over,
		log:     slog.New(slog.NewTextHandler(out, nil)),
		print:   func(linger.Report) { out.WriteString("REPORT\n") },
	}
}

func TestLife(t *testing.T) {
	outlived, unverified := complete(), complete()
	outlived.Left.Outlived[sockdiag.Established] = 1
	unverified.Unverified = "netlink is refused"
	failure := errors.New("a loop was stuck")
	for _, tc := range []struct {
		name    string
		server  fakeServer
		signals []os.Signal
		over    bool
		err     string
		out     string
	}{
		{name: "signal", server: fakeServer{rep: complete()}, signals: []os.Signal{syscall.SIGINT}, out: "reason=SIGINT REPORT"},
		{name: "countdown", server: fakeServer{rep: complete()}, over: true, out: "reason=countdown REPORT"},
		// A loop that spins would never let the clock of the bubble go on.
		{name: "countdown and a long teardown", server: fakeServer{rep: complete(), teardown: time.Hour}, over: true,
			out: "reason=countdown REPORT"},
		{name: "second signal", server: fakeServer{rep: complete(), teardown: time.Hour},
			signals: []os.Signal{syscall.SIGINT, syscall.SIGTERM}, out: "reason=SIGINT",
			err: "SIGTERM during the teardown: exiting at once"},
		{name: "signal after the countdown", server: fakeServer{rep: complete(), teardown: time.Hour},
			over: true, signals: []os.Signal{nil, syscall.SIGTERM}, out: "reason=countdown",
			err: "SIGTERM during the teardown: exiting at once"},
		{name: "outlived", server: fakeServer{rep: outlived, failure: failure}, signals: []os.Signal{syscall.SIGTERM},
			out: "reason=SIGTERM REPORT", err: "the teardown is not complete\na loop was stuck"},
		{name: "unverified", server: fakeServer{rep: unverified}, signals: []os.Signal{syscall.SIGTERM},
			out: "reason=SIGTERM REPORT", err: "the teardown is not complete"},
		{name: "complete in spite of an error", server: fakeServer{rep: complete(), failure: failure},
			signals: []os.Signal{syscall.SIGTERM}, out: "reason=SIGTERM REPORT level=ERROR"},
		{name: "signal before it serves", signals: []os.Signal{syscall.SIGTERM}, out: "reason=SIGTERM"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				signals, over := make(chan os.Signal, 2), make(chan struct{})
				l := tc.server.life(signals, over, &out)
				ended := make(chan error)
				go func() { ended <- l.run() }()
				if tc.over {
					close(over)
				}
				for _, sig := range tc.signals {
					synctest.Wait()
					if sig != nil {
						signals <- sig
					}
				}
				err := <-ended
				<-tc.server.begun
				<-tc.server.done
				if got := text(err); got != tc.err {
					t.Errorf("run() = %q, want %q", got, tc.err)
				}
				rest := out.String()
				for part := range strings.FieldsSeq(tc.out) {
					_, after, found := strings.Cut(rest, part)
					if !found {
						t.Errorf("output = %q, want in it, in this order: %s", out.String(), tc.out)
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

// TestLifeOfServerThatGivesUp has Serve end unasked.
func TestLifeOfServerThatGivesUp(t *testing.T) {
	for _, began := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			f := &fakeServer{}
			if began {
				f.rep = complete()
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
