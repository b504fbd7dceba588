package main

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

// TestBenchForeign measures servers that are not this project's, some of which fail, and all that can be is measured.
func TestBenchForeign(t *testing.T) {
	t.Parallel()
	sockdiagtest.NeedDestroy(t) // or each TIME_WAIT would be waited out
	f := newForeign(t)
	file := filepath.Join(f.dir, "bench.json")
	fixed := listen(t, "127.0.0.1")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	fixed.Close() // for a server that listens there whatever it is told
	number := strconv.Itoa(int(fixed.addr.Port()))
	takenNumber := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)

	cmd := benchCommandLine("--peers", "floor", "--n", "30", "--runs", "2", "--settle", "200ms", "--timeout", "3s", "--json", file,
		"--server", `path=/hello,late=/late?ms={ms},cmd=./foreign -port {port} -diary diary -usr1 -greeting "two words, and 'more'",name=by USR1,signal=usr1`,
		"--server", f.spec("name=fails", "-fails 'no licence found'"),
		"--server", "name=missing,cmd=./missing {port}",
		"--server", "name=wrong path,path=/nope,cmd=./foreign -port {port}",
		"--server", f.spec("name=stays", "-stays"),
		"--server", "name=port taken,cmd=./foreign,port="+takenNumber,
		"--server", "name=port given,path=/hello,signal=SIGKILL,cmd=./foreign -port "+number+",port="+number,
		"--server", "name=by shell,path=/hello,cmd=sh -c 'exec ./foreign -port {port} >/dev/null'",
	)
	cmd.Dir = f.dir
	b := startBench(t, cmd)
	b.exit(1)
	b.expectNothing()
	expectNarrow(t, b.stdout.String())
	if got := b.stderr.String(); got != "" {
		t.Errorf("stderr = %q, want nothing: what failed is in the report", got)
	}

	doc := readDocument(t, file)
	for name, want := range map[string]struct {
		runs   int
		exit   string
		ending string
		left   sockdiag.Counts
		signal string
	}{
		"floor":      {2, "exit code 0", "reset", sockdiag.Counts{}, "SIGTERM"},
		"by USR1":    {2, "exit code 0", "eof", sockdiag.Counts{sockdiag.TimeWait: 30}, "SIGUSR1"},
		"port given": {2, "SIGKILL", "eof", sockdiag.Counts{sockdiag.TimeWait: 30}, "SIGKILL"},
		"by shell":   {2, "exit code 0", "eof", sockdiag.Counts{sockdiag.TimeWait: 30}, "SIGTERM"},
	} {
		runs := 0
		for _, c := range doc.Cells {
			if c.Server != name {
				continue
			}
			runs += len(c.Runs)
			for _, run := range c.Runs {
				if run.Endings[want.ending] != 30 || !leaves(run, want.left) || !slices.Equal(run.Exit, []string{want.exit}) {
					t.Errorf("%s: endings, left, exit = %v, %v, %q; want 30 %s, %s, %s", name, run.Endings, run.Left, run.Exit, want.ending, want.left, want.exit)
				}
			}
		}
		if runs != want.runs {
			t.Errorf("%s: %d runs, want %d", name, runs, want.runs)
		}
		for _, s := range doc.Servers {
			if s.Name == name && s.Signal != want.signal {
				t.Errorf("%s: signal = %s, want %s", name, s.Signal, want.signal)
			}
		}
	}
	failures := map[string]string{
		"fails":      "it ended at the start, with exit code 7; it printed: no licence found",
		"missing":    "./missing: no such file or directory",
		"wrong path": "404 Not Found: name a path that it serves",
		"stays":      "it still runs 3s after SIGTERM, and was killed; --timeout gives it longer",
		"port taken": "port " + takenNumber + ", which it listens on, is in use: rstserver free " + takenNumber + " shows by whom",
	}
	unstarted := []string{"fails", "missing"} // these are out for good
	text := words(b.stdout.String())
	for _, o := range doc.Failed {
		want, ok := failures[o.Server]
		round := 1
		if slices.Contains(unstarted, o.Server) {
			round = 0
		}
		if !ok || o.Round != round || !strings.Contains(o.Reason, want) {
			t.Errorf("failed = %+v, want %q in round %d", o, want, round)
		}
		if strings.HasPrefix(o.Reason, "bench: ") || strings.HasPrefix(o.Reason, o.Server+":") {
			t.Errorf("reason %q says again what it is about", o.Reason)
		}
		if !strings.Contains(text, want) {
			t.Errorf("the tables do not say %q", want)
		}
		delete(failures, o.Server)
	}
	for name := range failures {
		t.Errorf("%s is not among those that failed", name)
	}
	if notes := f.notes(); !slices.Contains(notes, `started with two words, and 'more'`) || !slices.Contains(notes, "told user defined signal 1") {
		t.Errorf("the servers noted %q, want the argument with blanks and the signal", notes)
	}
}

