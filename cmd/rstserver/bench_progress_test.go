package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"rstserver/bench"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

func TestProgressLine(t *testing.T) {
	var waiting sockdiag.Counts
	waiting[sockdiag.TimeWait] = 1000
	for _, tt := range []struct {
		now  bench.Progress
		want string
	}{
		{bench.Progress{Server: "floor", N: 10000, Mix: "idle", Of: 25}, "run 1 of 25 · floor, 10,000 idle · 0 connections open"},
		{bench.Progress{Server: "floor", N: 10000, Mix: "idle", Done: 3, Of: 25, Opened: 2048, Left: 61 * time.Second},
			"run 4 of 25 · floor, 10,000 idle · 2,048 connections open · about 1m1s left"},
		{bench.Progress{Server: "floor", N: 10, Mix: "80 % idle, 20 % fresh", Done: 24, Of: 25, Opened: 10, Left: 400 * time.Millisecond},
			"run 25 of 25 · floor, 10: 80 % idle, 20 % fresh · all open, letting go · less than 1s left"},
		{bench.Progress{Server: "floor", N: 1000, Mix: "idle", Of: 1, Opened: 1000, Waiting: waiting},
			"run 1 of 1 · floor, 1,000 idle · waiting for the end of TIME_WAIT 1000, which only CAP_NET_ADMIN may destroy"},
		{bench.Progress{Server: "a\x1b[2J\nb", N: 1, Mix: "idle", Of: 1}, "run 1 of 1 · a?[2J?b, 1 idle · 0 connections open"},
	} {
		if got := progressLine(tt.now); got != tt.want {
			t.Errorf("progressLine(%+v) = %q, want %q", tt.now, got, tt.want)
		}
	}
}

// progressLines are what was written on the line of progress, one after the other.
func (b *benchmark) progressLines() []string {
	return strings.Split(b.process.stdout.String(), "\r\x1b[K")
}

// TestBenchProgress runs with a terminal as stderr, and none as stdout.
func TestBenchProgress(t *testing.T) {
	t.Parallel()
	sockdiagtest.NeedDestroy(t) // or each TIME_WAIT would be waited out
	for _, columns := range []uint16{0, 200, 40} {
		stdout, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
		if err != nil {
			t.Fatal(err)
		}
		defer stdout.Close()
		cmd := benchCommandLine("--peers", "floor,nethttp-close", "--n", "100", "--runs", "2", "--settle", "100ms", "--server", "name="+strings.Repeat("long", 20)+",cmd=./missing {port}")
		cmd.Stdout = stdout
		p, _ := onTerminalOf(t, cmd, columns)
		b := &benchmark{p, cmd.Env[len(cmd.Env)-1]}
		b.exitOnTerminal(1)
		b.expectNothing()

		room := int(columns) - 1
		if columns == 0 {
			room = 80 - 1
		}
		lines := b.progressLines()
		if first, last := lines[0], lines[len(lines)-1]; first != "" || last != "" {
			t.Errorf("%d columns: the terminal shows %q and %q beside progress, want nothing, and nothing at the end", columns, first, last)
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n > room || strings.ContainsAny(line, "\r\n\x1b") {
				t.Errorf("%d columns: %q has %d", columns, line, n)
			}
		}
		all := strings.Join(lines, "\n")
		want := []string{`(?m)^run 1 of 6 · floor, 100 idle`, `(?m)^run 2 of 6 · net/http Close,`, `(?m)^run 3 of 6 · longlonglong`, `(?m)^run 6 of 6 ·`}
		if columns == 200 {
			want = append(want, `(?m)^run 1 of 6 · floor, 100 idle · 0 connections open$`, `(?m)^run 1 of 6 · floor, 100 idle · all open, letting go$`,
				`(?m)^run 4 of 6 · .*, 100 idle · all open, letting go · (about|less than) \S+ left$`)
		}
		for _, w := range want {
			if !regexp.MustCompile(w).MatchString(all) {
				t.Errorf("%d columns: no progress is %s:\n%s", columns, w, all)
			}
		}
		tables := readFile(t, stdout.Name())
		if !strings.HasPrefix(tables, "100 idle connections, median of 2 runs in turn\n  port free ") || strings.ContainsAny(tables, "\r\x1b") {
			t.Errorf("%d columns: stdout is %q, want the tables", columns, tables)
		}
	}
}

// TestBenchOnTerminal runs with both on one terminal: once the tables come, no progress is left.
func TestBenchOnTerminal(t *testing.T) {
	cmd := benchCommandLine("--peers", "floor", "--n", "10", "--runs", "1")
	p, _ := onTerminalOf(t, cmd, 120)
	p.exitOnTerminal(0)
	_, tables, found := strings.Cut(p.text(), "letting go\r\x1b[K")
	if !found || !strings.HasPrefix(tables, "10 idle connections, one run\n  port free ") || strings.Contains(tables, "\x1b") {
		t.Errorf("the terminal shows %q", p.text())
	}
}

// TestBenchOnDumbTerminal: what cannot be taken back is written a line for each run.
func TestBenchOnDumbTerminal(t *testing.T) {
	cmd := benchCommandLine("--peers", "floor", "--n", "10", "--runs", "2")
	cmd.Env = slices.Insert(cmd.Env, len(cmd.Env)-1, "TERM=dumb")
	p, _ := onTerminalOf(t, cmd, 80)
	p.exitOnTerminal(0)
	if got := p.text(); strings.ContainsAny(got, "\r\x1b") || !regexp.MustCompile(`^run 1 of 2 · .*\nrun 2 of 2 · .*\n10 idle connections`).MatchString(got) {
		t.Errorf("the terminal shows %q", got)
	}
}
