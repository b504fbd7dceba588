package report

import (
	"cmp"
	"slices"
	"time"

	"rstserver/linger/sockdiag"
)

// block compares what was measured with one number of connections of one mix.
type block struct {
	n     int
	mix   string
	runs  int   // most of the runs of a row
	wired int   // and of those in which segments were seen on the wire
	rows  []row // by time to port free, then by time until the last client was told, then by name
}

// row is one cell beside the others of its block.
type row struct {
	server Server
	cell   Cell
	Figures
	floor, peer float64 // ratio of the medians of port free to those of the floor and of the best peer; 0: there is none
	wireFloor   float64 // the same of the last end on the wire, to the floor
}

// blocks groups the cells: the mixes in the order in which they appear, and in each the numbers of connections as they grow.
func (d *Document) blocks() []block {
	var blocks []block
	mixes := d.mixes()
	for _, c := range d.Cells {
		i := slices.IndexFunc(blocks, func(b block) bool { return b.n == c.N && b.mix == c.Mix })
		if i < 0 {
			i = len(blocks)
			blocks = append(blocks, block{n: c.N, mix: c.Mix})
		}
		blocks[i].rows = append(blocks[i].rows, row{server: d.server(c.Server), cell: c, Figures: c.Figures()})
		blocks[i].runs = max(blocks[i].runs, len(c.Runs))
		blocks[i].wired = max(blocks[i].wired, len(c.Wired))
	}
	for i := range blocks {
		d.compare(&blocks[i])
	}
	slices.SortStableFunc(blocks, func(a, b block) int {
		return cmp.Or(cmp.Compare(slices.Index(mixes, a.mix), slices.Index(mixes, b.mix)), cmp.Compare(a.n, b.n))
	})
	return blocks
}

// mixes are those that were measured, in the order of their first cell.
func (d *Document) mixes() []string {
	var mixes []string
	for _, c := range d.Cells {
		mixes = append(mixes, c.Mix)
	}
	return distinct(mixes)
}

// server is the one of that name. One that is not listed is a peer of which nothing is known but the name.
func (d *Document) server(name string) Server {
	i := slices.IndexFunc(d.Servers, func(s Server) bool { return s.Name == name })
	if i < 0 {
		return Server{Name: name, Role: Peer}
	}
	return d.Servers[i]
}

// compare fills in the ratios of b and sorts it.
func (d *Document) compare(b *block) {
	var floor, wire, best time.Duration
	for _, s := range d.Servers {
		i := slices.IndexFunc(b.rows, func(r row) bool { return r.server.Name == s.Name })
		if s.Role == Floor && i >= 0 {
			if b.rows[i].Free.Settled() {
				floor = b.rows[i].Free.Median
			}
			if b.rows[i].Wire.Settled() {
				wire = b.rows[i].Wire.Median
			}
			break // the first floor is the one that ratios are to, even if its port did not get free
		}
	}
	for _, r := range b.rows {
		if r.server.Role == Peer && r.Free.Settled() && (best == 0 || r.Free.Median < best) {
			best = r.Free.Median
		}
	}
	for i := range b.rows {
		r := &b.rows[i]
		r.floor, r.peer, r.wireFloor = ratio(r.Free, floor), ratio(r.Free, best), ratio(r.Wire, wire)
	}
	slices.SortStableFunc(b.rows, func(a, b row) int {
		return cmp.Or(bySpread(a.Free, b.Free), bySpread(a.Told, b.Told), cmp.Compare(a.server.Name, b.server.Name))
	})
}

func ratio(s Spread[time.Duration], to time.Duration) float64 {
	if !s.Settled() || to <= 0 {
		return 0
	}
	return float64(s.Median) / float64(to)
}

// bySpread orders by medians, and what has none behind all that have one.
func bySpread(a, b Spread[time.Duration]) int {
	switch {
	case a.Settled() && b.Settled():
		return cmp.Compare(a.Median, b.Median)
	case a.Settled():
		return -1
	case b.Settled():
		return 1
	}
	return 0
}

// medianRun is the run in the middle of those of c by time to port free, or where that did not come, by the time until the last
// client was told. It is -1 for a cell without runs.
func (c Cell) medianRun() int {
	return middle(c.Runs, func(r Run) (free, told time.Duration) {
		if r.Free == nil {
			return never, orNever(r.Told)
		}
		return r.Free.At, orNever(r.Told)
	})
}

