package report

import (
	"io"

	"rstserver/internal/layout"
)

// Options are how a Document is written. The zero value will do.
type Options struct {
	// Columns is the width of the terminal that Text is for. Zero: 100.
	Columns int
	// Explain writes what the figures mean behind them.
	Explain bool
}

// Text writes d for a terminal: what came of it, then the figures, then where and how they were measured.
func (d *Document) Text(w io.Writer, o Options) error {
	t := layout.Text{Columns: o.Columns}
	first := true
	section := func(title string) {
		if !first {
			t.Line("")
		}
		first = false
		t.Wrap("", "", title)
	}
	blocks, restarts := d.blocks(), d.restartRows()
	for _, s := range d.stories(blocks) {
		section(s.Title)
		for _, l := range s.Lines {
			writeStoryLine(&t, l)
		}
	}
	for _, block := range blocks {
		for _, g := range d.grids(block) {
			section(g.Title)
			t.Table(g.rows(), g.Right)
		}
	}
	for _, g := range d.restartGrids(restarts) {
		section(g.Title)
		t.Table(g.rows(), g.Right)
	}
	for _, g := range d.growthGrids(blocks) {
		for _, which := range t.Split(g.rows()) {
			part := g.pick(which)
			section(part.Title)
			t.Table(part.rows(), part.Right)
		}
	}
	if warnings := d.warnings(blocks); len(warnings) > 0 {
		section("Warnings")
		for _, warning := range warnings {
			t.Wrap("  ! ", "    ", warning)
		}
	}
	for _, omitted := range []struct {
		title string
		list  []Omission
	}{{"Skipped", d.Skipped}, {"Failed", d.Failed}} {
		if len(omitted.list) > 0 {
			section(omitted.title)
		}
		for _, s := range omissions(omitted.list) {
			t.Wrap("  - ", "    ", s.Name+": "+s.Text)
		}
	}
	if len(d.Cells)+len(d.Restarted) == 0 {
		_, err := io.WriteString(w, t.String())
		return err
	}
	section("Where and how it was measured")
	var facts [][2]string
	if len(d.Command) > 0 {
		facts = append(facts, [2]string{"command", shell(d.Command)})
	}
	for _, f := range d.facts() {
		facts = append(facts, [2]string{f.Name, f.Text})
	}
	t.Pairs(facts)
	if o.Explain {
		section("What the figures mean")
		var means [][2]string
		for _, def := range d.definitions() {
			means = append(means, [2]string{def.Name, def.Text})
		}
		t.Pairs(means)
	}
	_, err := io.WriteString(w, t.String())
	return err
}

// writeStoryLine writes one line, whatever there is to list: as much as there is room for, and how much more there is.
func writeStoryLine(t *layout.Text, l storyLine) {
	name := "  " + l.Name + layout.Pad(l.Name, storyNames)
	for n := len(l.Items); n > 0; n-- {
		if line := name + l.text(n); layout.Columns(line) <= t.Width() {
			t.Line(line)
			return
		}
	}
	t.Wrap(name, "    ", l.text(1))
}
