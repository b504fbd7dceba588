//go:build linux

package bench

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/internal/kernel"
	"rstserver/bench/internal/process"
	"rstserver/bench/kinds"
	"rstserver/bench/report"
	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

// onKnownPort gives a server a port that the test knows.
func onKnownPort(t testing.TB, s Server) Server {
	t.Helper()
	addr, err := kernel.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s.Port = int(addr.Port())
	return s
}

// measure carries out a run, and expects that it leaves nothing behind, whatever came of it.
func measure(t *testing.T, r run) (report.Run, error) {
	t.Helper()
	if r.Server.Port == 0 {
		r.Server = onKnownPort(t, r.Server)
	}
	rep, err := r.measure(t.Context())
	expectNothingOf(t, r.Server)
	return rep, err
}

// expectNothingOf expects that no process is left and no socket on the port.
func expectNothingOf(t *testing.T, s Server) {
	t.Helper()
	lingertest.ExpectNoChildren(t)
	if left := lingertest.Leftover(uint16(s.Port)); left != "" {
		t.Errorf("left on port %d of %s:\n%s", s.Port, s.Name, left)
	}
}

// A server is reported as it is: how its clients are told, what is left of it, when its port is free, how it ends, and what is
// wrong with it.
func TestFaults(t *testing.T) {
	const n = 100
	established := sockdiag.Counts{sockdiag.Established: n}
	listening := established
	listening[sockdiag.Listen] = 1
	one := sockdiag.Counts{sockdiag.Established: 1}
	listeningToOne := one
	listeningToOne[sockdiag.Listen] = 1
	const stillRuns = "still runs 1m0s after SIGTERM, and was killed; --timeout gives it longer"
	program := filepath.Base(peerProgram())
	program = program[:min(len(program), 15)] // as much as the kernel keeps
	tests := []struct {
		fault   string
		endings map[string]int
		untold  bool            // Told is nil
		serves  bool            // Refused is nil
		taken   bool            // Free is nil
		left    sockdiag.Counts // the first
		holder  string
		exit    string // "": none, it did not end
		failure string // in which it contains this
	}{
		{fault: "none", endings: map[string]int{"reset": n}, exit: "exit code 0"},
		{fault: "everywhere", endings: map[string]int{"reset": n}, exit: "exit code 0"},
		{fault: "chatting", endings: map[string]int{"reset": n}, exit: "exit code 0"},
		{fault: "late", endings: map[string]int{"reset": n}, exit: "exit code 0"},
		{fault: "fin", endings: map[string]int{"eof": n}, taken: true, left: sockdiag.Counts{sockdiag.TimeWait: n}, exit: "exit code 0"},
		{fault: "half", endings: map[string]int{"eof": n / 2, "reset": n / 2}, taken: true, left: sockdiag.Counts{sockdiag.TimeWait: n / 2}, exit: "exit code 0"},
		{fault: "exit", endings: map[string]int{"eof": n}, taken: true, left: sockdiag.Counts{sockdiag.TimeWait: n}, exit: "exit code 3"},
		{fault: "panic", endings: map[string]int{"eof": n}, taken: true, left: sockdiag.Counts{sockdiag.TimeWait: n}, exit: "exit code 2"},
		{fault: "abort", endings: map[string]int{"eof": n}, taken: true, left: sockdiag.Counts{sockdiag.TimeWait: n}, exit: "SIGABRT"},
		{fault: "heir-once", endings: map[string]int{"eof": n}, taken: true, left: sockdiag.Counts{sockdiag.TimeWait: n}, exit: "exit code 0"},
		{fault: "keeps", endings: map[string]int{"untold": n}, untold: true, taken: true, left: established, holder: program, failure: stillRuns},
		{fault: "stubborn", endings: map[string]int{"untold": n}, untold: true, serves: true, taken: true, left: listening, holder: program, failure: stillRuns},
		{
			fault: "heir", endings: map[string]int{"untold": n}, untold: true, taken: true, left: established, holder: "sleep",
			failure: "processes that it has started still run 1m0s after SIGTERM, and were killed: sleep (pid ",
		},
		// One connection is what no figure may be wrong by.
		{fault: "time-wait-one", endings: map[string]int{"reset": n - 1, "eof": 1}, taken: true, left: sockdiag.Counts{sockdiag.TimeWait: 1}, exit: "exit code 0"},
		{fault: "keeps-one", endings: map[string]int{"reset": n - 1, "untold": 1}, untold: true, taken: true, left: one, holder: program, failure: stillRuns},
		{
			fault: "serves-one", endings: map[string]int{"reset": n - 1, "untold": 1}, untold: true, serves: true, taken: true, left: listeningToOne, holder: program,
			failure: stillRuns,
		},
		{
			fault: "heir-one", endings: map[string]int{"reset": n - 1, "untold": 1}, untold: true, taken: true, left: one, holder: "sleep",
			failure: "processes that it has started still run 1m0s after SIGTERM, and were killed: sleep (pid ",
		},
	}
	for _, tt := range tests {
		t.Run(tt.fault, func(t *testing.T) {
			if tt.left[sockdiag.TimeWait] > 0 {
				sockdiagtest.NeedDestroy(t)
			}
			r := run{Server: faulty(tt.fault), Mix: fleet.All(n, kinds.Idle), Timeout: patience}
			switch {
			case tt.holder == "sleep":
				r.Server.overdue = untilItsEnd
			case tt.failure != "":
				r.Server.overdue, r.Stderr = onLine()
			}
			rep, err := measure(t, r)
			expectFailure(t, err, tt.failure)
			if rep.At.IsZero() || rep.Open <= 0 || rep.Resident <= 0 {
				t.Errorf("at %s, open after %s, %d bytes resident; want all of them", rep.At, rep.Open, rep.Resident)
			}
			if !maps.Equal(rep.Endings, tt.endings) || !maps.Equal(rep.ByKind["idle"], tt.endings) || len(rep.ByKind) != 1 {
				t.Errorf("told: %v, by kind %v, want %v", rep.Endings, rep.ByKind, tt.endings)
			}
			told := 0
			for _, s := range rep.Curve {
				told += s.N
			}
			if want := n - tt.endings["untold"]; told != want {
				t.Errorf("the curve has %d clients, want %d", told, want)
			}
			if rep.Told == nil != tt.untold {
				t.Errorf("told after %v, want that there is none: %v", rep.Told, tt.untold)
			}
			if rep.Refused == nil != tt.serves {
				t.Errorf("refused after %v, want that there is none: %v", rep.Refused, tt.serves)
			}
			if rep.Free == nil != tt.taken {
				t.Errorf("free after %v, want that there is none: %v", rep.Free, tt.taken)
			}
			// What a process holds is gone by then: the clients reset before it is killed.
			if want := tt.left[sockdiag.TimeWait]; rep.Cleaned != want {
				t.Errorf("%d cleaned, want %d", rep.Cleaned, want)
			}
			if !isLeft(rep, tt.left) {
				t.Errorf("left: %s, want %s", rep.Left[0].States, tt.left)
			}
			if tt.holder == "" && len(rep.Holders) != 0 || tt.holder != "" && (len(rep.Holders) != 1 || !strings.HasPrefix(rep.Holders[0], tt.holder+" (pid ")) {
				t.Errorf("held by %q, want %q", rep.Holders, tt.holder)
			}
			if want := []string{tt.exit}; tt.exit != "" && !slices.Equal(rep.Exit, want) || tt.exit == "" && rep.Exit != nil {
				t.Errorf("exit: %q, want %q", rep.Exit, tt.exit)
			}
			if rep.Gone == nil != (tt.exit == "") {
				t.Errorf("gone after %v, exit %q", rep.Gone, tt.exit)
			}
			// Lower bounds, which hold on every machine.
			switch tt.fault {
			case "late":
				if rep.Free.At < lateBy || *rep.Told < lateBy || *rep.Gone < lateBy || rep.Refused.At >= rep.Free.At {
					t.Errorf("refused after %s, free after %s, told after %s, gone after %s; it waits %s between the first and the others",
						rep.Refused.At, rep.Free.At, rep.Told, rep.Gone, lateBy)
				}
			case "heir-once":
				if *rep.Told < lateBy || *rep.Gone < lateBy {
					t.Errorf("told after %s, gone after %s; the connections are another process's for %s", rep.Told, rep.Gone, lateBy)
				}
			}
		})
	}
}

