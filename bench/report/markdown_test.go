package report

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

func markdown(t *testing.T, docs ...*Document) string {
	t.Helper()
	var b bytes.Buffer
	if err := Markdown(&b, Options{Explain: true}, docs...); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestMarkdownGolden(t *testing.T) {
	golden(t, "results.md", []byte(markdown(t, usual(), grown())))
}

var unescapedBar = regexp.MustCompile(`(^|[^\\])\|`)

func TestMarkdownTablesAreWhole(t *testing.T) {
	for name, d := range map[string]*Document{"wired": wired("idle"), "unwired": unwired(), "large": large(), "nasty": nasty(), "empty": empty()} {
		cells := 0 // of the table that goes on
		for i, line := range strings.Split(markdown(t, d), "\n") {
			if !strings.HasPrefix(line, "|") {
				cells = 0
				if strings.HasPrefix(line, "    ") {
					continue // code
				}
			} else {
				got := len(unescapedBar.FindAllString(line, -1))
				if cells == 0 {
					cells = got
				}
				if got != cells || !strings.HasSuffix(line, "|") {
					t.Errorf("%s, line %d has %d bars, want %d, the last at its end: %s", name, i+1, got, cells, line)
				}
			}
			if strings.Contains(strings.ReplaceAll(line, `\<`, ""), "<") {
				t.Errorf("%s, line %d has a tag: %s", name, i+1, line)
			}
		}
	}
}

func TestMarkdownHasAHeadForEachDocument(t *testing.T) {
	got := markdown(t, usual(), grown(), empty())
	want := []string{
		"# Results",
		"## 10,000 idle connections, 8 servers",
		"## 100–19,000 connections, idle; 80 % idle, 20 % in-flight, 8 servers",
		"## Nothing was measured",
	}
	at := 0
	for _, head := range want {
		next := strings.Index(got[at:], "\n"+head+"\n")
		if next < 0 && at == 0 && strings.HasPrefix(got, head) {
			next = 0
		}
		if next < 0 {
			t.Fatalf("no head %q in its place", head)
		}
		at += next + 1
	}
	if !strings.Contains(got, "\n    rstserver bench --n '[10000]' --runs 5\n") {
		t.Errorf("the command is not there as it was called")
	}
}

func TestEscaped(t *testing.T) {
	tests := []struct{ text, want string }{
		{"10,000" + nbsp + "TIME_WAIT", "10,000 TIME_WAIT"},
		{"_a_ a_b", `\_a\_ a_b`},
		{"a|b", `a\|b`},
		{`\|`, `\\\|`},
		{"<b>&amp; [x](y) `c` *d* ~e~ $f$", "\\<b\\>\\&amp; \\[x\\](y) \\`c\\` \\*d\\* \\~e\\~ \\$f\\$"},
		{"net/http, SetLinger(0)", "net/http, SetLinger(0)"},
	}
	for _, tt := range tests {
		if got := escaped(tt.text); got != tt.want {
			t.Errorf("escaped(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}
