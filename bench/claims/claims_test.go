package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Each claim stands in its file as it is measured: who changes the sentence changes what is measured.
func TestSentences(t *testing.T) {
	texts := make(map[string]string)
	for _, c := range claims("rstserver", "peers") {
		if texts[c.File] == "" {
			b, err := os.ReadFile(filepath.Join("..", "..", c.File))
			if err != nil {
				t.Fatal(err)
			}
			texts[c.File] = plain(string(b))
		}
		if !strings.Contains(texts[c.File], c.Says) {
			t.Errorf("%s does not say %q any more: change what is claimed of it in list.go", c.File, c.Says)
		}
		if c.Claimed < 0 || c.Slack < 0 || c.Slack > 1 || len(c.By) == 0 || c.Figure == nil {
			t.Errorf("%s: %q: %+v", c.File, c.Says, c)
		}
	}
}

// A paragraph, or a line of a table, that has a figure of time or memory has a claim that is measured, unless it is said here why not.
func TestOtherFigures(t *testing.T) {
	figures := regexp.MustCompile(`\d (µs|ns|ms|KB|MB|MiB)\b|\d times\b`)
	notMeasured := map[string]string{ // part of a paragraph, and why
		"clients were told after 234–296 ms":                 "Node's ways: bench --peers node",
		"the time until it has taken over (medians of 7":     "cloudflare/tableflip beside linger/handover, in a module of its own",
		"The page draws the answers of each 10 ms around a ": "that is how finely it draws",
		"How many were told within each 100 ms":              "that is how finely it counts",
	}
	said := make(map[string][]string)
	for _, c := range claims("rstserver", "peers") {
		said[c.File] = append(said[c.File], c.Says)
	}
	stands := make(map[string]bool)
	for _, file := range []string{"README.md", "linger/README.md", "poller/README.md", "bench/README.md"} {
		b, err := os.ReadFile(filepath.Join("..", "..", file))
		if err != nil {
			t.Fatal(err)
		}
		for paragraph := range strings.SplitSeq(strings.ReplaceAll(string(b), "\n|", "\n\n|"), "\n\n") {
			text := plain(paragraph)
			part := func(s string) bool { return strings.Contains(text, s) }
			for s := range notMeasured {
				stands[s] = stands[s] || part(s)
			}
			if figures.MatchString(text) && !slices.ContainsFunc(said[file], part) && !slices.ContainsFunc(slices.Collect(maps.Keys(notMeasured)), part) {
				t.Errorf("%s has a figure that nobody measures again: add it to list.go, or say here why not:\n%s", file, text)
			}
		}
	}
	for s := range notMeasured {
		if !stands[s] {
			t.Errorf("%q stands nowhere any more", s)
		}
	}
}

const printed = `goos: linux
BenchmarkOther/a-2   	     500	     99999 tracked-ns
BenchmarkListener/request-2         	     500	     50000 armed-ns	     40000 bare-ns	     44000 tracked-ns
BenchmarkListener/connection-2      	     500	    1.5e+05 armed-ns	    246306 bare-ns	    230721 tracked-ns
PASS
`

func TestFigures(t *testing.T) {
	for name, test := range map[string]struct {
		of   figure
		text string
		want float64
	}{
		"a benchmark":      {benchmark("Listener/request", "bare-ns"), printed, 40000},
		"with an exponent": {benchmark("Listener/connection", "armed-ns"), printed, 150000},
		"a ratio":          {over(benchmark("Listener/request", "tracked-ns"), benchmark("Listener/request", "bare-ns")), printed, 1.1},
		"the median":       {found(`at (\d+)`), "at 5 at 1 at 3 at 4", 3.5},
		"the greatest":     {most(`at (\d+)`), "at 5 at 1 at 9 at 4", 9},
		"no test failed":   {failed, "ok  \ta\t1s\nok  \tb\t1s\n", 0},
		"one did":          {failed, "ok  \ta\t1s\n--- FAIL: TestX\nFAIL\nFAIL\tb\t1s\n", 1},
	} {
		if got, err := test.of(test.text); got != test.want || err != nil {
			t.Errorf("%s: %g, %v, want %g", name, got, err, test.want)
		}
	}
	for name, of := range map[string]figure{
		"no such benchmark": benchmark("Listener", "bare-ns"), "no such unit": benchmark("Listener/request", "ns/op"), "nothing": most("(7777)"),
		"no test": failed, "no document": lost("rstserver"), "half a ratio": over(benchmark("Listener/request", "bare-ns"), most("(7777)")),
	} {
		if got, err := of(printed); err == nil {
			t.Errorf("%s: %g, want an error", name, got)
		}
	}
}

func TestVerdicts(t *testing.T) {
	figure := func(v float64) figure { return func(string) (float64, error) { return v, nil } }
	list := []claim{
		{"a.md", "it takes 100 ms", []string{"true"}, figure(149), 100, false, "ms", 0.5},
		{"a.md", "it takes a second", []string{"true"}, figure(151), 100, false, "ms", 0.5},
		{"b.md", "twice as fast", []string{"true"}, figure(1.8), 2, true, "×", 0.1},
		{"b.md", "thrice as fast", []string{"true"}, figure(1.79), 2, true, "×", 0.1},
		{"c.md", "nothing", []string{"true"}, figure(0), 0, false, "", 0},
		{"c.md", "cannot be known", []string{"sh", "-c", "echo why not >&2; exit 3"}, found("(1)"), 1, false, "", 0},
	}
	var out strings.Builder
	if err := judge(context.Background(), &out, io.Discard, list); !errors.Is(err, errBroken) {
		t.Errorf("%v", err)
	}
	for says, want := range map[string]string{
		"it takes 100 ms": holds, "it takes a second": fails, "twice as fast": holds, "thrice as fast": fails, "nothing": holds, "cannot be known": unproven,
	} {
		line := regexp.MustCompile(`(?m)^.*` + says + `.*$`).FindString(out.String())
		if !strings.Contains(line, want) {
			t.Errorf("%q: %q, want %s in\n%s", says, line, want, &out)
		}
	}
	if !strings.Contains(out.String(), "why not") {
		t.Errorf("it is not said why one was not measured:\n%s", &out)
	}
	out.Reset()
	if err := judge(context.Background(), &out, io.Discard, list[:1]); err != nil {
		t.Errorf("%v, where all hold", err)
	}
	for line := range strings.Lines(out.String()) {
		if n := len([]rune(line)); n > 81 {
			t.Errorf("a line of %d columns: %q", n, line)
		}
	}
}
