//go:build linux

package bench

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/internal/inside"
	"rstserver/bench/kinds"
	"rstserver/bench/report"
	"rstserver/internal/lingertest"
	"rstserver/internal/restartload"
	"rstserver/linger/sockdiag"
)

// way is one whose commands have no quotes.
func way(s string) Way { return mustWay(s) }

// restarted measures so many restarts of a server.
func restarted(t *testing.T, s Server, n int, clients string) (report.RestartRun, error) {
	t.Helper()
	r := &restartRun{
		Server: s, Clients: workers(clients), Restarts: n, Rate: 500, Late: 300 * time.Millisecond, Window: 500 * time.Millisecond,
		Timeout: lingertest.Patience, Patience: patience, PIDFile: patience, Waiting: func(sockdiag.Counts) {},
	}
	rep, err := r.measure(t.Context())
	if err == nil && len(rep.Restarts) != n {
		t.Errorf("%d restarts, want %d", len(rep.Restarts), n)
	}
	return rep, err
}

// workers are clients that s describes, with weights for numbers.
func workers(s string) fleet.Mix {
	parsed, err := kinds.ParseWork(s)
	if err != nil {
		panic(err)
	}
	return fleet.Mix(parsed)
}

// lost adds up what was lost in windows, by how.
func lost(all []report.Restart, of func(report.Restart) report.Traffic) map[string]int {
	n := make(map[string]int)
	for _, r := range all {
		for _, m := range of(r).Lost {
			for how, k := range m {
				n[how] += k
			}
		}
	}
	return n
}

func with(r report.Restart) report.Traffic    { return r.With }
func without(r report.Restart) report.Traffic { return r.Without }

// shakyServer shows its fault once in each restart, at the end of which it has said how often that has hit: hits reads it.
func shakyServer(t *testing.T, fault string) (s Server, hits func() int) {
	said := filepath.Join(t.TempDir(), "said")
	wait := "rm -f " + said + "; kill -USR2 $0; while [ ! -e " + said + " ]; do sleep 0.02; done"
	s = Server{
		Name: fault, Command: []string{peerProgram(), serverCommand, "shaky-" + fault, "127.0.0.1:{port}"},
		Env:   []string{shakyVariable + "=" + said},
		Way:   Way{Text: "exec=" + fault, Steps: []Step{{Do: Exec, Command: []string{"sh", "-c", wait, "{pid}"}}}},
		Paths: kinds.Paths{Get: "/", Post: "/", Late: "/", Upload: "/"},
	}
	return s, func() int {
		b, err := os.ReadFile(said)
		lingertest.Must(t, err)
		n, err := strconv.Atoi(string(b))
		lingertest.Must(t, err)
		return n
	}
}

