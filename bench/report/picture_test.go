package report

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"text/template"
)

// pictured is a row of a table of RESULTS.md.
type pictured struct {
	server, left string
	free, told   float64 // milliseconds; 0 where the port did not get free, and where not all clients were told
	ours         bool
}

// TestPicture compares ../teardown.svg, which opens README.md, with the table of ../RESULTS.md that it is made of. With -update it makes it.
func TestPicture(t *testing.T) {
	results, err := os.ReadFile("../RESULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	const title = "10,000 idle connections"
	rows := picturedRows(t, string(results), "### "+title)
	got := picture(title+": who frees the port, and who never does", rows)
	if *update {
		if err := os.WriteFile("../teardown.svg", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("../teardown.svg")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Error("bench/teardown.svg is not what bench/RESULTS.md says: go test ./bench/report -run Picture -update makes it anew")
	}
}

// picturedRows reads the first table under the first heading of that name, whose columns are those that [Document.Markdown] writes.
func picturedRows(t *testing.T, results, heading string) (rows []pictured) {
	t.Helper()
	_, section, found := strings.Cut(results, "\n"+heading+"\n")
	_, table, tabled := strings.Cut(section, "| server | port free | × floor | × best peer | clients told | how told | left on the port |\n")
	if !found || !tabled {
		t.Fatalf("RESULTS.md has no table under %q", heading)
	}
	number := regexp.MustCompile(`^[0-9.,]+`)
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| ") {
			break
		}
		cells := strings.Split(strings.Trim(line, "|\n "), " | ")
		if strings.HasPrefix(line, "| ---") {
			continue
		}
		if len(cells) != 7 {
			t.Fatalf("%q has %d cells, want 7", line, len(cells))
		}
		row := pictured{server: strings.Trim(cells[0], "*"), left: cells[6], ours: strings.HasPrefix(cells[0], "**")}
		if !strings.HasPrefix(cells[1], "not in ") {
			row.free = milliseconds(t, number.FindString(cells[1]))
		}
		if !strings.HasPrefix(cells[4], "not in ") {
			row.told = milliseconds(t, number.FindString(cells[4]))
		}
		row.left, _, _ = strings.Cut(row.left, ", ")
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		t.Fatalf("the table under %q has no rows", heading)
	}
	return rows
}

func milliseconds(t *testing.T, s string) float64 {
	t.Helper()
	ms, err := strconv.ParseFloat(strings.ReplaceAll(s, ",", ""), 64)
	if err != nil {
		t.Fatal(err)
	}
	return ms
}

// picture draws a bar for each row: until the port is free, or on beyond the scale.
func picture(title string, rows []pictured) string {
	const (
		labels, scale, width, top, step = 196, 400, 864, 64, 20
		end                             = labels + scale
		most                            = 500.0 // milliseconds on the scale
	)
	x := func(ms float64) float64 { return labels + scale*min(ms/most, 1) }
	height := top + step*len(rows) + 14
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">
<style>
text { font: 12px system-ui, sans-serif; fill: #222 } .title { font-size: 15px; font-weight: 600 } .ours { font-weight: 600 } .soft { fill: #666 }
.back { fill: #fff } .grid { stroke: #ddd } .free { fill: #0a7d55 } .peer { fill: #8bb8a6 } .never { fill: #d9a0a0 } .told { fill: #222; stroke: #fff }
@media (prefers-color-scheme: dark) {
text { fill: #e6e6e6 } .soft { fill: #a0a0a0 } .back { fill: #14171a } .grid { stroke: #333 } .free { fill: #2fb988 } .peer { fill: #4c7465 }
.never { fill: #7d4646 } .told { fill: #e6e6e6; stroke: #14171a } }
</style>
<rect class="back" width="%d" height="%d" rx="6"/>
<text class="title" x="16" y="24">%s</text>
`, width, height, width, height, template.HTMLEscapeString(title), width, height, template.HTMLEscapeString(title))
	fmt.Fprintf(&b, `<text class="soft" x="%d" y="42">bar: until the port is free</text>`+"\n", 16)
	fmt.Fprintf(&b, `<circle class="told" cx="22" cy="54" r="3.5"/><text class="soft" x="30" y="58">the last client told</text>`+"\n")
	for ms := 0.0; ms <= most; ms += 100 {
		fmt.Fprintf(&b, `<path class="grid" d="M%g %d V%d"/><text class="soft" x="%g" y="%d" text-anchor="middle">%g ms</text>`+"\n",
			x(ms), top-6, height-10, x(ms), top-12, ms)
	}
	for i, r := range rows {
		y := top + step*i
		class, says := "peer", fmt.Sprintf("free after %.3g ms, nothing left", r.free)
		switch {
		case r.free == 0:
			class, says = "never", "not for 60 s: "+r.left
		case r.ours:
			class = "free"
		}
		name := ""
		if r.ours {
			name = ` class="ours"`
		}
		fmt.Fprintf(&b, `<text%s x="%d" y="%d" text-anchor="end">%s</text>`, name, labels-8, y+14, template.HTMLEscapeString(r.server))
		if r.free > 0 {
			fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="12"/>`, class, labels, y+4, x(r.free)-labels)
		} else { // an arrow: it goes on
			fmt.Fprintf(&b, `<path class="%s" d="M%d %d H%d L%d %d L%d %d H%d Z"/>`, class, labels, y+4, end, end+8, y+10, end, y+16, labels)
		}
		if r.told > 0 {
			fmt.Fprintf(&b, `<circle class="told" cx="%.1f" cy="%d" r="3.5"/>`, x(r.told), y+10)
		}
		fmt.Fprintf(&b, `<text class="soft" x="%d" y="%d">%s</text>`+"\n", end+16, y+14, template.HTMLEscapeString(says))
	}
	b.WriteString("</svg>\n")
	return b.String()
}