// medianWired is that of the runs in which segments were seen on the wire, by the last end.
func (c Cell) medianWired() int {
	return middle(c.Wired, func(r Run) (last, _ time.Duration) { return orNever(r.lastEnd()), 0 })
}

// lastEnd is nil where it did not come, or was not seen.
func (r Run) lastEnd() *time.Duration {
	if r.Wire == nil {
		return nil
	}
	return r.Wire.Last
}

const never = time.Duration(1<<63 - 1)

func orNever(d *time.Duration) time.Duration {
	if d == nil {
		return never
	}
	return *d
}

// middle is the run in the middle by the first time of each, or where that is the same, by the second. It is -1 where there are none.
func middle(runs []Run, by func(Run) (first, second time.Duration)) int {
	if len(runs) == 0 {
		return -1
	}
	order := make([]int, len(runs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		first, second := by(runs[i])
		otherFirst, otherSecond := by(runs[j])
		return cmp.Or(cmp.Compare(first, otherFirst), cmp.Compare(second, otherSecond))
	})
	return order[(len(order)-1)/2]
}

// count is the least and the greatest number of something over the runs.
type count struct {
	what     string
	min, max int
}

// endings counts in all runs how clients were told, in a fixed order. What never occurred is left out.
func (c Cell) endings(of func(Run) map[string]int) []count {
	names := []string{"reset", "eof", "answered", "failed", "untold"}
	var others []string
	for _, r := range c.Runs {
		for name := range of(r) {
			if !slices.Contains(names, name) {
				others = append(others, name)
			}
		}
	}
	slices.Sort(others)
	var counts []count
	for _, name := range append(names, distinct(others)...) {
		counts = appendCount(counts, name, len(c.Runs), func(run int) int { return of(c.Runs[run])[name] })
	}
	return counts
}

// wireCount is the least and the greatest number of something over the runs in which segments were seen on the wire.
func (c Cell) wireCount(of func(*Wire) int) (least, most int) {
	for i, r := range c.Wired {
		n := 0
		if r.Wire != nil {
			n = of(r.Wire)
		}
		if i == 0 {
			least = n
		}
		least, most = min(least, n), max(most, n)
	}
	return least, most
}

// left counts in all runs what was on the port right after, by state. It is known only if seen in a run.
func (c Cell) left() (counts []count, known bool) {
	var first []sockdiag.Counts
	for _, r := range c.Runs {
		if len(r.Left) > 0 {
			first = append(first, r.Left[0].States)
		}
	}
	for state := range (sockdiag.Counts{}) {
		counts = appendCount(counts, sockdiag.State(state).String(), len(first), func(run int) int { return first[run][state] })
	}
	slices.SortStableFunc(counts, func(a, b count) int { return cmp.Compare(b.max, a.max) })
	return counts, len(first) > 0
}

func appendCount(counts []count, what string, runs int, in func(run int) int) []count {
	c := count{what: what}
	for run := range runs {
		n := in(run)
		if run == 0 {
			c.min = n
		}
		c.min, c.max = min(c.min, n), max(c.max, n)
	}
	if c.max == 0 {
		return counts
	}
	return append(counts, c)
}

// end is how it went on with what was left on the port: the greatest number of sockets in the last look of a run, and the latest
// such look.
func (c Cell) end() (sockets int, at time.Duration) {
	for _, r := range c.Runs {
		if len(r.Left) == 0 {
			continue
		}
		last := r.Left[len(r.Left)-1]
		sockets = max(sockets, last.States.Total())
		at = max(at, last.At)
	}
	return sockets, at
}

// resolution is the median width of the interval in which it happened, over all runs, for one of the moments of a run; 0 if it
// never came.
func (d *Document) resolution(of func(Run) *Moment) time.Duration {
	var widths []time.Duration
	for _, c := range d.Cells {
		for _, r := range c.Runs {
			if m := of(r); m != nil {
				widths = append(widths, m.At-m.Before)
			}
		}
	}
	return spreadOf(widths, len(widths)).Median
}

func free(r Run) *Moment    { return r.Free }
func refused(r Run) *Moment { return r.Refused }