// What a server with a known fault loses is what is measured, no more and no less.
func TestRestartFaults(t *testing.T) {
	_ = peerProgram() // once for all
	measure := func(t *testing.T, fault string, n int) (rep report.RestartRun, hits int) {
		t.Parallel()
		clients := fmt.Sprintf("get=%d,post=%d,idle=20", shakyClients/2, shakyClients/2)
		if fault == "resets-idle" {
			clients = "post=20,idle=20" // a get client is gone before the server has seen that
		}
		s, said := shakyServer(t, fault)
		rep, err := restarted(t, s, n, clients)
		lingertest.Must(t, err)
		if n := lost(rep.Restarts, without); len(n) > 0 {
			t.Errorf("lost without a restart: %v", n)
		}
		for i, r := range rep.Restarts {
			if !r.InPlace || r.Gone != nil {
				t.Errorf("restart %d was not in place: %v", i+1, r.Gone)
			}
		}
		return rep, said()
	}
	t.Run("sound", func(t *testing.T) {
		rep, _ := measure(t, "sound", 2)
		for _, r := range rep.Restarts {
			if r.With.LostRequests()+r.With.CutConnections() > 0 {
				t.Errorf("lost %v, cut %v, of a server without a fault", r.With.Lost, r.With.Cut)
			}
			if r.With.Answers["get"] == 0 || r.With.Answers["post"] == 0 || r.Without.Answers["get"] == 0 {
				t.Errorf("answers %v, and %v without a restart", r.With.Answers, r.Without.Answers)
			}
		}
	})
	t.Run("drops its accept queue", func(t *testing.T) {
		rep, hits := measure(t, "drops-queue", 1)
		got := rep.Restarts[0].With.Lost
		// More may have come into the queue behind the look at it, and been refused before it listened again.
		if len(got) != 1 || got["get"]["reset"] < hits || got["get"]["reset"]+got["get"]["refused"] != rep.Restarts[0].With.LostRequests() {
			t.Errorf("lost %v, want %d resets of get clients at least, and nothing else but some that were refused", got, hits)
		}
	})
	t.Run("resets idle connections", func(t *testing.T) {
		rep, hits := measure(t, "resets-idle", 1)
		r := rep.Restarts[0].With
		n := r.LostRequests()
		for _, m := range r.Lost {
			if m["reset"] == 0 || len(m) > 1 {
				t.Errorf("lost %v, want resets only", r.Lost)
			}
		}
		for _, m := range r.Cut {
			n += m["reset"]
		}
		if n != hits || r.Cut["idle"]["reset"] != 20 {
			t.Errorf("lost %v, cut %v, which is %d, want %d in all, and all 20 idle clients", r.Lost, r.Cut, n, hits)
		}
	})
	t.Run("has a gap of 50 ms", func(t *testing.T) {
		rep, _ := measure(t, "gap", 2)
		for _, r := range rep.Restarts {
			if *r.With.Gap < shakyGap || r.With.LostRequests() > 0 {
				t.Errorf("the longest gap is %s, lost %v, want %s at least, and none", *r.With.Gap, r.With.Lost, shakyGap)
			}
		}
	})
	t.Run("loses exactly every 1,000th", func(t *testing.T) {
		rep, hits := measure(t, "thousandth", 1)
		if got := lost(rep.Restarts, with); !maps.Equal(got, map[string]int{"clean end": hits}) || hits == 0 {
			t.Errorf("lost %v, want %d clean ends", got, hits)
		}
	})
	t.Run("answers 503 for 100 ms", func(t *testing.T) {
		rep, hits := measure(t, "unwell", 1)
		if got := lost(rep.Restarts, with); !maps.Equal(got, map[string]int{"5xx": hits}) || hits == 0 {
			t.Errorf("lost %v, want %d of 5xx", got, hits)
		}
	})
}

// A server whose old process never ends fails for that, and what came until then is told.
func TestRestartNeverEnds(t *testing.T) {
	t.Parallel()
	s := Server{Name: "stubborn", Command: []string{peerProgram(), serverCommand, "stubborn", "127.0.0.1:{port}"}, Way: way("start,stop=TERM"),
		Paths: kinds.Paths{Get: "/"}, Share: []string{shareFlag}}
	r := &restartRun{Server: s, Clients: workers("get=2"), Restarts: 2, Rate: 100, Window: 100 * time.Millisecond, Timeout: 300 * time.Millisecond,
		Patience: patience, Waiting: func(sockdiag.Counts) {}}
	rep, err := r.measure(t.Context())
	var fault *failure
	if !errors.As(err, &fault) {
		t.Fatalf("measured with %v, want a failure of the server", err)
	}
	lingertest.ExpectError(t, err, "its old process still runs 300ms after SIGTERM; --timeout gives it longer")
	if len(rep.Restarts) != 1 || rep.Restarts[0].Gone != nil || rep.Restarts[0].Window == 0 {
		t.Errorf("restarts %+v, want one without an end", rep.Restarts)
	}
}