// untilItsEnd is for a server that itself ends, and leaves others.
func untilItsEnd(p *process.Family) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for p.Alive(context.Background()) == nil {
			time.Sleep(time.Millisecond)
		}
	}()
	return ended
}

// onLine is for a server that prints a line when it has done all that it does, and goes on.
func onLine() (overdue func(*process.Family) <-chan struct{}, stderr io.Writer) {
	printed := make(chan struct{})
	return func(*process.Family) <-chan struct{} { return printed }, onWrite{sync.OnceFunc(func() { close(printed) })}
}

// expectFailure expects a failure that contains want, or no error if that is empty.
func expectFailure(t *testing.T, err error, want string) {
	t.Helper()
	var f *failure
	switch {
	case want == "" && err != nil:
		t.Fatalf("got %v, want no error", err)
	case want != "" && (!errors.As(err, &f) || !strings.Contains(f.Error(), want)):
		t.Fatalf("got %v, want a failure with %q", err, want)
	case want != "" && strings.ContainsAny(f.Error(), "\n\x1b"):
		t.Errorf("%q is not one line of text", f.Error())
	}
}

// What never comes to be measured says why, with what the server itself has to say about it.
func TestFaultsBeforeTheSignal(t *testing.T) {
	tests := []struct {
		fault string
		waits bool // for its patience to end
		want  []string
	}{
		{"absent", false, []string{"it ended at the start, with exit code 1; it printed: no configuration"}},
		{"chatty", false, []string{"it ended at the start, with exit code 1; it printed: ", "red", "and that was all"}},
		{"deaf", true, []string{"it does not listen on port ", " after ", "; it printed: warming up"}},
		{"deaf-late", true, []string{"connection 3 of 100 to 127.0.0.1:", "connect: connection timed out: the server does not accept, and its queue is full"}},
		{"other-port", true, []string{"it does not listen on port ", " after "}},
		{"other-address", false, []string{"connection refused", "it has to listen on 127.0.0.1 or on all addresses"}},
		{"dies", false, []string{"it ended by itself, with exit code 3; it printed: first line | the disk is full"}},
		{"fickle", false, []string{"ended connections before their time: 99 untold, 1 eof"}},
		{"404", false, []string{"the answer is 404 Not Found: name a path that it serves"}},
		{"close", false, []string{"the answer says Connection: close"}},
		{"endless", false, []string{"the answer has neither Content-Length nor chunks"}},
		{"malformed", false, []string{"the answer is malformed"}},
		{"silent", true, []string{"100 of 100 connections to 127.0.0.1:", "are not ready after "}},
	}
	for _, tt := range tests {
		t.Run(tt.fault, func(t *testing.T) {
			r := run{Server: faulty(tt.fault), Mix: fleet.All(100, kinds.Idle), Patience: patience}
			if tt.fault == "dies" || tt.fault == "fickle" {
				sockdiagtest.NeedDestroy(t)
			}
			wrong := func(err error) bool {
				return slices.ContainsFunc(tt.want, func(want string) bool { return err == nil || !strings.Contains(err.Error(), want) })
			}
			// Where time has to go by, as much as the machine needs to come so far.
			if tt.waits {
				r.Patience = 250 * time.Millisecond
			}
			rep, err := measure(t, r)
			for ; tt.waits && wrong(err) && r.Patience < patience; rep, err = measure(t, r) {
				r.Patience *= 4
			}
			for _, want := range tt.want {
				expectFailure(t, err, want)
			}
			if len(err.Error()) > 2_000 {
				t.Errorf("the failure has %d bytes", len(err.Error()))
			}
			if !rep.At.IsZero() {
				t.Error("it was sent the signal")
			}
		})
	}
}

// localPort is a port of 127.0.0.1.
func localPort(port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
}
