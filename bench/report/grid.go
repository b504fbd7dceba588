package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"rstserver/internal/prose"
)

// grid is a table in any form. What must not be broken across lines inside a cell is held together by nbsp.
type grid struct {
	Title string
	Head  []string
	Right []bool // columns that are aligned to the right
	Lines []line
}

// line is one row of a grid, and what the server is that it is about.
type line struct {
	Role  Role
	Cells []string
}

// portGrid shows what the benchmark is about: when the port and the clients are rid of the server.
func (d *Document) portGrid(b block) grid {
	g := grid{
		Title: b.title() + ": " + b.over() + ", ms from the signal",
		Head:  []string{"server", "port free", "×" + nbsp + "floor", "×" + nbsp + "best peer", "clients told", "how told", "left on the port"},
		Right: []bool{false, true, true, true, true, false, false},
	}
	for _, r := range b.rows {
		g.Lines = append(g.Lines, line{r.server.Role, []string{
			r.name(b), spreadText(r.Free, prose.Milliseconds, notIn(d.Settings.Settle)), ratioText(r.floor), ratioText(r.peer),
			spreadText(r.Told, prose.Milliseconds, notIn(d.Settings.Timeout)), r.howTold(), r.leftOnPort() + r.later() + r.heldBy(),
		}})
	}
	return g
}

// processGrid shows what else is known of the same runs, in the same order.
func (d *Document) processGrid(b block) grid {
	g := grid{
		Title: "The same runs: ms from the signal, ms of processor time, MiB resident before",
		Head:  []string{"server", "refused", "process gone", "ended by", "processor", "resident"},
		Right: []bool{false, true, true, false, true, true},
	}
	grown := slices.ContainsFunc(b.rows, func(r row) bool { return r.Grown.N > 0 })
	if grown {
		g.Title += ", bytes by the connection"
		g.Head, g.Right = append(g.Head, "grown"), append(g.Right, true)
	}
	timeout := notIn(d.Settings.Timeout)
	for _, r := range b.rows {
		cells := []string{
			r.name(b), spreadText(r.Refused, prose.Milliseconds, timeout), spreadText(r.Gone, prose.Milliseconds, timeout), r.exits(),
			spreadText(r.CPU, prose.Milliseconds, none), spreadText(r.Resident, prose.MiB, none),
		}
		if grown {
			cells = append(cells, spreadText(r.Grown, func(n int64) string { return prose.Grouped(n) }, none))
		}
		g.Lines = append(g.Lines, line{r.server.Role, cells})
	}
	return g
}

// costGrid shows what the connections of the same runs took: memory before the signal, and processor time by mode. It is empty where that was
// not measured.
func (d *Document) costGrid(b block) grid {
	g := grid{
		Title: "The same runs: MiB before the signal, ms of processor time until it and from it on",
		Head:  []string{"server", "server", "clients", "kernel", "queues", "taking in", "user", "system", "softirq"},
		Right: []bool{false, true, true, true, true, true, true, true, true},
	}
	held := slices.ContainsFunc(b.rows, func(r row) bool { return r.Holding.N > 0 })
	if held {
		g.Title += "; ms of it in each second that they were held"
		g.Head, g.Right = append(g.Head, "holding"), append(g.Right, true)
	}
	for _, r := range b.rows {
		if r.Clients.N == 0 {
			continue
		}
		cells := []string{r.name(b)}
		for _, s := range []Spread[int64]{r.Anonymous, r.Clients, r.Kernel, r.Queues} {
			cells = append(cells, spreadText(s, prose.MiB, none))
		}
		for _, s := range []Spread[time.Duration]{r.TakenIn, r.User, r.System, r.SoftIRQ} {
			cells = append(cells, spreadText(s, prose.Milliseconds, none))
		}
		if held {
			cells = append(cells, spreadText(r.Holding, prose.Milliseconds, none))
		}
		g.Lines = append(g.Lines, line{r.server.Role, cells})
	}
	return g
}

// pairName is what the tables call the two programs that opening is compared with.
const pairName = "a bare pair of programs"