// rstserver hands over without a loss, and everything about it is seen.
func TestRestartHandover(t *testing.T) {
	t.Parallel()
	s := ours("--pid-file", "{pidfile}", "--process-field", inside.ProcessField)
	s.Way, s.Process = way("signal=USR2"), inside.ProcessField
	rep, err := restarted(t, s, lingertest.Times(2, 3), "get=5,post=5,in-flight=2,upload=2,idle=5,websocket=5,sse=5")
	lingertest.Must(t, err)
	for i, r := range rep.Restarts {
		if r.With.LostRequests()+r.Without.LostRequests() > 0 {
			t.Errorf("restart %d: lost %v", i+1, r.With.Lost)
		}
		if r.Gone == nil || r.Ready == nil || r.InPlace {
			t.Errorf("restart %d: old process gone %v, new one answers %v, in place %v", i+1, r.Gone, r.Ready, r.InPlace)
		}
		if r.With.Old == 0 || r.With.New == 0 || r.Without.New == 0 || r.Without.Old > 0 {
			t.Errorf("restart %d: answers of old and new processes: %d and %d, and without a restart %d and %d", i+1, r.With.Old, r.With.New, r.Without.Old, r.Without.New)
		}
		if r.With.Cut["websocket"]["close 1012"] != 5 || r.With.Cut["idle"]["reset"] != 5 || r.With.CutConnections() != 5 {
			t.Errorf("restart %d: cut %v, want idle ones reset and WebSockets told", i+1, r.With.Cut)
		}
		if r.With.Cut["sse"]["ended"] != 5 || r.With.Events.Unknown > 0 {
			t.Errorf("restart %d: event streams ended with %v, and tell %+v, want all in order and to go on", i+1, r.With.Cut["sse"], r.With.Events)
		}
		if len(r.With.Processes) != 2 || len(r.Without.Processes) != 1 {
			t.Errorf("restart %d: answers by process %v, and without a restart %v", i+1, r.With.Processes, r.Without.Processes)
		}
		if r.Resident == 0 || r.ResidentMost <= r.Resident {
			t.Errorf("restart %d: %d bytes before, %d at most, want more with two processes", i+1, r.Resident, r.ResidentMost)
		}
		for _, k := range kinds.AtWork() {
			if r.With.Answers[string(k)] == 0 {
				t.Errorf("restart %d: no answer of a %s client", i+1, k)
			}
		}
	}
	if rep.Workers == 0 || rep.Server == 0 || rep.Quiet == 0 {
		t.Errorf("processor time %s and %s of %s", rep.Workers, rep.Server, rep.Quiet)
	}
}

// The ways in which another process is started are carried out as they are written.
func TestRestartWays(t *testing.T) {
	_ = peerProgram() // once for all
	server := func(w string, args ...string) Server {
		s := ours(append(args, "--process-field", inside.ProcessField)...)
		s.Way, s.Process = way(w), inside.ProcessField
		return s
	}
	handsOver := server("exec=kill -USR2 {pid}", "--pid-file", "{pidfile}")
	for _, test := range []struct {
		name    string
		server  Server
		refused bool // while there is nobody
	}{
		{"stop=TERM,start", server("stop=TERM,start"), true},
		{"start,stop=TERM", server("start,stop=TERM"), false},
		{"start, release, drain", server("start,signal=USR1,exec=true,stop=QUIT"), false},
		{"exec", handsOver, false},
		{"no PID file", server("signal=USR2"), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			rep, err := restarted(t, test.server, lingertest.Times(1, 2), "get=4,idle=4")
			lingertest.Must(t, err)
			for i, r := range rep.Restarts {
				// Of whichever client has come just then: the idle ones come back at once.
				if refused := r.With.Lost["get"]["refused"]+r.With.Lost["idle"]["refused"] > 0; refused != test.refused {
					t.Errorf("restart %d: lost %v, refused: want %v", i+1, r.With.Lost, test.refused)
				}
				if r.Gone == nil || r.With.New == 0 {
					t.Errorf("restart %d: old process gone %v, %d answers of a new one", i+1, r.Gone, r.With.New)
				}
			}
		})
	}
}

