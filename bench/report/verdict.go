package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rstserver/internal/prose"
)

// verdicts say in a sentence for each server how fast it let go of its port and what it left there, with the most connections
// of each mix.
func (d *Document) verdicts(blocks []block) []verdict {
	var verdicts []verdict
	for i, b := range blocks {
		if i+1 < len(blocks) && blocks[i+1].mix == b.mix {
			continue
		}
		v := verdict{Title: b.title()}
		for _, r := range b.rows {
			if len(r.cell.Runs) > 0 {
				v.Sentences = append(v.Sentences, sentence{prose.Printable(r.server.Name), d.verdict(r)})
			}
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}

type verdict struct {
	Title     string
	Sentences []sentence
}

type sentence struct{ Name, Text string }

func (d *Document) verdict(r row) string {
	var parts []string
	if r.Free.Settled() {
		text := "port free after " + ms(r.Free.Median) + nbsp + "ms"
		switch {
		case r.server.Role != Floor && r.floor > 0:
			text += ", " + ratioText(r.floor) + nbsp + "×" + nbsp + "the floor"
		case r.floor == 1:
			text += ", what the others are measured by"
		}
		parts = append(parts, text)
	} else {
		parts = append(parts, "port "+notFree(r, d.Settings.Settle))
	}
	how := r.howTold()
	switch {
	case how == none:
	case r.Told.Settled():
		parts = append(parts, "clients told after "+ms(r.Told.Median)+nbsp+"ms: "+how)
	default:
		parts = append(parts, "clients not all told in "+span(d.Settings.Timeout)+": "+how)
	}
	if r.Wire.Settled() {
		parts = append(parts, "last end on the wire after "+ms(r.Wire.Median)+nbsp+"ms")
	}
	if !r.Gone.Settled() {
		parts = append(parts, "process not gone in "+span(d.Settings.Timeout))
	}
	switch left := r.leftOnPort(); left {
	case none:
	case "nothing":
		parts = append(parts, "nothing left on the port")
	default:
		parts = append(parts, "left on the port: "+left+r.later())
	}
	if holders := r.holders(); holders != "" {
		parts = append(parts, "held by "+holders)
	}
	return strings.Join(parts, "; ") + "."
}

func notFree(r row, settle time.Duration) string {
	if settle <= 0 {
		return "not seen free"
	}
	text := "not free in " + span(settle)
	if r.Free.N > 0 {
		text += fmt.Sprintf(" in %d of %s", r.Free.Of-r.Free.N, prose.Plural(r.Free.Of, "run"))
	}
	return text
}

// later is how it went on with what was left.
func (r row) later() string {
	sockets, at := r.cell.end()
	switch {
	case at <= 0 || !slices.ContainsFunc(r.cell.Runs, func(r Run) bool { return len(r.Left) > 1 }):
		return ""
	case sockets == 0:
		return ", gone after " + span(at)
	}
	return fmt.Sprintf(", %s still there after %s", prose.Grouped(sockets), span(at))
}

// warnings are those that were given while it was measured, and what the figures themselves warn of.
func (d *Document) warnings(blocks []block) []string {
	var warnings []string
	for _, w := range d.Warnings {
		warnings = append(warnings, prose.Printable(w))
	}
	if d.Interrupted {
		warnings = append(warnings, "interrupted before all was measured: what is here is what there was until then")
	}
	for _, b := range blocks {
		for _, r := range b.rows {
			if _, lost := r.cell.wireCount(func(w *Wire) int { return w.Dropped }); lost > 0 {
				warnings = append(warnings, fmt.Sprintf("%s, %s: up to %s on the wire were lost in a run, as there was no room for them: it sends "+
					"several for each connection", prose.Printable(r.server.Name), b.title(), prose.Plural(lost, "segment")))
			}
		}
	}
	var names []string
	cells := make(map[string][]string) // by the name of the server
	fewest := 0
	for _, b := range blocks {
		if b.runs > 0 && (fewest == 0 || b.runs < fewest) {
			fewest = b.runs
		}
		for _, r := range b.rows {
			if text := d.scatter(r); text != "" {
				names = append(names, r.server.Name)
				cells[r.server.Name] = append(cells[r.server.Name], b.title()+" ("+text+")")
			}
		}
	}
	for _, name := range distinct(names) {
		warnings = append(warnings, fmt.Sprintf("%s: runs scatter with %s; measure again with more --runs, on a quieter machine",
			prose.Printable(name), prose.Enumerate(cells[name])))
	}
	if fewest > 0 && fewest < 3 {
		warnings = append(warnings, prose.Plural(fewest, "run")+" cannot show how far runs scatter; use --runs 5 or more")
	}
	return warnings
}

// scatter says how the runs of r differ, if they differ too much: in the time to port free, or where that never came, in the
// time until the last client was told.
func (d *Document) scatter(r row) string {
	name, s, of := "port free", r.Free, func(r Run) []time.Duration { return appendMoment(nil, r.Free) }
	if s.N == 0 {
		name, s, of = "clients told", r.Told, func(r Run) []time.Duration { return appendTime(nil, r.Told) }
	}
	if s.N > 0 && s.N < s.Of {
		return fmt.Sprintf("%s in %d of %s", name, s.N, prose.Plural(s.Of, "run"))
	}
	var measured []time.Duration
	for _, run := range r.cell.Runs {
		measured = append(measured, of(run)...)
	}
	if !scattered(measured, d.resolution(free)) {
		return ""
	}
	return fmt.Sprintf("%s after %s%sms", name, between(ms(s.Min), ms(s.Max)), nbsp)
}

// omissions are one sentence each.
func omissions(list []Omission) []sentence {
	var sentences []sentence
	for _, o := range list {
		where := ""
		if o.N > 0 || o.Mix != "" {
			where = block{n: o.N, mix: o.Mix}.title()
		}
		if o.Round > 0 {
			where = join(where, fmt.Sprintf("round %d", o.Round))
		}
		name := prose.Printable(o.Server)
		if where != "" {
			name += ", " + where
		}
		sentences = append(sentences, sentence{name, prose.Printable(o.Reason)})
	}
	return sentences
}