// openGrid is about what was before the signal: how fast connections were opened. It is empty where no bare pair of programs opened any.
func (b block) openGrid() grid {
	g := grid{
		Title: "Before the signal: connections opened per second",
		Head:  []string{"server", "opened per second", "× bare pair"},
		Right: []bool{false, true, true},
	}
	var pair Spread[time.Duration]
	for _, r := range b.rows {
		if r.Pair.Settled() {
			pair = r.Pair
			g.Lines = append(g.Lines, line{r.server.Role, []string{pairName, b.perSecond(pair), ratioText(1)}})
			break
		}
	}
	if !pair.Settled() {
		return grid{}
	}
	for _, r := range b.rows {
		g.Lines = append(g.Lines, line{r.server.Role, []string{r.name(b), b.perSecond(r.Open), ratioText(ratio(pair, r.Open.Median))}})
	}
	return g
}

// perSecond is how many of the connections of b that is, which took so long in all.
func (b block) perSecond(took Spread[time.Duration]) string {
	rate := Spread[int64]{N: took.N, Of: took.Of}
	of := func(d time.Duration) int64 { return int64(float64(b.n) / max(d.Seconds(), 1e-9)) }
	rate.Median, rate.Min, rate.Max = of(took.Median), of(took.Max), of(took.Min)
	return spreadText(rate, func(n int64) string { return prose.Grouped(int(n)) }, none)
}

// kindGrid is empty where all connections are of one kind.
func (b block) kindGrid() grid {
	g := grid{
		Title: "How clients of each kind were told",
		Head:  []string{"server", "clients"},
		Right: []bool{false, false},
	}
	for _, r := range b.rows {
		if text := r.howToldByKind(); text != "" {
			g.Lines = append(g.Lines, line{r.server.Role, []string{r.name(b), text}})
		}
	}
	return g
}

// wireGrid shows when the connections were ended on the wire, in the order of that. It is empty where nobody asked for it. It is narrow, and
// fits 80 columns.
func (d *Document) wireGrid(b block) grid {
	if b.wired == 0 && d.Unwired == "" {
		return grid{}
	}
	title := "On the wire: not seen"
	if b.wired > 0 {
		title = "On the wire, in " + prose.Plural(b.wired, "run") + " for that: ms from the signal, connections that ended"
	}
	g := grid{
		Title: title,
		Head:  []string{"server", "last end", "×" + nbsp + "floor", "RST", "FIN", "lost"},
		Right: []bool{false, true, true, true, true, true},
	}
	rows := slices.Clone(b.rows)
	slices.SortStableFunc(rows, func(a, b row) int { return bySpread(a.Wire, b.Wire) })
	for _, r := range rows {
		ended := func(by string) func(*Wire) int { return func(w *Wire) int { return w.Ends()[by] } }
		g.Lines = append(g.Lines, line{r.server.Role, []string{
			r.nameWith(len(r.cell.Wired), b.wired), d.lastEnd(r), ratioText(r.wireFloor), r.onWire(ended("RST")), r.onWire(ended("FIN")),
			r.onWire(func(w *Wire) int { return w.Dropped }),
		}})
	}
	return g
}

// grids are the tables of a block. Those without lines are left out.
func (d *Document) grids(b block) []grid {
	return slices.DeleteFunc([]grid{d.portGrid(b), d.processGrid(b), d.costGrid(b), b.openGrid(), b.kindGrid(), b.paceGrid(), d.wireGrid(b)}, func(g grid) bool { return len(g.Lines) == 0 })
}

// measure is what is divided by the number of connections: microseconds, or bytes beyond those with the fewest connections, so that what a
// process has without any is not in them.
type measure struct {
	name, unit string
	beyond     bool
	of         func(row) (median float64, settled bool)
}

// inTime is a measure of a time.
func inTime(name string, of func(row) Spread[time.Duration]) measure {
	return measure{name, "µs", false, func(r row) (float64, bool) {
		s := of(r)
		return microseconds(s.Median), s.Settled()
	}}
}

// inBytes is a measure of memory.
func inBytes(name string, of func(row) Spread[int64]) measure {
	return measure{name, "bytes", true, func(r row) (float64, bool) {
		s := of(r)
		return float64(s.Median), s.Settled()
	}}
}

// measures are those that were measured.
func (d *Document) measures() []measure {
	measures := []measure{
		inTime("port free", func(r row) Spread[time.Duration] { return r.Free }),
		inTime("clients told", func(r row) Spread[time.Duration] { return r.Told }),
		inTime("processor time", func(r row) Spread[time.Duration] { return r.CPU }),
	}
	if d.wired() {
		measures = slices.Insert(measures, 1, inTime("last end on the wire", func(r row) Spread[time.Duration] { return r.Wire }))
	}
	if d.costed() {
		measures = append(measures,
			inTime("processor time to take them in", func(r row) Spread[time.Duration] { return r.TakenIn }),
			inTime("processor time in user mode", func(r row) Spread[time.Duration] { return r.User }),
			inTime("processor time in system mode", func(r row) Spread[time.Duration] { return r.System }),
			inTime("softirq of the machine", func(r row) Spread[time.Duration] { return r.SoftIRQ }),
			inBytes("the server's anonymous memory", func(r row) Spread[int64] { return r.Anonymous }),
			inBytes("the clients' anonymous memory", func(r row) Spread[int64] { return r.Clients }),
			inBytes("the kernel's memory for both ends", func(r row) Spread[int64] { return r.Kernel }),
		)
	}
	return measures
}