// What keeps a server from being restarted is said, and is its failure.
func TestRestartFailures(t *testing.T) {
	_ = peerProgram() // once for all
	sound, _ := shakyServer(t, "sound")
	changed := func(change func(s *Server)) Server {
		s := sound
		change(&s)
		return s
	}
	foreign := filepath.Join(t.TempDir(), "pid")
	lingertest.Must(t, os.WriteFile(foreign, []byte("1\n"), 0o600))
	const short = 300 * time.Millisecond
	for _, test := range []struct {
		name    string
		s       Server
		want    []string
		timeout time.Duration // of what does not happen; 0: nothing is waited for in vain
	}{
		{"signal without effect", changed(func(s *Server) { s.Way = way("signal=CHLD") }), []string{"no process of it has come or gone", "it was not restarted", "exec=kill -HUP {pid}"}, short},
		{"signal that ends it", changed(func(s *Server) { s.Way = way("signal=KILL") }), []string{"it has ended after signal=KILL, and there is no new process"}, 0},
		{"command that fails", changed(func(s *Server) { s.Way = way("exec=false") }), []string{"false has ended with exit code 1"}, 0},
		{"command that is not there", changed(func(s *Server) { s.Way = way("exec=/nonexistent") }), []string{"starting /nonexistent"}, 0},
		{"no PID file", changed(func(s *Server) { s.PIDFile = "{dir}/none" }), []string{"no number in its PID file, {dir}/none, after", "leave pidfile= away"}, short},
		{"somebody else's PID file", changed(func(s *Server) { s.PIDFile = foreign }), []string{"its PID file, " + foreign + ", names process 1 after", "which is none of it"}, short},
		{"losing before", changed(func(s *Server) {
			s.Paths.Get = "/"
			s.Command = peer("nethttp-close").Command
			s.Paths.Post = "/nowhere"
		}),
			[]string{"lost requests before it was restarted", "other of a post client: status 404"}, 0},
		{"start beside it that cannot", changed(func(s *Server) { s.Way = way("start,stop=TERM") }),
			[]string{"the new process: it ended at the start", "it is started beside one that runs", "SO_REUSEPORT; share= names"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := &restartRun{Server: test.s, Clients: workers("get=2,post=1"), Restarts: 1, Rate: 50, Window: 50 * time.Millisecond,
				Timeout: cmp.Or(test.timeout, lingertest.Patience), Patience: patience, PIDFile: cmp.Or(test.timeout, patience), Waiting: func(sockdiag.Counts) {}}
			rep, err := r.measure(t.Context())
			var fault *failure
			if !errors.As(err, &fault) {
				t.Errorf("measured with %v, want a failure of the server", err)
			}
			if cost := test.name == "signal that ends it"; cost != (len(rep.Restarts) > 0) {
				t.Errorf("%d restarts are told of, want those that something came of", len(rep.Restarts))
			}
			lingertest.ExpectError(t, err, test.want...)
		})
	}
}

