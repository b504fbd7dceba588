package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rstserver/internal/layout"
	"rstserver/internal/prose"
)

// nbsp holds a number and its noun together where a line is broken.
const nbsp = layout.NBSP

// spreadText is the median, and the least and the greatest behind it; bound is what to say of a figure that did not come.
func spreadText[T ~int64](s Spread[T], unit func(T) string, bound string) string {
	switch {
	case s.Of == 0:
		return none
	case s.N == 0:
		return bound
	case !s.Settled():
		return fmt.Sprintf("%s (%d"+nbsp+"of"+nbsp+"%d"+nbsp+"did: %s)", bound, s.N, s.Of, prose.Between(unit(s.Min), unit(s.Max)))
	}
	text := unit(s.Median)
	if least, most := unit(s.Min), unit(s.Max); least != text || most != text {
		text += " (" + prose.Between(least, most) + ")"
	}
	if s.N < s.Of {
		text += fmt.Sprintf(", %d"+nbsp+"of"+nbsp+"%d", s.N, s.Of)
	}
	return text
}

// notIn is what to say of something that did not come while it was waited for.
func notIn(d time.Duration) string {
	if d <= 0 {
		return "not seen"
	}
	return "not in " + strings.ReplaceAll(prose.Span(d), " ", nbsp)
}

func ratioText(ratio float64) string {
	if ratio == 0 {
		return none
	}
	return prose.Ratio(ratio)
}

// countsText lists what was counted: "10,000 reset", "8,990–9,000 EOF, 1,000 untold".
func countsText(counts []count) string {
	parts := make([]string, len(counts))
	for i, c := range counts {
		parts[i] = prose.Between(prose.Grouped(c.min), prose.Grouped(c.max)) + nbsp + endingName(c.what)
	}
	return strings.Join(parts, ", ")
}

func endingName(what string) string {
	what = prose.Printable(what)
	if before, ok := strings.CutSuffix(what, "eof"); ok { // it can come behind what the server has said
		what = before + "EOF"
	}
	return strings.ReplaceAll(what, " ", nbsp)
}

func (r row) howTold() string {
	text := countsText(r.cell.endings(func(r Run) map[string]int { return r.Endings }))
	if text == "" {
		return none
	}
	return text
}

// howToldByKind is empty where there is one kind only.
func (r row) howToldByKind() string {
	kinds := make(map[string]bool)
	for _, run := range r.cell.Runs {
		for kind := range run.ByKind {
			kinds[kind] = true
		}
	}
	if len(kinds) < 2 {
		return ""
	}
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		counts := r.cell.endings(func(r Run) map[string]int { return r.ByKind[kind] })
		if text := countsText(counts); text != "" {
			parts = append(parts, prose.Printable(kind)+": "+text)
		}
	}
	return strings.Join(parts, "; ")
}

func (r row) leftOnPort() string {
	counts, known := r.cell.left()
	switch {
	case !known:
		return none
	case len(counts) == 0:
		return "nothing"
	}
	return countsText(counts)
}

// later is how it went on with what was left, if it did not stay.
func (r row) later() string {
	sockets, at := r.cell.end()
	left, _ := r.cell.left()
	switch {
	case at <= 0 || len(left) == 0:
		return ""
	case sockets == 0:
		return ", gone after " + glued(prose.Span(at))
	case len(left) > 0 && sockets < left[0].min:
		return fmt.Sprintf(", %s still there after %s", prose.Grouped(sockets), glued(prose.Span(at)))
	}
	return ""
}

// heldBy names the processes that still had sockets of the port after a run.
func (r row) heldBy() string {
	if holders := r.holders(); holders != "" {
		return ", held by " + holders
	}
	return ""
}

// lastEnd is when the last connection ended on the wire, or why that is not known.
func (d *Document) lastEnd(r row) string {
	bound := notIn(d.Settings.Timeout)
	switch _, lost := r.cell.wireCount(func(w *Wire) int { return w.Dropped }); {
	case len(r.cell.Wired) == 0 && d.Unwired != "":
		return strings.ReplaceAll(prose.Printable(d.Unwired), " ", nbsp)
	case lost > 0:
		bound = "not" + nbsp + "known"
	}
	return spreadText(r.Wire, prose.Milliseconds, bound)
}

// onWire is how much of something there was on the wire in a run.
func (r row) onWire(of func(*Wire) int) string {
	if len(r.cell.Wired) == 0 {
		return none
	}
	least, most := r.cell.wireCount(of)
	return prose.Between(prose.Grouped(least), prose.Grouped(most))
}

// name is the name of the server, and the number of runs if that is not the one in the title.
func (r row) name(b block) string { return r.nameWith(len(r.cell.Runs), b.runs) }

func (r row) nameWith(runs, inTitle int) string {
	name := prose.Printable(r.server.Name)
	if runs != inTitle {
		name += " (" + strings.ReplaceAll(prose.Plural(runs, "run"), " ", nbsp) + ")"
	}
	return name
}

// exits are the different ends of the server's processes.
func (r row) exits() string {
	var all []string
	for _, run := range r.cell.Runs {
		for _, exit := range run.Exit {
			all = append(all, strings.ReplaceAll(prose.Printable(exit), " ", nbsp))
		}
	}
	if len(all) == 0 {
		return none
	}
	return strings.Join(distinct(all), ", ")
}

// maxHolders keeps a sentence readable; the JSON has them all.
const maxHolders = 3

// holders are the processes that still had sockets of the port after a run.
func (r row) holders() string {
	var all []string
	for _, run := range r.cell.Runs {
		for _, holder := range run.Holders {
			all = append(all, prose.Printable(holder))
		}
	}
	all = distinct(all)
	if len(all) > maxHolders {
		all = append(all[:maxHolders:maxHolders], prose.Plural(len(all)-maxHolders, "other"))
	}
	return prose.Enumerate(all)
}

// title is "10,000 idle connections".
func (b block) title() string {
	if mix, secure := strings.CutSuffix(b.mix, OverTLS); secure {
		return block{n: b.n, mix: mix}.title() + OverTLS
	}
	if strings.ContainsAny(b.mix, ",%0123456789") {
		return prose.Plural(b.n, "connection") + ", " + prose.Printable(b.mix)
	}
	return strings.Replace(prose.Plural(b.n, "connection"), " ", " "+prose.Printable(b.mix)+" ", 1)
}

// over says of how many runs the figures of b are.
func (b block) over() string {
	if b.runs == 1 {
		return "one run"
	}
	return "median (least–greatest) of " + prose.Plural(b.runs, "run") + " in turn"
}
