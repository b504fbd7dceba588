package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"rstserver/internal/prose"
	"rstserver/linger/sockdiag"
)

// charted is what the charts of a page are drawn from. Times are in milliseconds, null where they did not come.
type charted struct {
	Servers   []chartServer `json:"servers"`
	Documents []chartDoc    `json:"documents"`
}

// chartServer has its place among those of its role, so that it looks the same in all charts of all documents.
type chartServer struct {
	Name  string `json:"name"`
	Role  Role   `json:"role"`
	Index int    `json:"index"`
}

type chartDoc struct {
	NotFree   string           `json:"notFree"` // "not in 60 s"
	Settle    float64          `json:"settle"`  // how long that was; 0: it was not watched
	Mixes     []chartMix       `json:"mixes"`
	Cells     []chartCell      `json:"cells"`
	Restarted []chartRestarted `json:"restarted"`
}

// chartMix is how the figures of each server grow with the number of connections.
type chartMix struct {
	Name   string        `json:"name"`
	NS     []int         `json:"ns"`
	Cell   int           `json:"cell"` // the one with the most connections
	Series []chartSeries `json:"series"`
}

// chartSeries has one point for each of the numbers of connections.
type chartSeries struct {
	Server int           `json:"server"`
	Free   []*chartPoint `json:"free"`
	Never  []bool        `json:"never"` // it was measured, and has not got free
	Told   []*chartPoint `json:"told"`
	Wire   []*chartPoint `json:"wire"` // the last end
	CPU    []*chartPoint `json:"cpu"`
}

type chartPoint struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// chartCell is the median run of each server with one number of connections of one mix.
type chartCell struct {
	Title string     `json:"title"`
	Rows  []chartRow `json:"rows"`
}

type chartRow struct {
	Server  int            `json:"server"`
	Round   int            `json:"round"`
	Curve   [][2]float64   `json:"curve"`   // time, clients told until then
	Wire    *chartWire     `json:"wire"`    // null: not seen
	Endings map[string]int `json:"endings"` // clients
	Left    map[string]int `json:"left"`    // sockets by state; null: not seen
	After   [][2]float64   `json:"after"`   // time, sockets
}

// chartWire is the median one of the runs in which segments were seen on the wire.
type chartWire struct {
	Round int          `json:"round"`
	Curve [][2]float64 `json:"curve"` // time, connections ended until then
}

// chartOf makes the data of the charts of docs.
func chartOf(docs []*Document) charted {
	var c charted
	indexes := make(map[Role]int)
	place := func(s Server) int {
		i := slices.IndexFunc(c.Servers, func(known chartServer) bool { return known.Name == prose.Printable(s.Name) })
		if i < 0 {
			role := s.Role
			if role != Ours && role != Floor {
				role = Peer
			}
			i = len(c.Servers)
			c.Servers = append(c.Servers, chartServer{prose.Printable(s.Name), role, indexes[role]})
			indexes[role]++
		}
		return i
	}
	for _, d := range docs {
		for _, s := range d.Servers {
			place(s)
		}
		c.Documents = append(c.Documents, d.chart(place))
	}
	return c
}

func (d *Document) chart(place func(Server) int) chartDoc {
	doc := chartDoc{NotFree: strings.ReplaceAll(notIn(d.Settings.Settle), nbsp, " "), Settle: prose.InMilliseconds(d.Settings.Settle), Restarted: d.chartRestarts()}
	blocks := d.blocks()
	for _, name := range d.mixes() {
		mix := chartMix{Name: prose.Printable(name)}
		var grown []block
		for i, b := range blocks {
			if b.mix == name {
				mix.Cell = i
			}
			if b.mix == name && b.n > 0 {
				grown = append(grown, b)
				mix.NS = append(mix.NS, b.n)
			}
		}
		for i, b := range grown {
			for _, r := range b.rows {
				server := place(r.server)
				at := slices.IndexFunc(mix.Series, func(s chartSeries) bool { return s.Server == server })
				if at < 0 {
					at = len(mix.Series)
					points := func() []*chartPoint { return make([]*chartPoint, len(grown)) }
					mix.Series = append(mix.Series, chartSeries{server, points(), make([]bool, len(grown)), points(), points(), points()})
				}
				s := mix.Series[at]
				s.Never[i] = len(r.cell.Runs) > 0 && !r.Free.Settled()
				s.Free[i], s.Told[i], s.Wire[i], s.CPU[i] = pointOf(r.Free), pointOf(r.Told), pointOf(r.Wire), pointOf(r.CPU)
			}
		}
		doc.Mixes = append(doc.Mixes, mix)
	}
	for _, b := range blocks {
		cell := chartCell{Title: b.title()}
		for _, r := range b.rows {
			if run := r.cell.medianRun(); run >= 0 {
				drawn := chartRun(r.cell.Runs[run], place(r.server))
				drawn.Wire = r.cell.chartWire()
				cell.Rows = append(cell.Rows, drawn)
			}
		}
		doc.Cells = append(doc.Cells, cell)
	}
	return doc
}

func pointOf(s Spread[time.Duration]) *chartPoint {
	if !s.Settled() {
		return nil
	}
	return &chartPoint{prose.InMilliseconds(s.Median), prose.InMilliseconds(s.Min), prose.InMilliseconds(s.Max)}
}

func (c Cell) chartWire() *chartWire {
	run := c.medianWired()
	if run < 0 || c.Wired[run].Wire == nil {
		return nil
	}
	return &chartWire{c.Wired[run].Round, cumulative(c.Wired[run].Wire.Curve)}
}

func chartRun(r Run, server int) chartRow {
	row := chartRow{Server: server, Round: r.Round, Endings: r.Endings, Curve: cumulative(r.Curve)}
	for i, l := range r.Left {
		if i == 0 {
			row.Left = make(map[string]int)
			for state, n := range l.States {
				if n > 0 {
					row.Left[sockdiag.State(state).String()] = n
				}
			}
		}
		row.After = append(row.After, [2]float64{prose.InMilliseconds(l.At), float64(l.States.Total())})
	}
	row.After = thinned(row.After)
	return row
}

// cumulative is the number of clients that had been told, or of connections that had ended, until each step.
func cumulative(curve []Step) [][2]float64 {
	steps := slices.Clone(curve)
	slices.SortStableFunc(steps, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	var points [][2]float64
	told := 0
	for _, s := range steps {
		if s.Ending == "untold" {
			continue
		}
		told += s.N
		points = append(points, [2]float64{prose.InMilliseconds(s.At), float64(told)})
	}
	return thinned(points)
}

// maxPoints is more than a chart has pixels for each server to differ by; the page would grow by megabytes with all.
const maxPoints = 200

// thinned leaves out points at equal distances, but neither the first nor the last. What stays is true.
func thinned(points [][2]float64) [][2]float64 {
	if len(points) <= maxPoints {
		return points
	}
	thin := make([][2]float64, maxPoints)
	for i := range thin {
		thin[i] = points[i*(len(points)-1)/(maxPoints-1)]
	}
	return thin
}
