package report

import (
	"slices"
	"testing"
	"time"
)

// Opening is compared with the bare pair of programs that opened as many in the same runs, and is not told of where there was none.
func TestOpenGrid(t *testing.T) {
	cell := func(server string, pair, open time.Duration) Cell {
		return Cell{Server: server, N: 1000, Mix: "idle", Runs: []Run{{Round: 1, Open: open, Pair: pair}, {Round: 2, Open: open, Pair: pair}}}
	}
	d := &Document{
		Servers: []Server{{Name: "mine", Role: Ours}, {Name: "floor", Role: Floor}},
		Cells:   []Cell{cell("mine", 0, 200*time.Millisecond), cell("floor", 100*time.Millisecond, 125*time.Millisecond)},
	}
	g := d.blocks()[0].openGrid()
	var got [][]string
	for _, l := range g.Lines {
		got = append(got, l.Cells)
	}
	want := [][]string{{pairName, "10,000", "1.00"}, {"floor", "8,000", "0.80"}, {"mine", "5,000", "0.50"}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %q, want %q", got, want)
	}
	d.Cells[1] = cell("floor", 0, 125*time.Millisecond)
	if g := d.blocks()[0].openGrid(); len(g.Lines) > 0 {
		t.Errorf("without a pair there are %v", g.Lines)
	}
}
