// Package layout sets text in lines that fit a terminal. A word is never broken: one that is longer than a line has a line that is
// longer than it should be.
package layout

import (
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
)

// NBSP is a blank that holds two words together, such as a number and its unit, as long as there is room for both in a line.
const NBSP = "\u00a0"

const (
	// Usual is the width where there is no terminal, or it does not say.
	Usual = 100
	// Least is the least width that anything is set for: a narrower terminal breaks lines itself.
	Least = 40
	// prose is the greatest width of running text, which is hard to read in longer lines.
	prose = 100
)

// condition takes characters to be as wide as on most terminals, whatever the locale says: × and – take one column.
var condition = &runewidth.Condition{}

// Columns is the number of columns that s takes on a terminal.
func Columns(s string) int { return condition.StringWidth(s) }

// Pad is the blanks that s lacks to be so wide.
func Pad(s string, columns int) string { return strings.Repeat(" ", max(0, columns-Columns(s))) }

// Clip is what fits of line into so many columns. It ends in … if that is not all.
func Clip(line string, room int) string { return condition.Truncate(line, room, "…") }

// Text is text for a terminal. The zero value is empty, for the usual width. One goroutine uses it.
type Text struct {
	Columns int // of the terminal; 0: Usual
	b       strings.Builder
}

func (t *Text) String() string { return t.b.String() }

// Width is the number of columns that lines are set for.
func (t *Text) Width() int {
	if t.Columns == 0 {
		return Usual
	}
	return max(t.Columns, Least)
}

// Line writes a line as it is, whatever its width: a command to paste.
func (t *Text) Line(line string) { t.write(line) }

func (t *Text) write(line string) {
	t.b.WriteString(strings.TrimRight(strings.ReplaceAll(line, NBSP, " "), " "))
	t.b.WriteByte('\n')
}

// Wrap writes text, the first line behind first and the others behind rest.
func (t *Text) Wrap(first, rest, text string) {
	room := min(t.Width(), prose)
	for _, line := range breakLines(text, room-Columns(first), room-Columns(rest)) {
		t.write(first + line)
		first = rest
	}
}

// Break breaks text into lines of at most so many columns, between words; at an NBSP only where there is no room otherwise.
func Break(text string, room int) []string { return breakLines(text, room, room) }

// breakLines is Break with another room for the first line.
func breakLines(text string, room, rest int) []string {
	var lines []string
	line, used := "", 0
	place := func(word, before string) {
		n := Columns(word)
		switch {
		case used > 0 && used+1+n > room:
			lines = append(lines, line)
			room = rest
			line, used = word, n
		case used > 0:
			line, used = line+before+word, used+1+n
		default:
			line, used = word, n
		}
	}
	for word := range strings.SplitSeq(text, " ") {
		if Columns(word) <= room {
			place(word, " ")
			continue
		}
		before := " "
		for part := range strings.SplitSeq(word, NBSP) {
			place(part, before)
			before = NBSP
		}
	}
	return append(lines, line)
}

// Pairs writes names with a text each, the texts below each other, behind a margin.
func (t *Text) Pairs(pairs [][2]string) { t.pairs(margin, pairs) }

func (t *Text) pairs(margin int, pairs [][2]string) {
	const most = 28 // columns of names
	names := 0
	for _, p := range pairs {
		names = max(names, Columns(p[0]))
	}
	names = min(names, most, t.Width()/3)
	texts := min(t.Width(), prose) - margin - gap - names
	for _, p := range pairs {
		if longest(strings.Fields(p[0])) <= names && longest(strings.Fields(p[1])) <= texts {
			t.row(margin, p[:], []int{names, texts}, nil)
			continue
		}
		indent := strings.Repeat(" ", margin)
		t.Wrap(indent, indent, p[0])
		indent += strings.Repeat(" ", gap)
		t.Wrap(indent, indent, p[1])
	}
}

const (
	margin = 2 // before the first column of a table
	gap    = 2 // between two columns
)

