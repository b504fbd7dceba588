package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"rstserver/bench"
)

// progress is a line on a terminal that says what the benchmark is doing. On anything else it says nothing. It is used by one
// goroutine.
type progress struct {
	w     io.Writer // nil: no terminal
	width int
	shown time.Time
	last  bench.Progress
}

// redraw is how often the line is written again.
const redraw = 100 * time.Millisecond

func newProgress(stderr io.Writer) *progress {
	p := &progress{}
	if isTerminal(stderr) {
		p.w, p.width = stderr, columns(stderr)
	}
	return p
}

func (p *progress) show(now bench.Progress) {
	if p.w == nil || now.Done == p.last.Done && now.Server == p.last.Server && time.Since(p.shown) < redraw {
		return
	}
	p.shown, p.last = time.Now(), now
	line := progressLine(now)
	// A line that wraps could not be taken back.
	if n := p.width - 1; utf8.RuneCountInString(line) > n {
		line = string([]rune(line)[:max(n-1, 0)]) + "…"
	}
	fmt.Fprint(p.w, "\r\x1b[K"+line)
}

func (p *progress) clear() {
	if p.w != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func progressLine(now bench.Progress) string {
	parts := []string{fmt.Sprintf("run %d of %d", now.Done+1, now.Of), fmt.Sprintf("%s, %s %s", now.Server, grouped(now.N), now.Mix)}
	switch {
	case now.Waiting.Total() > 0:
		parts = append(parts, fmt.Sprintf("waiting for the end of %s, which only CAP_NET_ADMIN may destroy", now.Waiting))
	case now.Opened < now.N:
		parts = append(parts, grouped(now.Opened)+" connections open")
	default:
		parts = append(parts, "all open, letting go")
	}
	if now.Left > 0 {
		parts = append(parts, "about "+now.Left.Round(time.Second).String()+" left")
	}
	return strings.Join(parts, " · ")
}

// columns is the width of a terminal, which may not know it.
func columns(stream any) int {
	const usual = 80
	if f, ok := stream.(interface{ Fd() uintptr }); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
			return int(size.Col)
		}
	}
	return usual
}
