package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"rstserver/internal/prose"
)

// chartRestarted are restarts of one server that are drawn.
type chartRestarted struct {
	Server   string         `json:"server"`
	Known    bool           `json:"known"` // processes are told apart
	Restarts []chartRestart `json:"restarts"`
}

type chartRestart struct {
	Title string       `json:"title"`
	Note  string       `json:"note"`
	Ticks [][4]float64 `json:"ticks"` // beginning in ms, answers of old processes, of new ones, lost
	Ready *float64     `json:"ready"` // null: not known
	Gone  *float64     `json:"gone"`
}

// chartRestarts are two restarts of each server: the one in the middle by what was lost, and the worst.
func (d *Document) chartRestarts() []chartRestarted {
	var charts []chartRestarted
	for _, r := range d.restartRows() {
		of := chartRestarted{Server: prose.Printable(r.server.Name), Known: total(r.all, func(t Traffic) int { return t.New }) > 0}
		order := slices.Clone(r.all)
		slices.SortStableFunc(order, func(a, b Restart) int {
			return cmp.Or(cmp.Compare(a.With.LostRequests(), b.With.LostRequests()), cmp.Compare(a.With.gap(), b.With.gap()))
		})
		middle := (len(order) - 1) / 2
		of.Restarts = append(of.Restarts, drawnRestart("the one in the middle, by what was lost", order[middle]))
		if worst := len(order) - 1; worst > middle {
			of.Restarts = append(of.Restarts, drawnRestart("the worst", order[worst]))
		}
		charts = append(charts, of)
	}
	return charts
}

// gap is the longest, 0 if nobody could see one.
func (t Traffic) gap() time.Duration {
	if t.Gap == nil {
		return 0
	}
	return *t.Gap
}

func drawnRestart(title string, r Restart) chartRestart {
	c := chartRestart{Title: title, Note: fmt.Sprintf("Lost: %s of %s requests.", prose.Grouped(r.With.LostRequests()), prose.Grouped(r.With.Requests()))}
	if r.With.Gap != nil {
		c.Note += " Longest gap: " + prose.Milliseconds(*r.With.Gap) + " ms."
	}
	if r.Ready != nil {
		at := prose.InMilliseconds(*r.Ready)
		c.Ready = &at
		c.Note += " First answer of a new process after " + prose.Milliseconds(*r.Ready) + " ms."
	}
	if r.Gone != nil {
		at := prose.InMilliseconds(*r.Gone)
		c.Gone = &at
		c.Note += " Old process gone after " + prose.Milliseconds(*r.Gone) + " ms."
	}
	for _, t := range r.Timeline {
		c.Ticks = append(c.Ticks, [4]float64{prose.InMilliseconds(t.At), float64(t.Old), float64(t.New), float64(t.Lost)})
	}
	return c
}