// Table writes rows in columns, the first of them the head. Where they are too wide, the head is broken between words, then the cells
// are, then both at NBSP. Where there is no room even so, each row is a list of its own. right says which columns are aligned to the
// right; it may be shorter than a row.
func (t *Text) Table(rows [][]string, right []bool) {
	widths, fits := t.fit(rows)
	if !fits {
		t.list(rows, right)
		return
	}
	for _, cells := range rows {
		t.row(margin, cells, widths, right)
	}
}

// list writes each row below the first of its cells that is no number.
func (t *Text) list(rows [][]string, right []bool) {
	title := max(slices.Index(right, false), 0)
	if !slices.Contains(right, false) && len(right) < len(rows[0]) {
		title = len(right)
	}
	indent := strings.Repeat(" ", margin)
	for _, cells := range rows[1:] {
		t.Wrap(indent, indent+indent, cells[title])
		var pairs [][2]string
		for i, cell := range cells {
			if i != title {
				pairs = append(pairs, [2]string{rows[0][i], cell})
			}
		}
		t.pairs(2*margin, pairs)
	}
}

// fit finds widths for the columns of rows.
func (t *Text) fit(rows [][]string) (widths []int, fits bool) {
	n := len(rows[0])
	heads, glued, words := make([]int, n), make([]int, n), make([]int, n)
	widths = make([]int, n)
	for k, cells := range rows {
		for i, cell := range cells {
			whole := Columns(cell)
			widths[i] = max(widths[i], whole)
			if k == 0 {
				whole = longest(strings.Split(cell, " "))
			}
			heads[i] = max(heads[i], whole)
			glued[i] = max(glued[i], longest(strings.Split(cell, " ")))
			words[i] = max(words[i], longest(strings.Fields(cell))) // Fields breaks at NBSP too
		}
	}
	room := t.Width() - margin - gap*(n-1)
	for _, floor := range [][]int{heads, glued, words} {
		if shrink(widths, floor, room) {
			return widths, true
		}
	}
	return nil, false
}

func longest(words []string) int {
	n := 0
	for _, w := range words {
		n = max(n, Columns(w))
	}
	return n
}

// shrink takes from the widest column that can spare something, until all fit, and reports whether they do.
func shrink(widths, floor []int, room int) bool {
	total := 0
	for _, w := range widths {
		total += w
	}
	for ; total > room; total-- {
		widest := -1
		for i, w := range widths {
			if w > floor[i] && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return false
		}
		widths[widest]--
	}
	return true
}

func (t *Text) row(margin int, cells []string, widths []int, right []bool) {
	broken := make([][]string, len(cells))
	height := 1
	for i, cell := range cells {
		broken[i] = Break(cell, widths[i])
		height = max(height, len(broken[i]))
	}
	for k := range height {
		line := strings.Repeat(" ", margin)
		for i := range cells {
			if i > 0 {
				line += strings.Repeat(" ", gap)
			}
			text := ""
			if k < len(broken[i]) {
				text = broken[i][k]
			}
			pad := Pad(text, widths[i])
			if i < len(right) && right[i] {
				line += pad + text
			} else {
				line += text + pad
			}
		}
		t.write(line)
	}
}

// Split makes several tables of one with more columns than fit side by side, each with the first column.
func (t *Text) Split(rows [][]string) (parts [][]int) {
	const first = 30 // wider names are broken
	width := func(column int) int {
		w := 0
		for _, cells := range rows {
			w = max(w, Columns(cells[column]))
		}
		return w
	}
	part := []int{0}
	start := margin + min(first, width(0))
	used := start
	for column := 1; column < len(rows[0]); column++ {
		w := gap + width(column)
		if used+w > t.Width() && len(part) > 1 {
			parts = append(parts, slices.Clone(part))
			part, used = []int{0}, start
		}
		part, used = append(part, column), used+w
	}
	return append(parts, part)
}