func TestParseWay(t *testing.T) {
	split := func(s string) ([]string, error) {
		if strings.Contains(s, `"`) {
			return nil, errors.New("a quote is open")
		}
		return strings.Fields(s), nil
	}
	for in, want := range map[string][]Step{
		"signal=USR2":            {{Do: Tell, Signal: syscall.SIGUSR2}},
		"signal=SIGHUP":          {{Do: Tell, Signal: syscall.SIGHUP}},
		"stop=TERM,start":        {{Do: Stop, Signal: syscall.SIGTERM}, {Do: Start}},
		" start , stop=15":       {{Do: Start}, {Do: Stop, Signal: syscall.SIGTERM}},
		"exec=a b, c,start":      {{Do: Exec, Command: []string{"a", "b,", "c"}}, {Do: Start}},
		"exec=a,exec=b,stop=INT": {{Do: Exec, Command: []string{"a"}}, {Do: Exec, Command: []string{"b"}}, {Do: Stop, Signal: syscall.SIGINT}},
	} {
		got, err := ParseWay(in, split)
		if err != nil || len(got.Steps) != len(want) {
			t.Errorf("ParseWay(%q) = %v, %v, want %v", in, got.Steps, err, want)
			continue
		}
		for i := range want {
			if g := got.Steps[i]; g.Do != want[i].Do || g.Signal != want[i].Signal || strings.Join(g.Command, " ") != strings.Join(want[i].Command, " ") {
				t.Errorf("ParseWay(%q): step %d is %v, want %v", in, i+1, g, want[i])
			}
		}
	}
	for in, want := range map[string]string{
		"":            `"" is no step of a restart`,
		"restart":     `"restart" is no step of a restart`,
		"signal=NOPE": "signal=NOPE: no signal is called that",
		"stop,start":  `"stop" needs a signal, as in stop=TERM`,
		"signal=":     `"signal=" needs a signal`,
		"start":       "nothing in it ends the old process",
		"start=now":   `"start=now" is no step`,
		"exec=":       "exec=: it needs a command",
		`exec=a "b`:   "a quote is open",
		"exec=,start": "exec=: it needs a command",
	} {
		_, err := ParseWay(in, split)
		lingertest.ExpectError(t, err, want)
	}
}

// The longest time without an answer is that of clients that ask all the time, and there is none without such clients, or without a time.
func TestGap(t *testing.T) {
	lost := func(restartload.Lost) bool { return false }
	answers := []restartload.Answer{{Kind: restartload.Idle, Took: 500 * time.Millisecond}, {Kind: restartload.New, Took: 700 * time.Millisecond}}
	seen := sighting{answers: answers, isNew: func(restartload.Answer) bool { return false }}
	for clients, want := range map[string]time.Duration{"idle=1,sse=1": -1, "idle=1,get=1": 700 * time.Millisecond, "post=1": 700 * time.Millisecond} {
		seen.clients = workers(clients)
		got := seen.traffic(0, time.Second, lost).Gap
		if (got == nil) != (want < 0) || got != nil && *got != want {
			t.Errorf("%s: the longest gap is %v, want %s", clients, got, want)
		}
		if got := seen.traffic(time.Second, time.Second, lost).Gap; got != nil {
			t.Errorf("%s: the longest gap of no time is %s", clients, *got)
		}
	}
}

// There is a client of each kind, and no more in all than were asked for.
func TestRestartClients(t *testing.T) {
	for _, n := range []int{7, 8, 10, 20, 100, 1000} {
		m := Restarts{Clients: kinds.Shares(workers(DefaultWork)), N: n}
		mix := m.shared()
		if mix.Total() != n || len(mix) != len(kinds.AtWork()) {
			t.Errorf("%d clients are %s", n, mix)
		}
		for _, s := range mix {
			if s.N < 1 {
				t.Errorf("%d clients are %s", n, mix)
			}
		}
	}
	m := Restarts{Clients: kinds.Shares(workers(DefaultWork)), N: 100}
	clients, without := m.clients(Server{Paths: kinds.Paths{Get: "/", Post: "/"}})
	if got := clients.String(); got != "20 get, 20 post, 24 idle" || len(without) != 4 {
		t.Errorf("clients of a server with two paths are %s, without %v", got, without)
	}
}

// Every way of the roster can be written by a user, but for a command of which the name says where it is.
func TestRestartRoster(t *testing.T) {
	names := make(map[string]bool)
	for _, k := range NewRestartRoster("rstserver", "bin/peers", "make peers") {
		if names[k.Name] || names[k.Key] || k.About == "" || len(k.Way.Steps) == 0 {
			t.Errorf("%s: not all is in order", k.Key)
		}
		names[k.Name], names[k.Key] = true, true
		if k.Paths.Lack(kinds.Get) != nil || k.Paths.Lack(kinds.Post) != nil {
			t.Errorf("%s lacks a path for get and post clients", k.Key)
		}
	}
}
