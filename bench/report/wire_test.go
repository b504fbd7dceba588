package report

import (
	"slices"
	"strings"
	"testing"
	"time"

	"rstserver/internal/layout"
)

// wireCell is a Cell with a run for each time of the last end in milliseconds; 0 is one in which not all were seen to end.
func wireCell(server string, lost int, last ...int) Cell {
	c := cell(server, 100, "idle", 1)
	for i, t := range last {
		at := time.Duration(t) * time.Millisecond
		w := &Wire{Curve: []Step{{at / 2, "FIN", 40}, {at, "RST", 60}}, Last: &at}
		if t == 0 {
			w.Curve, w.Last, w.Dropped = w.Curve[:1], nil, lost
		}
		c.Wired = append(c.Wired, Run{Round: i + 2, Wire: w})
	}
	return c
}

// The table of the wire has who was seen, and says of who was not that it was not.
func TestWireGrid(t *testing.T) {
	d := &Document{
		Settings: Settings{Timeout: 10 * time.Second, Settle: time.Second},
		Servers:  []Server{{Name: "ours", Role: Ours}, {Name: "floor", Role: Floor}, {Name: "slow", Role: Peer}},
		Cells: []Cell{
			wireCell("floor", 0, 40, 50, 30), wireCell("hangs", 0, 0, 0, 0), wireCell("lost", 3, 0, 60, 0), wireCell("none", 0), wireCell("ours", 0, 60, 50, 70),
			wireCell("slow", 0, 400, 400, 400), wireCell("twice", 0, 9, 9),
		},
	}
	expectLines := func(want ...string) {
		t.Helper()
		var got []string
		for _, l := range d.wireGrid(d.blocks()[0]).Lines {
			got = append(got, strings.ReplaceAll(strings.Join(l.Cells, " | "), nbsp, " "))
		}
		if !slices.Equal(got, want) {
			t.Errorf("the table is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	expectLines(
		"twice (2 runs) | 9.00 | 0.23 | 60 | 40 | 0",
		"floor | 40.0 (30.0–50.0) | 1.00 | 60 | 40 | 0",
		"ours | 60.0 (50.0–70.0) | 1.50 | 60 | 40 | 0",
		"slow | 400 | 10.00 | 60 | 40 | 0",
		"hangs | not in 10 s | – | 0 | 40 | 0",
		"lost | not known (1 of 3 did: 60.0) | – | 0–60 | 40 | 0–3",
		"none (0 runs) | – | – | – | – | –",
	)
	for i := range d.Cells {
		d.Cells[i].Wired = nil
	}
	if g := d.wireGrid(d.blocks()[0]); len(g.Lines) > 0 {
		t.Errorf("there is a table of what nobody has asked for: %v", g)
	}
	d.Cells, d.Unwired = d.Cells[:2], "needs CAP_NET_RAW"
	expectLines("floor | needs CAP_NET_RAW | – | – | – | –", "hangs | needs CAP_NET_RAW | – | – | – | –")
}

// The table of the wire fits the narrowest terminal, and no line of it is broken, with hundreds of thousands of connections too. Only a
// figure that is not that of all runs has more to say.
func TestWireGridIsNarrow(t *testing.T) {
	const narrow = 80
	for name, d := range map[string]*Document{"wired": wired("idle", mixed), "unwired": unwired()} {
		for i := range d.Cells {
			c := &d.Cells[i]
			c.Wired = slices.DeleteFunc(c.Wired, func(r Run) bool { return r.Wire.Dropped > 0 })
			if c.Server == "net/http, SetLinger(0)" {
				d.Servers = append(d.Servers, Server{Name: "net/http map + SetLinger(0)", Role: Peer}) // the longest of the roster's
				c.Server = "net/http map + SetLinger(0)"
			}
			for _, r := range c.Wired {
				for k := range r.Wire.Curve {
					r.Wire.Curve[k].N *= 10
				}
			}
		}
		for _, b := range d.blocks() {
			g := d.wireGrid(b)
			out := layout.Text{Columns: narrow}
			out.Table(g.rows(), g.Right)
			if got, want := strings.Count(out.String(), "\n"), 1+len(g.Lines); got != want {
				t.Errorf("%s: %d lines, want %d:\n%s", name, got, want, out.String())
			}
			for line := range strings.Lines(out.String()) {
				if n := layout.Columns(line) - 1; n > narrow {
					t.Errorf("%s: %d columns: %s", name, n, line)
				}
			}
		}
	}
}

// What was seen on the wire is in no figure of the other runs, and the other way round.
func TestWiredRunsAreApart(t *testing.T) {
	with, without := wired("idle"), wired("idle")
	for i := range without.Cells {
		without.Cells[i].Wired = nil
	}
	for i, c := range with.Cells {
		a, b := c.Figures(), without.Cells[i].Figures()
		if a.Wire.Of == 0 || b.Wire.Of != 0 {
			t.Errorf("%s: the wire in %d runs and in %d, want some and none", c.Server, a.Wire.Of, b.Wire.Of)
		}
		if a.Wire = b.Wire; a != b {
			t.Errorf("%s: %+v, want %+v", c.Server, a, b)
		}
	}
	if got := len(with.growthGrids(with.blocks())) - len(without.growthGrids(without.blocks())); got != 1 {
		t.Errorf("%d tables of growth more, want one for the last end on the wire", got)
	}
	if got := strings.Join(strings.Fields(text(t, with)), " "); !strings.Contains(got, "net/http Close, 10,000 idle connections: up to 7 segments on the wire were lost") {
		t.Errorf("nobody is warned of segments that were lost:\n%s", got)
	}
}

// The curve of a server is that of the run in the middle, by the last end, and null where nothing was seen.
func TestChartOfTheWire(t *testing.T) {
	d := &Document{
		Servers: []Server{{Name: "seen", Role: Peer}, {Name: "not seen", Role: Peer}},
		Cells:   []Cell{wireCell("seen", 0, 90, 70, 0, 80), wireCell("not seen", 0)},
	}
	page := html(t, d)
	rows := dataOf(t, page).Documents[0].Cells[0].Rows
	if len(rows) != 2 || rows[0].Wire != nil || rows[1].Wire == nil {
		t.Fatalf("rows: %+v, want one without the wire and one with it", rows)
	}
	if w := rows[1].Wire; w.Round != 5 || !slices.Equal(w.Curve, [][2]float64{{40, 40}, {80, 100}}) {
		t.Errorf("round %d with %v, want round 5, which ends after 80 ms", w.Round, w.Curve)
	}
	series := dataOf(t, page).Documents[0].Mixes[0].Series
	if i := slices.IndexFunc(series, func(s chartSeries) bool { return s.Wire[0] != nil }); i < 0 || *series[i].Wire[0] != (chartPoint{85, 70, 90}) {
		t.Errorf("series: %+v, want the last end at 85 ms, from 70 to 90", series)
	}
	more := wireCell("seen", 0, 90)
	more.N = 200
	d.Cells = append(d.Cells, more)
	page = html(t, d)
	const choice = `<option value="wire">`
	if !strings.Contains(page, choice) || strings.Contains(html(t, unwired()), choice) {
		t.Error("the cost of the last end can be chosen where it is not known, or cannot where it is")
	}
}
