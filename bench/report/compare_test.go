package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// cell is a Cell of one run for each time to port free in milliseconds; 0 is a run in which it did not get free.
func cell(server string, n int, mix string, free ...int) Cell {
	c := Cell{Server: server, N: n, Mix: mix}
	for _, t := range free {
		r := Run{Endings: map[string]int{"reset": n}}
		if t > 0 {
			at := time.Duration(t) * time.Millisecond
			r.Free = &Moment{At: at, Before: at - time.Millisecond/2}
			r.Told = &at
		}
		c.Runs = append(c.Runs, r)
	}
	return c
}

func TestRatiosAndOrder(t *testing.T) {
	d := &Document{
		Settings: Settings{Settle: time.Second, Timeout: time.Second},
		Servers: []Server{{Name: "ours", Role: Ours}, {Name: "no cell", Role: Floor}, {Name: "floor", Role: Floor},
			{Name: "second floor", Role: Floor}, {Name: "slow", Role: Peer}, {Name: "fast", Role: Peer}, {Name: "never", Role: Peer},
			{Name: "also never", Role: Peer}, {Name: "half", Role: Peer}},
		Cells: []Cell{
			cell("never", 100, "idle", 0, 0, 0, 0), cell("also never", 100, "idle", 0, 0, 0, 0), cell("half", 100, "idle", 1, 1, 0, 0),
			cell("slow", 100, "idle", 400, 400, 400, 400), cell("fast", 100, "idle", 180, 200, 200, 900),
			cell("ours", 100, "idle", 60, 50, 60, 70), cell("floor", 100, "idle", 40, 50, 30, 40), cell("second floor", 100, "idle", 10, 10, 10, 10),
			cell("ours", 10, "idle", 5, 5, 5, 5), cell("floor", 10, "half", 2, 2, 2, 2),
		},
	}
	blocks := d.blocks()
	var titles []string
	for _, b := range blocks {
		titles = append(titles, b.title())
	}
	if want := []string{"10 idle connections", "100 idle connections", "10 half connections"}; !slices.Equal(titles, want) {
		t.Fatalf("blocks are %q, want %q", titles, want)
	}
	var got []string
	for _, l := range d.portGrid(blocks[1]).Lines {
		got = append(got, strings.ReplaceAll(strings.Join(l.Cells[:4], " | "), nbsp, " "))
	}
	want := []string{
		"second floor | 10.0 | 0.25 | 0.050",
		"floor | 40.0 (30.0–50.0) | 1.00 | 0.20",
		"ours | 60.0 (50.0–70.0) | 1.50 | 0.30",
		"fast | 200 (180–900) | 5.00 | 1.00",
		"slow | 400 | 10.00 | 2.00",
		// Told in half of its runs only, so the name decides among the three.
		"also never | not in 1 s | – | –",
		"half | not in 1 s (2 of 4 did: 1.00) | – | –",
		"never | not in 1 s | – | –",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the table is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, b := range []block{blocks[0], blocks[2]} {
		if r := b.rows[0]; r.peer != 0 || b.mix == "idle" && r.floor != 0 {
			t.Errorf("%s: ratios %v and %v, want none: there is nothing to compare with", b.title(), r.floor, r.peer)
		}
	}
}

func TestRatioToAFloorThatWasNotFree(t *testing.T) {
	d := &Document{
		Servers: []Server{{Name: "floor", Role: Floor}, {Name: "second", Role: Floor}, {Name: "ours", Role: Ours}},
		Cells:   []Cell{cell("floor", 1, "idle", 0), cell("second", 1, "idle", 5), cell("ours", 1, "idle", 10)},
	}
	for _, r := range d.blocks()[0].rows {
		if r.floor != 0 {
			t.Errorf("%s: × floor = %v, want none: another floor is not what ratios are to", r.server.Name, r.floor)
		}
	}
}

func TestTablesAreSorted(t *testing.T) {
	for name, d := range map[string]*Document{"large": large(), "nasty": nasty()} {
		for _, b := range d.blocks() {
			if !slices.IsSortedFunc(b.rows, func(a, b row) int { return bySpread(a.Free, b.Free) }) {
				t.Errorf("%s, %s: not sorted by port free", name, b.title())
			}
			for i := range b.rows[1:] {
				x, y := b.rows[i], b.rows[i+1]
				if bySpread(x.Free, y.Free) == 0 && bySpread(x.Told, y.Told) > 0 {
					t.Errorf("%s, %s: %q before %q, want the one that told its clients first", name, b.title(), x.server.Name, y.server.Name)
				}
			}
		}
	}
}

// A figure that is missing is not a zero, in no table.
func TestMissingIsNotZero(t *testing.T) {
	d := &Document{
		Settings: Settings{Settle: time.Second, Timeout: 10 * time.Second},
		Servers:  []Server{{Name: "floor", Role: Floor}, {Name: "dead", Role: Peer}, {Name: "unmeasured", Role: Peer}},
		Cells: []Cell{
			{Server: "dead", N: 100, Mix: "idle", Runs: make([]Run, 3)}, {Server: "unmeasured", N: 100, Mix: "idle"},
			{Server: "dead", N: 200, Mix: "idle", Runs: make([]Run, 3)},
		},
	}
	blocks := d.blocks()
	for _, g := range append(d.growthGrids(blocks), d.portGrid(blocks[0]), d.processGrid(blocks[0]), d.costGrid(blocks[0])) {
		for _, l := range g.Lines {
			for i, text := range l.Cells[1:] {
				if text != none && !strings.HasPrefix(text, "not"+nbsp+"in") && !strings.HasPrefix(text, "not in") {
					t.Errorf("%s, %s, %s = %q, want that it is missing", g.Title, l.Cells[0], g.Head[i+1], text)
				}
			}
		}
	}
	if len(d.growthGrids(blocks)) != len(d.measures()) {
		t.Errorf("%d tables of growth, want %d", len(d.growthGrids(blocks)), len(d.measures()))
	}
}

func TestGrowth(t *testing.T) {
	d := &Document{
		Servers: []Server{{Name: "a"}, {Name: "b"}, {Name: "c"}},
		Cells: []Cell{
			cell("b", 1000, "idle", 20), cell("a", 1000, "idle", 10), cell("c", 1000, "idle", 1),
			cell("b", 10000, "idle", 50), cell("a", 10000, "idle", 60), cell("c", 10000, "idle", 0),
		},
	}
	g := d.growthGrids(d.blocks())[0]
	got := fmt.Sprint(g.Head, g.Lines[0].Cells, g.Lines[1].Cells, g.Lines[2].Cells)
	if want := "[server 1,000 10,000] [b 20.0 5.00] [a 10.0 6.00] [c 1.00 –]"; got != want {
		t.Errorf("growth = %s, want %s", got, want)
	}
}

// What connections cost is shown by mode and by holder, and for each connection as their number grows; not where it was not measured.
func TestCosts(t *testing.T) {
	const ms, mib = time.Millisecond, 1 << 20
	costed := func(n int, times time.Duration) Cell {
		c := cell("s", n, "idle", 1)
		r := &c.Runs[0]
		r.TakenIn, r.CPU, r.User, r.SoftIRQ = 20*times, 10*times, times, 3*times
		memory := int64(mib + n*1000)
		r.Anonymous, r.Clients, r.KernelMemory, r.Queues = memory, 2*memory, 3*memory, 0
		return c
	}
	d := &Document{Servers: []Server{{Name: "s"}, {Name: "old"}}, Cells: []Cell{costed(1000, ms), costed(2000, 4*ms), cell("old", 1000, "idle", 1)}}
	blocks := d.blocks()
	g := d.costGrid(blocks[0])
	if got, want := fmt.Sprint(g.Lines[0].Cells, len(g.Lines)), "[s 1.95 3.91 5.86 <0.001 20.0 1.00 9.00 3.00] 1"; got != want {
		t.Errorf("the costs are %s, want %s", got, want)
	}
	d.Cells[0].Runs[0].Held, d.Cells[0].Runs[0].Holding = 4*time.Second, 10*ms
	g = d.costGrid(d.blocks()[0])
	if got, want := fmt.Sprint(g.Head[9:], g.Lines[0].Cells[9:]), "[holding] [2.50]"; got != want {
		t.Errorf("to hold them costs %s, want %s", got, want)
	}
	got := make(map[string]string)
	for _, g := range d.growthGrids(blocks) {
		_, name, _ := strings.Cut(g.Title, "median of ")
		unit, _, _ := strings.Cut(g.Title, " ")
		got[name] = fmt.Sprint(unit, g.Lines[0].Cells[1:])
	}
	for name, want := range map[string]string{
		"processor time to take them in by connections":    "µs[20.0 40.0]",
		"processor time in user mode by connections":       "µs[1.00 2.00]",
		"processor time in system mode by connections":     "µs[9.00 18.0]",
		"softirq of the machine by connections":            "µs[3.00 6.00]",
		"the server's anonymous memory by connections":     "bytes[– 1,000]",
		"the clients' anonymous memory by connections":     "bytes[– 2,000]",
		"the kernel's memory for both ends by connections": "bytes[– 3,000]",
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	d.Cells = []Cell{cell("old", 1000, "idle", 1), cell("old", 2000, "idle", 1)}
	if g := d.costGrid(d.blocks()[0]); len(g.Lines) > 0 || len(d.growthGrids(d.blocks())) != 3 {
		t.Errorf("of runs in which it was not measured: %v, and %d tables of growth", g, len(d.growthGrids(d.blocks())))
	}
}

func TestMedianRun(t *testing.T) {
	tests := []struct {
		free []int
		want int
	}{{nil, -1}, {[]int{5}, 0}, {[]int{9, 5, 1}, 1}, {[]int{9, 5, 1, 7}, 1}, {[]int{0, 5, 1}, 1}, {[]int{0, 0, 1}, 0}}
	for _, tt := range tests {
		if got := cell("s", 1, "idle", tt.free...).medianRun(); got != tt.want {
			t.Errorf("median run of %v = %d, want %d", tt.free, got, tt.want)
		}
	}
}

func TestWarnings(t *testing.T) {
	d := &Document{
		Settings: Settings{Settle: time.Second},
		Servers:  []Server{{Name: "steady"}, {Name: "scatters"}, {Name: "sometimes"}},
		Cells: []Cell{
			cell("steady", 100, "idle", 50, 51, 52, 50, 50), cell("scatters", 100, "idle", 50, 100, 150, 200, 250),
			cell("sometimes", 100, "idle", 50, 0, 51, 0, 0), cell("scatters", 200, "idle", 50, 100, 150, 200, 250),
		},
	}
	got := d.warnings(d.blocks())
	if len(got) != 2 {
		t.Fatalf("warnings are %q, want two", got)
	}
	for i, want := range [][]string{
		{"scatters", "100 idle connections (port free after 50.0–250", "200 idle connections", "--runs"},
		{"sometimes", "port free in 2 of 5 runs", "--runs"},
	} {
		for _, part := range want {
			if !strings.Contains(got[i], part) {
				t.Errorf("warning %q does not have %q", got[i], part)
			}
		}
	}
	d.Cells = []Cell{cell("steady", 100, "idle", 50)}
	if got := d.warnings(d.blocks()); len(got) != 1 || !strings.Contains(got[0], "1 run cannot") {
		t.Errorf("warnings of a single run are %q, want one that asks for more", got)
	}
}
