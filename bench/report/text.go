package report

import (
	"io"
	"strings"
)

// Text writes d for a terminal, in lines of at most 100 columns.
func (d *Document) Text(w io.Writer) error {
	var b strings.Builder
	section := func(title string) {
		b.WriteByte('\n')
		writeWrapped(&b, "", title)
	}
	blocks := d.blocks()

	if len(d.Command) > 0 {
		writeWrapped(&b, "", shell(d.Command))
	}
	writePairs(&b, d.facts())
	for _, block := range blocks {
		for _, g := range d.grids(block) {
			section(g.Title)
			writeGrid(&b, g)
		}
	}
	for _, g := range d.growthGrids(blocks) {
		for _, part := range splitGrid(g) {
			section(part.Title)
			writeGrid(&b, part)
		}
	}
	for _, v := range d.verdicts(blocks) {
		section("What came of it: " + v.Title)
		writeItems(&b, v.Sentences)
	}
	if warnings := d.warnings(blocks); len(warnings) > 0 {
		section("Warnings")
		for _, warning := range warnings {
			writeWrapped(&b, "  ! ", warning)
		}
	}
	if len(d.Skipped) > 0 {
		section("Skipped")
		writeItems(&b, omissions(d.Skipped))
	}
	if len(d.Failed) > 0 {
		section("Failed")
		writeItems(&b, omissions(d.Failed))
	}
	section("What the figures mean")
	writePairs(&b, Definitions())
	if attained := d.attained(); attained != "" {
		section(attained)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeItems(b *strings.Builder, sentences []sentence) {
	for _, s := range sentences {
		writeWrapped(b, "  - ", s.Name+": "+s.Text)
	}
}
