package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestBenchWire measures runs in which the wire is seen, and all forms say what came of them.
func TestBenchWire(t *testing.T) {
	t.Parallel()
	const n = 40
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	var b *benchmark
	ns := inNetwork(t, func() {
		b = startBench(t, benchCommandLine("--peers", "rstserver,floor,nethttp-close", "--n", "40", "--runs", "1", "--wire", "2", "--settle", "100ms",
			"--json", file("a.json"), "--html", file("a.html"), "--markdown", file("a.md")))
	})
	b.exit(0)
	ns.expectNone()
	b.expectNothing()
	expectNarrow(t, b.stdout.String())
	doc := readDocument(t, file("a.json"))
	if doc.Unwired != "" {
		t.Skipf("the wire cannot be seen: %s", doc.Unwired)
	}
	if len(doc.Cells) != 3 {
		t.Fatalf("failed: %v", doc.Failed)
	}
	for _, c := range doc.Cells {
		by := "RST"
		if c.Server == "net/http Close" {
			by = "FIN"
		}
		if len(c.Runs) != 1 || len(c.Wired) != 2 {
			t.Errorf("%s: %d runs, %d for the wire; want 1 and 2", c.Server, len(c.Runs), len(c.Wired))
		}
		for _, run := range c.Wired {
			if w := run.Wire; w.Ends()[by] != n || len(w.Ends()) != 1 || w.Last == nil || w.Dropped != 0 {
				t.Errorf("%s: ends, last, dropped = %v, %v, %d; want %d %s", c.Server, w.Ends(), w.Last, w.Dropped, n, by)
			}
			expectRun(t, c.Server, n, run)
		}
		if c.Runs[0].Wire != nil {
			t.Errorf("%s: the wire was seen in a run that was not for it", c.Server)
		}
	}
	for form, content := range map[string]string{"tables": b.stdout.String(), "page": readFile(t, file("a.html")), "Markdown": readFile(t, file("a.md"))} {
		if !strings.Contains(content, "On the wire, in 2 runs for that") || !strings.Contains(words(content), "last end") {
			t.Errorf("the %s do not say when the last connection was ended on the wire", form)
		}
	}
	// --from writes them again.
	if again, code := runBench(t, "--from", file("a.json")); code != 0 || again.stdout.String() != b.stdout.String() {
		t.Errorf("exit code = %d; --from writes\n%s\nwant\n%s", code, again.stdout.String(), b.stdout.String())
	}
}

// TestBenchWireUnprivileged: without CAP_NET_RAW everything else is measured, and the column says what is missing.
func TestBenchWireUnprivileged(t *testing.T) {
	needNobody(t)
	f := newForeign(t)
	b := startBench(t, f.asNobody(t, benchCommandLine("--peers", "floor", "--n", "10", "--runs", "1", "--wire", "3")))
	b.exit(0)
	b.expectNothing()
	for line := range strings.Lines(b.stdout.String()) {
		if strings.HasPrefix(line, "  floor ") && strings.Contains(line, "needs CAP_NET_RAW") {
			return
		}
	}
	t.Errorf("no row of the floor says what is missing:\n%s", b.stdout.String())
}
