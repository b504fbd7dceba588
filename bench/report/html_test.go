package report

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func html(t *testing.T, docs ...*Document) string {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, Options{Explain: true}, docs...); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// samplePages are pages of all kinds, to look at with go test -args -pages DIR too.
func samplePages(t *testing.T) map[string]string {
	t.Helper()
	many := large()
	if testing.Short() {
		many.Cells = many.Cells[:len(many.Cells)/12] // one mix, in one size
	}
	written := map[string]string{
		"usual": html(t, usual()), "grown": html(t, grown()), "large": html(t, many), "nasty": html(t, nasty()),
		"empty": html(t, empty()), "several": html(t, usual(), grown()), "none": html(t),
		"wired": html(t, wired("idle", mixed)), "unwired": html(t, unwired()),
		"restarts": html(t, restarts()), "both": html(t, usual(), restarts()),
	}
	for name, page := range written {
		if *pages == "" {
			break
		}
		if err := os.WriteFile(filepath.Join(*pages, name+".html"), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return written
}

// loads are what a browser would fetch for: attributes and functions of style sheets, and imports. Links are followed by hand only.
var loads = regexp.MustCompile(`(?i)<[^>]*\b(src|srcset|poster|action|data|background)\s*=|<link\b[^>]*>|<(iframe|object|embed|base|img|form)\b|@import|url\(`)

// cutScripts returns the scripts of a page, with their tags, and the rest of it. By a regular expression, most of the tests' time would
// go into the source of the library.
func cutScripts(page string) (scripts []string, rest string) {
	for {
		before, script, found := strings.Cut(page, "<script")
		rest += before
		if !found {
			return scripts, rest
		}
		const end = "</script>"
		script, page, _ = strings.Cut(script, end)
		scripts = append(scripts, "<script"+script+end)
	}
}

func TestPageAsksForNothing(t *testing.T) {
	for name, page := range samplePages(t) {
		if !strings.Contains(page, `content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"`) {
			t.Errorf("%s: no policy that forbids the browser to fetch anything", name)
		}
		if strings.Contains(page, "sourceMappingURL") {
			t.Errorf("%s: has a source map for a debugger to fetch", name)
		}
		scripts, rest := cutScripts(page)
		for _, load := range loads.FindAllString(rest, -1) {
			if load != `<link rel="icon" href="data:,">` {
				t.Errorf("%s: %s", name, load)
			}
		}
		for _, script := range scripts {
			if tag, _, _ := strings.Cut(script, ">"); strings.Contains(tag, "src") {
				t.Errorf("%s: %s>", name, tag)
			}
		}
	}
}

// A name that ends a script, in the data and in the text of the page, is only a name.
func TestPageIsNotBrokenByNames(t *testing.T) {
	const name = "</script><script>alert(1)</script>"
	page := html(t, nasty())
	if scripts, _ := cutScripts(page); len(scripts) != 3 {
		t.Errorf("%d scripts, want 3: the data, the library, the page's own", len(scripts))
	}
	if got := strings.Count(page, "</script"); got != 3 {
		t.Errorf("%d ends of scripts, want 3", got)
	}
	if strings.Contains(page, "<script>alert") {
		t.Errorf("a name became a script")
	}
	if !strings.Contains(page, "&lt;/script&gt;&lt;script&gt;alert(1)") {
		t.Errorf("the name is not in the text of the page")
	}
	if c := dataOf(t, page); c.Servers[0].Name != name {
		t.Errorf("the first server of the data is %q, want %q", c.Servers[0].Name, name)
	}
	for _, tag := range []string{"<b>&amp;", "<i>of"} {
		if strings.Contains(page, tag) {
			t.Errorf("a name became the tag %s", tag)
		}
	}
}

var dataScript = regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`)

// dataOf is what the charts of page are drawn from.
func dataOf(t *testing.T, page string) charted {
	t.Helper()
	var c charted
	found := dataScript.FindStringSubmatch(page)
	if found == nil {
		t.Fatal("the page has no data")
	}
	if err := json.Unmarshal([]byte(found[1]), &c); err != nil {
		t.Fatalf("the data of the page: %v", err)
	}
	return c
}

func TestPageHasWhatTheTextHas(t *testing.T) {
	page := html(t, usual(), grown())
	for _, want := range []string{
		`<html lang="en">`, "<title>rstserver bench – 10,000 idle connections, 8 servers – ", `name="viewport"`,
		"<th scope=\"row\">floor, AF_UNSPEC</th>", "50.4 (50.2–52.9)", "10,000" + nbsp + "TIME_WAIT", "Some Processor @ 2.10GHz",
		"not installed; Debian: apt-get install haproxy", "The MIT License", "Jukka Kurkela", "Chart.js Contributors",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
	for _, def := range Definitions() {
		if !strings.Contains(page, "<dt>"+def.Name+"</dt>") {
			t.Errorf("the page does not define %q", def.Name)
		}
	}
	if got, want := strings.Count(page, "<figcaption>"), strings.Count(page, "<canvas "); got != want || got == 0 {
		t.Errorf("%d captions of %d charts", got, want)
	}
}

// A figure that is missing is null in the data, and a chart draws nothing there.
func TestChartsDrawNothingForWhatIsMissing(t *testing.T) {
	c := dataOf(t, html(t, usual()))
	doc := c.Documents[0]
	never := 0
	for _, s := range doc.Mixes[0].Series {
		if s.Free[0] == nil && s.Never[0] {
			never++
		} else if s.Free[0].Median <= 0 {
			t.Errorf("%s is free after %v ms", c.Servers[s.Server].Name, s.Free[0].Median)
		}
	}
	if never != 3 {
		t.Errorf("%d servers are never free, want 3", never)
	}
	// Who was not measured has not failed to free it.
	grown := dataOf(t, html(t, grown()))
	for _, s := range grown.Documents[0].Mixes[0].Series {
		if name, last := grown.Servers[s.Server].Name, len(s.Free)-1; name == "node, server.close()" && (s.Free[last] != nil || s.Never[last] || !s.Never[0]) {
			t.Errorf("%s is never free: %v, want true but for the last, which was not measured", name, s.Never)
		}
	}
	row := chartRun(Run{}, 0)
	if row.Left != nil || row.Curve != nil {
		t.Errorf("a run without anything left or told is %+v, want null", row)
	}
	if row := chartRun(Run{Left: []Left{{}}}, 0); row.Left == nil || len(row.Left) != 0 {
		t.Errorf("left = %v, want that nothing was left, not that it is unknown", row.Left)
	}
}

func TestCumulative(t *testing.T) {
	got := cumulative([]Step{{3e6, "eof", 5}, {1e6, "reset", 2}, {4e6, "untold", 9}, {4e6, "reset", 1}})
	if want := [][2]float64{{1, 2}, {3, 7}, {4, 8}}; !slices.Equal(got, want) {
		t.Errorf("cumulative = %v, want %v", got, want)
	}
	long := make([]Step, 10001)
	for i := range long {
		long[i] = Step{At: 1e6, Ending: "reset", N: 1}
	}
	got = cumulative(long)
	if len(got) != maxPoints || got[0] != [2]float64{1, 1} || got[maxPoints-1] != [2]float64{1, 10001} {
		t.Errorf("%d points from %v to %v, want %d from the first to the last", len(got), got[0], got[len(got)-1], maxPoints)
	}
}

// A server looks the same in all documents of a page, and two of one role never share a place.
func TestServersKeepTheirLook(t *testing.T) {
	a, b := usual(), usual()
	slices.Reverse(b.Servers)
	b.Servers = append(b.Servers, Server{Name: "only here", Role: Peer})
	c := chartOf([]*Document{a, b})
	if got, want := len(c.Servers), len(a.Servers)+1; got != want {
		t.Errorf("%d servers, want %d", got, want)
	}
	type place struct {
		role  Role
		index int
	}
	taken := make(map[place]string)
	for _, s := range c.Servers {
		p := place{s.Role, s.Index}
		if other, is := taken[p]; is {
			t.Errorf("%s looks like %s", s.Name, other)
		}
		taken[p] = s.Name
	}
}

func TestLibraryKeepsItsNotice(t *testing.T) {
	b := library()
	for _, notice := range []string{"Chart.js v4.6.1", "Released under the MIT License", "@kurkle/color v0.3.2", "Jukka Kurkela"} {
		if !bytes.Contains(b, []byte(notice)) {
			t.Errorf("the library does not have %q", notice)
		}
	}
	if bytes.Contains(b, []byte("</script")) {
		t.Errorf("the library would end its own script")
	}
}