// TestBenchLate: in-flight requests of a server that has a path for them.
func TestBenchLate(t *testing.T) {
	sockdiagtest.NeedDestroy(t) // or each TIME_WAIT would be waited out
	f := newForeign(t)
	file := filepath.Join(f.dir, "bench.json")
	_, code := runBench(t, "--peers", "none", "--n", "20", "--runs", "1", "--kind", "in-flight", "--late", "1m", "--settle", "0", "--json", file,
		"--server", f.spec("late=/late?ms={ms}", ""))
	if code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
	doc := readDocument(t, file)
	// Without a name it is called as its program.
	if len(doc.Cells) != 1 || doc.Cells[0].Server != f.program || doc.Cells[0].Runs[0].ByKind["in-flight"]["eof"] != 20 {
		t.Errorf("cells = %+v, want 20 in-flight connections of %s that end", doc.Cells, f.program)
	}
}

// TestBenchNothingStarts: no server can be measured, and yet all forms say why.
func TestBenchNothingStarts(t *testing.T) {
	f := newForeign(t)
	file, markdown := filepath.Join(f.dir, "bench.json"), filepath.Join(f.dir, "bench.md")
	b, code := runBench(t, "--peers", "none", "--n", "20", "--runs", "3", "--json", file, "--markdown", markdown, "--server", f.spec("name=fails", "-fails 'no licence'"))
	if code != 1 || b.stderr.String() != "" {
		t.Errorf("exit code, stderr = %d, %q; want 1 and nothing", code, b.stderr.String())
	}
	if starts := strings.Count(readFile(t, f.diary), "started"); starts != 1 {
		t.Errorf("it was started %d times, want once: what does not start is not tried again", starts)
	}
	for _, content := range []string{b.stdout.String(), readFile(t, file), readFile(t, markdown)} {
		if !strings.Contains(words(content), "it printed: no licence") {
			t.Errorf("what it printed is not in\n%s", content)
		}
	}
}

// TestBenchPrintedByServer: what a server prints does nothing to the terminal.
func TestBenchPrintedByServer(t *testing.T) {
	b, code := runBench(t, "--peers", "none", "--n", "20", "--runs", "1",
		"--server", `name=prints,cmd=sh -c 'printf "one\ntwo\n\033[2Jthree\n"; printf "%0900d\n" 4 >&2; exit 3' {port}`)
	if code != 1 {
		t.Errorf("exit code = %d, want 1", code)
	}
	if text := words(b.stdout.String()); !strings.Contains(text, "with exit code 3; it printed: two | [2Jthree | 0000") || strings.Contains(text, "\x1b") {
		t.Errorf("stdout = %q, want the last three lines of what was printed", text)
	}
	expectNarrow(t, b.stdout.String())
}

