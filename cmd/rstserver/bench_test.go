package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rstserver/bench/report"
	"rstserver/internal/prose"
	"rstserver/linger/sockdiag"
)

// TestBench measures what there is to measure without a flag, with fewer connections and runs.
func TestBench(t *testing.T) {
	t.Parallel()
	const n, runs = 60, 2
	file := filepath.Join(t.TempDir(), "bench.json")
	var b *benchmark
	ns := inNetwork(t, func() {
		b = startBench(t, benchCommandLine("--n", "60", "--runs", "2", "--settle", "300ms", "--json", file))
	})
	b.exit(0)
	ns.expectNone()
	b.expectNothing()
	if got := b.stderr.String(); got != "" {
		t.Errorf("stderr = %q, want nothing, since it is no terminal", got)
	}
	expectNarrow(t, b.stdout.String())

	doc := readDocument(t, file)
	if !slices.Equal(doc.Command, append([]string{"rstserver"}, b.cmd.Args[1:]...)) {
		t.Errorf("command = %q, want %q", doc.Command, b.cmd.Args)
	}
	if doc.Interrupted || len(doc.Failed)+len(doc.Skipped) > 0 || doc.Program == "" || doc.Machine.Kernel == "" || doc.Took <= 0 {
		t.Errorf("interrupted, failed, skipped, program, machine, took = %t, %v, %v, %q, %v, %v", doc.Interrupted, doc.Failed, doc.Skipped,
			doc.Program, doc.Machine, doc.Took)
	}
	want := []string{"rstserver abort", "rstserver drain", "rstserver kill -9", "floor", "net/http Close"}
	var got []string
	for _, c := range doc.Cells {
		got = append(got, c.Server)
		if c.N != n || c.Mix != "idle" || len(c.Runs) != runs {
			t.Errorf("%s: connections, mix, runs = %d, %q, %d", c.Server, c.N, c.Mix, len(c.Runs))
		}
		if rows := b.stdout.count("  "+c.Server+" ", "nothing") + b.stdout.count("  "+c.Server+" ", "60 TIME_WAIT"); rows != 1 {
			t.Errorf("stdout has %d rows with what %s left on its port, want 1", rows, c.Server)
		}
		for i, run := range c.Runs {
			if run.Round != i+1 {
				t.Errorf("%s: round = %d, want %d", c.Server, run.Round, i+1)
			}
			expectRun(t, c.Server, n, run)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("servers = %q, want %q", got, want)
	}
}

// expectRun expects what every run of a server has to show.
func expectRun(t *testing.T, server string, n int, run report.Run) {
	t.Helper()
	ending, exit := "reset", "exit code 0"
	var left sockdiag.Counts
	switch server {
	case "rstserver kill -9":
		exit = "SIGKILL"
	case "net/http Close":
		ending = "eof"
		left[sockdiag.TimeWait] = n
	}
	if len(run.Endings) != 1 || run.Endings[ending] != n || run.ByKind["idle"][ending] != n {
		t.Errorf("%s: endings = %v, %v, want %d %s", server, run.Endings, run.ByKind, n, ending)
	}
	told := 0
	for _, step := range run.Curve {
		told += step.N
	}
	if told != n || run.Told == nil || *run.Told != run.Curve[len(run.Curve)-1].At {
		t.Errorf("%s: told = %v, curve = %v, want one of %d clients that ends then", server, run.Told, run.Curve, n)
	}
	if !leaves(run, left) || run.Cleaned != left.Total() || len(run.Holders) > 0 {
		t.Errorf("%s: left, cleaned, holders = %v, %d, %q, want %s and nobody", server, run.Left, run.Cleaned, run.Holders, left)
	}
	if free := left.Total() == 0; free != (run.Free != nil) || free && (run.Free.Before > run.Free.At || run.Free.Before < 0) {
		t.Errorf("%s: free = %v with %s left", server, run.Free, left)
	}
	if run.Refused == nil || run.Refused.Before > run.Refused.At {
		t.Errorf("%s: refused = %v", server, run.Refused)
	}
	if run.Gone == nil || *run.Gone <= 0 || !slices.Equal(run.Exit, []string{exit}) || run.Open <= 0 || run.At.IsZero() || run.Resident <= 0 {
		t.Errorf("%s: gone, exit, open, at, resident = %v, %q, %v, %v, %d", server, run.Gone, run.Exit, run.Open, run.At, run.Resident)
	}
}

// leaves reports whether a run left these sockets, the first time as many in whatever states: a FIN of a client may be under way.
func leaves(run report.Run, want sockdiag.Counts) bool {
	last := len(run.Left) - 1
	return last >= 0 && run.Left[0].States.Total() == want.Total() && run.Left[last].States == want
}

// TestBenchKinds measures with mixes and several numbers, as many runs as there are combinations.
func TestBenchKinds(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bench.json")
	b, code := runBench(t, "--peers", "rstserver,floor", "--n", "20,40", "--kind", "fresh", "--kind", "idle=3,in-flight=1", "--runs", "1", "--late", "1m", "--json", file)
	if code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
	doc := readDocument(t, file)
	var got []string
	for _, c := range doc.Cells {
		got = append(got, c.Server+", "+prose.Grouped(c.N)+" "+c.Mix)
		if run := c.Runs[0]; run.Endings["reset"] != c.N {
			t.Errorf("%s, %d %s: endings = %v, want all reset", c.Server, c.N, c.Mix, run.ByKind)
		}
	}
	if want := []string{
		"rstserver abort, 20 fresh", "floor, 20 fresh", "rstserver abort, 40 fresh", "floor, 40 fresh",
		"rstserver abort, 20 75 % idle, 25 % in-flight", "rstserver abort, 40 75 % idle, 25 % in-flight",
	}; !slices.Equal(got, want) {
		t.Errorf("cells = %q, want %q", got, want)
	}
	// The floor answers nothing late.
	if len(doc.Skipped) != 2 || doc.Skipped[0].Server != "floor" || doc.Skipped[0].N != 20 || doc.Skipped[1].N != 40 ||
		!strings.Contains(doc.Skipped[0].Reason, "no path for in-flight connections") {
		t.Errorf("skipped = %+v, want the floor with in-flight connections", doc.Skipped)
	}
	if b.stdout.count("Skipped") != 1 {
		t.Error("the tables do not say what was skipped")
	}
	expectNarrow(t, b.stdout.String())
	b.expectNothing()
}
