package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	var b bytes.Buffer
	if err := d.Text(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTextGolden(t *testing.T) {
	golden(t, "usual.txt", []byte(text(t, usual())))
	golden(t, "grown.txt", []byte(text(t, grown())))
	golden(t, "wired.txt", []byte(text(t, wired("idle"))))
}

func TestTextFitsTheTerminal(t *testing.T) {
	for name, d := range map[string]*Document{"usual": usual(), "grown": grown(), "wired": wired("idle", mixed), "unwired": unwired(), "large": large(), "nasty": nasty(), "empty": empty()} {
		for i, line := range strings.Split(text(t, d), "\n") {
			if n := columns(line); n > maxColumns {
				t.Errorf("%s, line %d has %d columns, want at most %d: %s", name, i+1, n, maxColumns, line)
			}
			if line != prose.Printable(line) {
				t.Errorf("%s, line %d has what a terminal would act on: %q", name, i+1, line)
			}
		}
	}
}

func TestBreakLinesLosesNothing(t *testing.T) {
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
	texts := []string{
		"", "short", "64.1 (45.2–90.0)", "9,000" + nbsp + "EOF, 1,000" + nbsp + "untold", strings.Repeat("long", 30), "a " + strings.Repeat("服务器", 9),
		"two  blanks", "mixed" + nbsp + strings.Repeat("x", 40) + nbsp + "glue and words",
	}
	for _, text := range texts {
		for room := 2; room < 60; room++ {
			lines := breakLines(text, room)
			if got := squeeze(strings.Join(lines, "")); got != squeeze(text) {
				t.Errorf("breakLines(%q, %d) = %q, want the same text", text, room, lines)
			}
			for _, line := range lines {
				if columns(line) > room {
					t.Errorf("breakLines(%q, %d) has the line %q of %d columns", text, room, line, columns(line))
				}
			}
		}
	}
	if got := breakLines("9,000"+nbsp+"EOF, 1,000"+nbsp+"untold", 14); len(got) != 2 || got[0] != "9,000"+nbsp+"EOF," {
		t.Errorf("breakLines = %q, want a break between the two counts only", got)
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
