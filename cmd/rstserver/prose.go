package main

import (
	"strings"
	"unicode/utf8"
)

// pick is one for one of something, and more for any other number.
func pick(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

// writeWrapped writes text in lines of at most maxColumns, all of them behind indent and those after the first a little more
// to the right. A word that is longer is left whole.
func writeWrapped(b *strings.Builder, indent, text string) {
	line, width := indent, len(indent)
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case width+1+n > maxColumns:
			b.WriteString(line + "\n")
			line, width = indent+"  ", len(indent)+2
		default:
			line, width = line+" ", width+1
		}
		line, width = line+word, width+n
	}
	b.WriteString(line + "\n")
}

// writeTable writes rows of cells in columns, the first so many of them aligned to the right. The last cell of a row is a list
// that may take several lines; where it does not fit beside the others, it goes below them.
func writeTable(b *strings.Builder, table [][]string, right int) {
	last := len(table[0]) - 1
	widths := make([]int, last)
	for _, cells := range table {
		for i := range widths {
			widths[i] = max(widths[i], utf8.RuneCountInString(cells[i]))
		}
	}
	for _, cells := range table {
		line := " "
		for i, width := range widths {
			pad := strings.Repeat(" ", width-utf8.RuneCountInString(cells[i]))
			if i < right {
				line += " " + pad + cells[i] + " "
			} else {
				line += " " + cells[i] + pad + " "
			}
		}
		start := utf8.RuneCountInString(line) + 1
		width := start
		for i, item := range strings.Split(cells[last], ", ") {
			if i > 0 {
				line, width = line+",", width+1
			}
			n := utf8.RuneCountInString(item) + 1 // with the comma
			if width+n > maxColumns {
				b.WriteString(strings.TrimRight(line, " ") + "\n")
				indent := min(start, maxColumns/2)
				line, width = strings.Repeat(" ", indent-1), indent
			}
			line, width = line+" "+item, width+n
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}
