package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rstserver/internal/layout"
	"rstserver/internal/prose"
)

var (
	update = flag.Bool("update", false, "write the files of testdata anew")
	pages  = flag.String("pages", "", "a directory to write pages to, to look at them in a browser")
)

// golden compares got with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s; see what differs with go test -update and git diff. Got:\n%s", path, got)
	}
}

func text(t *testing.T, d *Document) string {
	t.Helper()
	return textIn(t, d, Options{})
}

func textIn(t *testing.T, d *Document, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := d.Text(&b, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTextGolden(t *testing.T) {
	golden(t, "usual.txt", []byte(textIn(t, usual(), Options{Explain: true})))
	golden(t, "usual-60.txt", []byte(textIn(t, usual(), Options{Columns: 60})))
	golden(t, "usual-80.txt", []byte(textIn(t, usual(), Options{Columns: 80})))
	golden(t, "grown.txt", []byte(text(t, grown())))
	golden(t, "wired.txt", []byte(text(t, wired("idle"))))
}

// TestTextFitsTheTerminal: no line is wider than it, but for a word that is, and no word is broken.
func TestTextFitsTheTerminal(t *testing.T) {
	for name, d := range map[string]*Document{"usual": usual(), "grown": grown(), "wired": wired("idle", mixed), "unwired": unwired(), "large": large(), "nasty": nasty(), "empty": empty(), "restarts": restarts()} {
		words := make(map[string]bool)
		widths := []int{200, 160, 120, 100, 80, 72, 60}
		if testing.Short() {
			widths = []int{200, 100, 80, 60}
		}
		for i, columns := range widths {
			got := textIn(t, d, Options{Columns: columns, Explain: true})
			for k, line := range strings.Split(got, "\n") {
				if n := layout.Columns(line); n > columns && len(strings.Fields(strings.TrimLeft(line, " !-"))) > 1 {
					t.Errorf("%s, line %d has %d columns, want at most %d: %s", name, k+1, n, columns, line)
				}
				if line != prose.Printable(line) {
					t.Errorf("%s, line %d has what a terminal would act on: %q", name, k+1, line)
				}
			}
			for _, word := range strings.Fields(got) {
				if i == 0 {
					words[word] = true
				} else if !words[word] && strings.Trim(word, "0123456789") != "" && word != "more" { // how many more there are

					t.Errorf("%s in %d columns: %q is part of a word", name, columns, word)
				}
			}
		}
	}
}

// TestTextBeginsWithTheResult: five lines say what came of it, then come the figures, then the machine.
func TestTextBeginsWithTheResult(t *testing.T) {
	for _, columns := range []int{80, 100, 200} {
		got := textIn(t, usual(), Options{Columns: columns})
		lines := strings.Split(got, "\n")
		for i, want := range []string{"10,000 idle connections, ", "  port free     rstserver 63.0 ms (1.25 × floor); ", "  never free    in 1 s: net/http Close; nginx; node, server.close()",
			"  clients told  rstserver 75.6 ms; ", "  left behind   10,000 TIME_WAIT by net/http Close and nginx; ", ""} {
			if !strings.HasPrefix(lines[i], want) || want == "" && lines[i] != "" {
				t.Errorf("in %d columns, line %d is %q, want %q", columns, i+1, lines[i], want)
			}
		}
		if table, machine := strings.Index(got, "  server "), strings.Index(got, "Some Processor"); table < 0 || machine < table {
			t.Errorf("the machine is at %d, before the tables at %d", machine, table)
		}
		if strings.Contains(got, "What the figures mean") || !strings.Contains(textIn(t, usual(), Options{Explain: true}), "What the figures mean") {
			t.Error("the glossary is there without Explain, or is not with it")
		}
	}
}

// What memory has grown by is told by the connection, where that was measured.
func TestTextTellsOfGrownMemory(t *testing.T) {
	d := usual()
	const title = "resident  grown"
	if strings.Contains(textIn(t, d, Options{Columns: 220}), title) {
		t.Error("the text has what was not measured")
	}
	for i := range d.Cells[0].Runs {
		d.Cells[0].Runs[i].Grown = 10_000 * 1234
	}
	got := textIn(t, d, Options{Columns: 220})
	if !strings.Contains(got, title) || !strings.Contains(got, " 1,234") {
		t.Errorf("the text lacks it:\n%s", got)
	}
}

func TestTextTellsOfWhatIsMissing(t *testing.T) {
	d := usual()
	d.Skipped = []Omission{{Server: "haproxy", Reason: "not installed; apt-get install haproxy"}}
	d.Failed = []Omission{{Server: "nginx", N: 10000, Mix: "idle", Round: 3, Reason: "exit code 139; see its log"}}
	d.Warnings = []string{"the machine was busy; use a quieter one"}
	d.Interrupted = true
	got := strings.Join(strings.Fields(text(t, d)), " ")
	for _, want := range []string{
		"haproxy: not installed; apt-get install haproxy",
		"nginx, 10,000 idle connections, round 3: exit code 139; see its log",
		"! the machine was busy; use a quieter one",
		"! interrupted before all was measured",
		"port free to 0.400 ms",
		"held by node (4711)",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the text does not have %q:\n%s", want, got)
		}
	}
}