// TestBenchManyProcesses: servers and clients that may not have as many open files as there are connections.
func TestBenchManyProcesses(t *testing.T) {
	t.Parallel()
	sockdiagtest.NeedDestroy(t) // or each TIME_WAIT would be waited out
	f := newForeign(t)
	file := filepath.Join(f.dir, "bench.json")
	cmd := benchCommandLine("--n", "1000", "--peers", "rstserver,floor,nethttp-close", "--runs", "1", "--settle", "100ms", "--json", file, "--server", f.spec("name=foreign", ""))
	cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `ulimit -n 700 && exec "$0" "$@"`}, cmd.Args...)
	b := startBench(t, cmd)
	b.exit(1)
	b.expectNothing()
	doc := readDocument(t, file)
	if len(doc.Cells) != 3 {
		t.Errorf("%d cells, want 3", len(doc.Cells))
	}
	for _, c := range doc.Cells {
		if c.Processes != 2 || c.Clients != 2 || c.Runs[0].Endings["reset"]+c.Runs[0].Endings["eof"] != 1000 || len(c.Runs[0].Exit) != 2 {
			t.Errorf("%s: processes, clients, endings, exit = %d, %d, %v, %q; want two each, 1000 told, and two exits", c.Server, c.Processes, c.Clients,
				c.Runs[0].Endings, c.Runs[0].Exit)
		}
	}
	if len(doc.Failed) != 1 || !strings.Contains(doc.Failed[0].Reason, "for so many connections it is started 2 times, for which its listening socket needs SO_REUSEPORT") ||
		!strings.Contains(doc.Failed[0].Reason, "address already in use") {
		t.Errorf("failed = %+v, want the server that cannot share its port", doc.Failed)
	}
}

// TestBenchMissingPeers: programs that are not there are skipped, with what makes them.
func TestBenchMissingPeers(t *testing.T) {
	empty := t.TempDir()
	file := filepath.Join(empty, "bench.json")
	b, code := runBench(t, "--peers", "fasthttp,floor,node", "--peers-dir", empty, "--n", "10", "--runs", "1", "--json", file)
	if code != 0 || b.stderr.String() != "" {
		t.Errorf("exit code, stderr = %d, %q; want 0 and nothing", code, b.stderr.String())
	}
	doc := readDocument(t, file)
	if len(doc.Cells) != 1 || doc.Cells[0].Server != "floor" || len(doc.Skipped) < 2 || len(doc.Failed) > 0 {
		t.Errorf("cells, skipped, failed = %v, %v, %v; want the floor, all others skipped", doc.Cells, doc.Skipped, doc.Failed)
	}
	for _, o := range doc.Skipped {
		if !strings.HasPrefix(o.Reason, empty+string(os.PathSeparator)) || !strings.HasSuffix(o.Reason, " is not there: make peers") {
			t.Errorf("%s: reason = %q, want the file and make peers", o.Server, o.Reason)
		}
	}
	if text := words(b.stdout.String()); !strings.Contains(text, "Skipped - fasthttp Shutdown: "+empty+"/fasthttp is not there: make peers") {
		t.Errorf("stdout does not say that fasthttp was skipped:\n%s", b.stdout.String())
	}

	b, code = runBench(t, "--peers", "fasthttp,gnet", "--peers-dir", empty, "--n", "10", "--json", file)
	if want := "rstserver: nothing could be measured: see what was skipped, and why\n"; code != 1 || b.stderr.String() != want {
		t.Errorf("exit code, stderr = %d, %q; want 1, %q", code, b.stderr.String(), want)
	}
	if doc := readDocument(t, file); len(doc.Cells) > 0 || len(doc.Skipped) != 2 {
		t.Errorf("cells, skipped = %v, %v, want two that were skipped", doc.Cells, doc.Skipped)
	}
	expectNarrow(t, b.stdout.String())
}

// TestBenchHints: what users stumble over is answered with what to do.
func TestBenchHints(t *testing.T) {
	t.Parallel()
	f := newForeign(t)
	cmd := benchCommandLine("--peers", "none", "--n", "5", "--runs", "1", "--timeout", "2s", "--settle", "50ms",
		"--server", f.spec("name=daemon", "-daemon"),
		"--server", f.spec("name=closes", "-closes"),
		"--server", f.spec("name=deaf", "-deaf"),
		"--server", "name=wrapper,path=/hello,cmd=sh -c './foreign -port {port}; true'",
	)
	cmd.Dir = f.dir
	b := startBench(t, cmd)
	b.exit(1)
	b.expectNothing()
	text := words(b.stdout.String())
	for _, want := range []string{
		"runs on: it puts itself into the background; have it stay in the foreground",
		"that have sent nothing yet: --kind fresh",
		"after 2s; --timeout gives it longer",
		"a shell keeps the signal to itself: put exec in front of the server's command, as in cmd=sh -c 'exec ...'",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, b.stdout.String())
		}
	}
}
