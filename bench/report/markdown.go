package report

import (
	"io"
	"strings"
	"unicode"

	"rstserver/internal/prose"
)

// Markdown writes documents one after the other, with tables as GitHub has them.
func Markdown(w io.Writer, o Options, docs ...*Document) error {
	var b strings.Builder
	b.WriteString("# Results\n\nWritten by `rstserver bench`: " + subject(docs) + ", as\nseen from outside. Each part is one call.\n")
	for _, d := range docs {
		d.markdown(&b)
	}
	if o.Explain {
		b.WriteString("\n## What the figures mean\n\n| figure | what it means |\n| --- | --- |\n")
		for _, def := range definitionsOf(docs) {
			b.WriteString("| " + escaped(def.Name) + " | " + escaped(def.Text) + " |\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (d *Document) markdown(b *strings.Builder) {
	blocks := d.blocks()
	b.WriteString("\n## " + escaped(d.heading(blocks)) + "\n")
	for _, st := range d.stories(blocks) {
		b.WriteString("\n### " + escaped(st.Title) + "\n\n")
		for _, l := range st.Lines {
			b.WriteString("- **" + escaped(l.Name) + "**: " + escaped(l.Text()) + "\n")
		}
	}
	for _, block := range blocks {
		b.WriteString("\n### " + escaped(block.title()) + "\n")
		for _, g := range d.grids(block) {
			markdownGrid(b, g)
		}
	}
	if grids := d.restartGrids(d.restartRows()); len(grids) > 0 {
		b.WriteString("\n### What restarts cost\n")
		for _, g := range grids {
			markdownGrid(b, g)
		}
	}
	if grids := d.growthGrids(blocks); len(grids) > 0 {
		b.WriteString("\n### As the number of connections grows\n")
		for _, g := range grids {
			markdownGrid(b, g)
		}
	}
	if about := d.aboutGrid(); len(about.Lines) > 0 {
		b.WriteString("\n### The servers\n")
		markdownGrid(b, about)
	}
	if len(d.Skipped) > 0 {
		b.WriteString("\n### Skipped\n\n")
		markdownItems(b, omissions(d.Skipped))
	}
	if len(d.Failed) > 0 {
		b.WriteString("\n### Failed\n\n")
		markdownItems(b, omissions(d.Failed))
	}
	if warnings := d.warnings(blocks); len(warnings) > 0 {
		b.WriteString("\n### Warnings\n\n")
		for _, warning := range warnings {
			b.WriteString("- " + escaped(warning) + "\n")
		}
	}
	b.WriteString("\n### Where and how it was measured\n")
	if len(d.Command) > 0 {
		// Indented code needs no fence that a name could close.
		b.WriteString("\n    " + shell(d.Command) + "\n")
	}
	b.WriteString("\n| | |\n| --- | --- |\n")
	for _, f := range d.facts() {
		b.WriteString("| " + escaped(f.Name) + " | " + escaped(f.Text) + " |\n")
	}
}

// heading is what was measured in a few words.
func (d *Document) heading(blocks []block) string {
	if rows := d.restartRows(); len(rows) > 0 {
		return d.restartTitle(rows) + ", " + prose.Plural(len(d.Servers), "server")
	}
	if len(blocks) == 0 {
		return "Nothing was measured"
	}
	least, most := blocks[0].n, blocks[0].n
	for _, b := range blocks {
		least, most = min(least, b.n), max(most, b.n)
	}
	servers := prose.Plural(len(d.Servers), "server")
	if least == most && len(d.mixes()) == 1 {
		return blocks[0].title() + ", " + servers
	}
	return prose.Between(prose.Grouped(least), prose.Grouped(most)) + " connections, " + prose.Printable(strings.Join(d.mixes(), "; ")) + ", " + servers
}

// aboutGrid says what the servers are. The tables of figures have names only.
func (d *Document) aboutGrid() grid {
	g := grid{
		Title: "What was started, and how it was told to end",
		Head:  []string{"server", "is", "signal", "version", "command"},
		Right: []bool{false, false, false, false, false},
	}
	for _, s := range d.Servers {
		about := string(s.Role)
		if s.About != "" {
			about += ": " + s.About
		}
		g.Lines = append(g.Lines, line{s.Role, []string{prose.Printable(s.Name), prose.Printable(about), prose.Printable(s.Signal),
			prose.Printable(s.Version), shell(s.Command)}})
	}
	return g
}

func markdownItems(b *strings.Builder, sentences []sentence) {
	for _, s := range sentences {
		b.WriteString("- **" + escaped(s.Name) + "**: " + escaped(s.Text) + "\n")
	}
}

// markdownGrid writes nothing for a grid without lines.
func markdownGrid(b *strings.Builder, g grid) {
	if len(g.Lines) == 0 {
		return
	}
	b.WriteString("\n" + escaped(g.Title) + ":\n\n")
	rule := ""
	for i, head := range g.Head {
		b.WriteString("| " + escaped(head) + " ")
		if g.Right[i] {
			rule += "| ---: "
		} else {
			rule += "| --- "
		}
	}
	b.WriteString("|\n" + rule + "|\n")
	for _, l := range g.Lines {
		for i, cell := range l.Cells {
			text := escaped(cell)
			if i == 0 && l.Role == Ours && text != "" {
				text = "**" + text + "**"
			}
			b.WriteString("| " + text + " ")
		}
		b.WriteString("|\n")
	}
}

// escaped is text that Markdown shows as it is. An underscore inside a word, as in TIME_WAIT, means nothing there and is left,
// so that the source can be read.
func escaped(text string) string {
	var b strings.Builder
	runes := []rune(text)
	inWord := func(i int) bool {
		return i >= 0 && i < len(runes) && (unicode.IsLetter(runes[i]) || unicode.IsDigit(runes[i]))
	}
	for i, r := range runes {
		switch {
		case r == '_' && inWord(i-1) && inWord(i+1):
		case strings.ContainsRune("\\`*_{}[]<>|&~$#", r):
			b.WriteByte('\\')
		}
		if string(r) == nbsp {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}
