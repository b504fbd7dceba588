package main

import (
	"io"
	"os"
	"strconv"

	"golang.org/x/term"

	"rstserver/internal/layout"
)

// questionTerminal returns the first of outs that a user at the terminal stdin can read, and nil if there is nobody to ask.
func questionTerminal(stdin *os.File, outs ...io.Writer) io.Writer {
	if !isTerminal(stdin) {
		return nil
	}
	for _, out := range outs {
		if isTerminal(out) {
			return out
		}
	}
	return nil
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// isDumb reports whether the terminal cannot take back what it has shown.
func isDumb() bool { return os.Getenv("TERM") == "dumb" }

// mostColumns bounds what is written in columns: in longer lines the eye loses its way.
const mostColumns = 200

// columnsOf is the width that text is set for on w: what COLUMNS says (POSIX, environment variables), that of the terminal, which may
// not know it, or the usual one where w is no terminal.
func columnsOf(w any) int {
	const unknown = 80
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return min(max(n, layout.Least), mostColumns)
	}
	f, ok := w.(*os.File)
	if !ok || !isTerminal(f) {
		return layout.Usual
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil || n <= 0 {
		return unknown
	}
	return min(max(n, layout.Least), mostColumns)
}
