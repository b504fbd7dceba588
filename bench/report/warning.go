package report

import (
	"fmt"
	"time"

	"rstserver/internal/prose"
)

type sentence struct{ Name, Text string }

// warnings are those that were given while it was measured, and what the figures themselves warn of.
func (d *Document) warnings(blocks []block) []string {
	var warnings []string
	for _, w := range d.Warnings {
		warnings = append(warnings, prose.Printable(w))
	}
	if d.Interrupted {
		warnings = append(warnings, "interrupted before all was measured: what is here is what there was until then")
	}
	warnings = append(warnings, d.restartWarnings(d.restartRows())...)
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
	return fmt.Sprintf("%s after %s%sms", name, prose.Between(prose.Milliseconds(s.Min), prose.Milliseconds(s.Max)), nbsp)
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
