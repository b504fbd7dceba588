package report

import (
	"slices"
	"time"

	"rstserver/internal/prose"
)

// pace is how many connections have ended within each 100 ms from the first to the last; what is left at the end is no such time, and counts for
// nothing.
func pace(steps []Step) (n []int) {
	if len(steps) == 0 {
		return nil
	}
	began, ended := steps[0].At, steps[len(steps)-1].At+TickLength
	n = make([]int, int((ended-began)/paceSlot))
	for _, s := range steps {
		if i := int((s.At - began) / paceSlot); i < len(n) {
			n[i] += s.N
		}
	}
	return n
}

// What ends one after the other takes so many slots at least, and so many connections end in one of them, one with the other: else connections have
// ended at once, or here and there.
const (
	paceSlot  = 100 * time.Millisecond
	paceSlots = 10
	paceEach  = 20
)

func paceGrid() grid {
	return grid{
		Title: "Connections that were told one after the other: how long that took in ms, and how many were within 100 ms",
		Head:  []string{"server", "over", "least", "median", "most"},
		Right: []bool{false, true, true, true, true},
	}
}

// paceCells are what a line of a paceGrid has behind the name, of several runs; there are none if the connections of none were told one after the other.
func paceCells(runs [][]Step) []string {
	var all []int
	total, n := 0, 0
	for _, steps := range runs {
		if p := pace(steps); len(p) >= paceSlots {
			n++
			for _, k := range p {
				all = append(all, k)
				total += k
			}
		}
	}
	if total < paceEach*len(all) || n == 0 {
		return nil
	}
	slices.Sort(all)
	return []string{
		prose.Milliseconds(time.Duration(len(all)/n) * paceSlot), prose.Grouped(all[0]), prose.Grouped(all[len(all)/2]), prose.Grouped(all[len(all)-1]),
	}
}

// paceGrid is empty where no connections were told one after the other.
func (b block) paceGrid() grid {
	g := paceGrid()
	for _, r := range b.rows {
		var runs [][]Step
		for _, run := range r.cell.Runs {
			runs = append(runs, run.Curve)
		}
		if cells := paceCells(runs); cells != nil {
			g.Lines = append(g.Lines, line{r.server.Role, append([]string{r.name(b)}, cells...)})
		}
	}
	return g
}
