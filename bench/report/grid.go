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

// portGrid has what the benchmark is about: when the port and the clients are rid of the server.
func (d *Document) portGrid(b block) grid {
	g := grid{
		Title: b.title() + ": " + b.over() + ", ms from the signal",
		Head:  []string{"server", "port free", "×" + nbsp + "floor", "×" + nbsp + "best peer", "clients told", "how told", "left on the port"},
		Right: []bool{false, true, true, true, true, false, false},
	}
	for _, r := range b.rows {
		g.Lines = append(g.Lines, line{r.server.Role, []string{
			r.name(b), spreadText(r.Free, ms, notIn(d.Settings.Settle)), ratioText(r.floor), ratioText(r.peer),
			spreadText(r.Told, ms, notIn(d.Settings.Timeout)), r.howTold(), r.leftOnPort() + r.later() + r.heldBy(),
		}})
	}
	return g
}

// processGrid has what else is known of the same runs, in the same order.
func (d *Document) processGrid(b block) grid {
	g := grid{
		Title: "The same runs: ms from the signal, ms of processor time, MiB resident before",
		Head:  []string{"server", "refused", "process gone", "ended by", "processor", "resident"},
		Right: []bool{false, true, true, false, true, true},
	}
	timeout := notIn(d.Settings.Timeout)
	for _, r := range b.rows {
		g.Lines = append(g.Lines, line{r.server.Role, []string{
			r.name(b), spreadText(r.Refused, ms, timeout), spreadText(r.Gone, ms, timeout), r.exits(),
			spreadText(r.CPU, ms, none), spreadText(r.Resident, mib, none),
		}})
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

// wireGrid has when the connections were ended on the wire, in the order of that. It is empty where nobody asked for it. It is narrow, and
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
	return slices.DeleteFunc([]grid{d.portGrid(b), d.processGrid(b), b.openGrid(), b.kindGrid(), d.wireGrid(b)}, func(g grid) bool { return len(g.Lines) == 0 })
}

// measure is a time that is divided by the number of connections.
type measure struct {
	name string
	of   func(row) Spread[time.Duration]
}

// measures are those that were measured.
func (d *Document) measures() []measure {
	measures := []measure{
		{"port free", func(r row) Spread[time.Duration] { return r.Free }},
		{"clients told", func(r row) Spread[time.Duration] { return r.Told }},
		{"processor time", func(r row) Spread[time.Duration] { return r.CPU }},
	}
	if d.wired() {
		measures = slices.Insert(measures, 1, measure{"last end on the wire", func(r row) Spread[time.Duration] { return r.Wire }})
	}
	return measures
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

func growthGrid(grown []block, mix string, m measure) grid {
	g := grid{
		Title: "µs per connection as their number grows, " + prose.Printable(mix) + ": median of " + m.name + " by connections",
		Head:  []string{"server"},
		Right: []bool{false},
	}
	type growing struct {
		line
		name string
		most float64 // with the most connections; 0: no figure
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
			if s := m.of(r); s.Settled() {
				cost := microseconds(s.Median) / float64(b.n)
				lines[at].Cells[i+1] = significant(cost)
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
