package report

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// maxColumns is the width of what is written for a terminal.
const maxColumns = 100

// columns is the width of s on a terminal.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

const (
	margin = 2 // before the first column
	gap    = 2 // between two columns
	least  = 6 // columns are not made narrower than that
)

// writeGrid writes g within maxColumns. Where it is too wide, the head is broken between words, then the cells are, then both
// between words that nbsp holds together, and a word that is still too long anywhere.
func writeGrid(b *strings.Builder, g grid) {
	rows := [][]string{g.Head}
	for _, l := range g.Lines {
		rows = append(rows, l.Cells)
	}
	widths := fit(rows)
	for _, cells := range rows {
		writeRow(b, cells, widths, g.Right)
	}
}

// fit finds widths for the columns of rows.
func fit(rows [][]string) []int {
	n := len(rows[0])
	widths, heads, glued, words, bare := make([]int, n), make([]int, n), make([]int, n), make([]int, n), make([]int, n)
	for k, cells := range rows {
		for i, cell := range cells {
			if heads[i] = max(heads[i], columns(cell)); k == 0 {
				heads[i] = longest(strings.Split(cell, " "))
			}
			widths[i] = max(widths[i], columns(cell))
			glued[i] = max(glued[i], longest(strings.Split(cell, " ")))
			words[i] = max(words[i], longest(strings.Fields(cell))) // Fields breaks at nbsp too
		}
	}
	for i := range bare {
		bare[i] = min(words[i], least)
	}
	room := maxColumns - margin - gap*(n-1)
	for _, floor := range [][]int{heads, glued, words, bare} {
		shrink(widths, floor, room)
	}
	return widths
}

func longest(words []string) int {
	n := 0
	for _, w := range words {
		n = max(n, columns(w))
	}
	return n
}

// shrink takes from the widest column that can spare something, until all fit.
func shrink(widths, floor []int, room int) {
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
			return
		}
		widths[widest]--
	}
}

func writeRow(b *strings.Builder, cells []string, widths []int, right []bool) {
	broken := make([][]string, len(cells))
	height := 1
	for i, cell := range cells {
		broken[i] = breakLines(cell, widths[i])
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
			pad := strings.Repeat(" ", max(0, widths[i]-columns(text)))
			if right[i] {
				line += pad + text
			} else {
				line += text + pad
			}
		}
		writeLine(b, line)
	}
}

func writeLine(b *strings.Builder, line string) {
	b.WriteString(strings.TrimRight(strings.ReplaceAll(line, nbsp, " "), " "))
	b.WriteByte('\n')
}

// breakLines breaks text into lines of at most so many columns.
func breakLines(text string, room int) []string {
	var lines []string
	line := ""
	place := func(word, before string) {
		switch {
		case line == "":
			line = word
		case columns(line)+columns(before)+columns(word) <= room:
			line += before + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	for _, word := range strings.Split(text, " ") {
		if columns(word) <= room {
			place(word, " ")
			continue
		}
		for i, part := range strings.Split(word, nbsp) {
			before := nbsp
			if i == 0 {
				before = " "
			}
			for columns(part) > room {
				if line != "" {
					lines = append(lines, line)
					line = ""
				}
				cut := cutAt(part, room)
				lines = append(lines, part[:cut])
				part = part[cut:]
			}
			place(part, before)
		}
	}
	return append(lines, line)
}

// cutAt is the number of bytes of s that fit, at least one rune.
func cutAt(s string, room int) int {
	used := 0
	for i, r := range s {
		if used += runeColumns(r); used > room && i > 0 {
			return i
		}
	}
	return len(s)
}

// splitGrid makes several grids of one with more columns than fit side by side, each with the first column of g.
func splitGrid(g grid) []grid {
	const firstColumn = 30 // wider names are broken
	width := func(column int) int {
		w := columns(g.Head[column])
		for _, l := range g.Lines {
			w = max(w, columns(l.Cells[column]))
		}
		return w
	}
	var parts []grid
	part := []int{0}
	start := margin + min(firstColumn, width(0))
	used := start
	for column := 1; column < len(g.Head); column++ {
		w := gap + width(column)
		if used+w > maxColumns && len(part) > 1 {
			parts = append(parts, g.pick(part))
			part, used = []int{0}, start
		}
		part, used = append(part, column), used+w
	}
	return append(parts, g.pick(part))
}

// pick is g with these columns only.
func (g grid) pick(which []int) grid {
	p := grid{Title: g.Title}
	for _, c := range which {
		p.Head, p.Right = append(p.Head, g.Head[c]), append(p.Right, g.Right[c])
	}
	for _, l := range g.Lines {
		cells := make([]string, 0, len(which))
		for _, c := range which {
			cells = append(cells, l.Cells[c])
		}
		p.Lines = append(p.Lines, line{l.Role, cells})
	}
	return p
}

// writeWrapped writes text in lines of at most maxColumns, the first behind first and the others behind as many blanks.
func writeWrapped(b *strings.Builder, first, text string) {
	indent := strings.Repeat(" ", utf8.RuneCountInString(first))
	for i, line := range breakLines(text, maxColumns-len(indent)) {
		if i == 0 {
			writeLine(b, first+line)
		} else {
			writeLine(b, indent+line)
		}
	}
}

// writePairs writes a name and a text each, the texts below each other.
func writePairs[T ~struct{ Name, Text string }](b *strings.Builder, pairs []T) {
	const most = 28
	type pair struct{ Name, Text string }
	list := make([]pair, len(pairs))
	for i, p := range pairs {
		list[i] = pair(p)
	}
	room := 0
	for _, p := range list {
		room = max(room, min(most, columns(p.Name)))
	}
	for _, p := range list {
		writeRow(b, []string{p.Name, p.Text}, []int{room, maxColumns - margin - gap - room}, []bool{false, false})
	}
}