// costed reports whether there is a run of which it is known what its connections took.
func (d *Document) costed() bool {
	return slices.ContainsFunc(d.Cells, func(c Cell) bool { return slices.ContainsFunc(c.Runs, func(r Run) bool { return r.Clients > 0 }) })
}

// wired reports whether there is a run in which segments were seen on the wire.
func (d *Document) wired() bool {
	return slices.ContainsFunc(d.Cells, func(c Cell) bool { return len(c.Wired) > 0 })
}

// growthGrids have a line for each server and a column for each number of connections. There is one for each measure and mix of
// which several numbers were measured.
func (d *Document) growthGrids(blocks []block) []grid {
	var grids []grid
	for _, mix := range d.mixes() {
		var grown []block
		for _, b := range blocks {
			if b.mix == mix && b.n > 0 {
				grown = append(grown, b)
			}
		}
		if len(grown) < 2 {
			continue
		}
		for _, m := range d.measures() {
			grids = append(grids, growthGrid(grown, mix, m))
		}
	}
	return grids
}

// title is what one is called in the title of its table.
func (m measure) title() string {
	if m.beyond {
		return m.unit + " for each connection beyond the fewest"
	}
	return m.unit + " per connection as their number grows"
}

// sized is a figure with so many connections.
type sized struct {
	n  int
	of float64
}

func growthGrid(grown []block, mix string, m measure) grid {
	g := grid{
		Title: m.title() + ", " + prose.Printable(mix) + ": median of " + m.name + " by connections",
		Head:  []string{"server"},
		Right: []bool{false},
	}
	type growing struct {
		line
		name   string
		most   float64 // with the most connections; 0: no figure
		fewest sized
	}
	var lines []growing
	for i, b := range grown {
		g.Head = append(g.Head, prose.Grouped(b.n))
		g.Right = append(g.Right, true)
		for _, r := range b.rows {
			at := slices.IndexFunc(lines, func(l growing) bool { return l.name == r.server.Name })
			if at < 0 {
				at = len(lines)
				cells := slices.Repeat([]string{none}, len(grown)+1)
				cells[0] = prose.Printable(r.server.Name)
				lines = append(lines, growing{line: line{r.server.Role, cells}, name: r.server.Name})
			}
			median, settled := m.of(r)
			n := b.n
			if m.beyond && settled {
				fewest := lines[at].fewest
				if fewest.n == 0 { // this is it
					lines[at].fewest = sized{b.n, median}
					continue
				}
				median, n = median-fewest.of, n-fewest.n
			}
			if settled && median >= 0 {
				cost := median / float64(n)
				lines[at].Cells[i+1] = prose.Significant(cost)
				if i == len(grown)-1 {
					lines[at].most = cost
				}
			}
		}
	}
	slices.SortStableFunc(lines, func(a, b growing) int {
		if (a.most == 0) != (b.most == 0) {
			return cmp.Compare(b.most, a.most) // without a figure last
		}
		return cmp.Or(cmp.Compare(a.most, b.most), strings.Compare(a.name, b.name))
	})
	for _, l := range lines {
		g.Lines = append(g.Lines, l.line)
	}
	return g
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// rows are the cells of g, the head first.
func (g grid) rows() [][]string {
	rows := [][]string{g.Head}
	for _, l := range g.Lines {
		rows = append(rows, l.Cells)
	}
	return rows
}

// pick is g with these columns only.
func (g grid) pick(which []int) grid {
	p := grid{Title: g.Title}
	for _, c := range which {
		p.Head, p.Right = append(p.Head, g.Head[c]), append(p.Right, g.Right[c])
	}
	for _, l := range g.Lines {
		cells := make([]string, 0, len(which))
		for _, c := range which {
			cells = append(cells, l.Cells[c])
		}
		p.Lines = append(p.Lines, line{l.Role, cells})
	}
	return p
}
