package main

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"rstserver/bench"
	"rstserver/internal/layout"
	"rstserver/internal/prose"
)

// progress is a line on a terminal that says what the benchmark is doing. On anything else it says nothing. Apart from interrupt
// it is used by one goroutine.
type progress struct {
	w           io.Writer // nil: no terminal
	width       int
	shown       time.Time
	last        stage
	interrupted atomic.Bool
}

// stage is what is written at once when it changes.
type stage struct {
	done                       int
	open, waiting, interrupted bool
}

// redraw is how often the line is written again within a stage.
const redraw = 100 * time.Millisecond

func newProgress(stderr io.Writer) *progress {
	p := &progress{last: stage{done: -1}}
	if isTerminal(stderr) {
		p.w, p.width = stderr, columnsOf(stderr)
	}
	return p
}

// interrupt makes the line say that a signal has come. Any goroutine may call it.
func (p *progress) interrupt() { p.interrupted.Store(true) }

func (p *progress) show(now bench.Progress) {
	at := stage{now.Done, now.Opened >= now.N, now.Waiting.Total() > 0, p.interrupted.Load()}
	if p.w == nil || at == p.last && time.Since(p.shown) < redraw {
		return
	}
	before := p.last
	p.shown, p.last = time.Now(), at
	line := progressLine(now)
	if at.interrupted {
		line = "interrupted, once more ends at once · " + line
	}
	if isDumb() { // which gets a line for each run
		if at.done != before.done || at.interrupted != before.interrupted {
			fmt.Fprintln(p.w, layout.Clip(line, p.width-1))
		}
		return
	}
	// A line that wraps could not be taken back.
	fmt.Fprint(p.w, "\r\x1b[K"+layout.Clip(line, p.width-1))
}

func (p *progress) clear() {
	if p.w != nil && !isDumb() {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func progressLine(now bench.Progress) string {
	of := " " + now.Mix
	if strings.Contains(now.Mix, ",") {
		of = ": " + now.Mix
	}
	parts := []string{fmt.Sprintf("run %d of %d", now.Done+1, now.Of), prose.Printable(now.Server) + ", " + prose.Grouped(now.N) + of}
	switch {
	case now.Waiting.Total() > 0:
		parts = append(parts, fmt.Sprintf("waiting for the end of %s, which only CAP_NET_ADMIN may destroy", now.Waiting))
	case now.Opened < now.N:
		parts = append(parts, prose.Grouped(now.Opened)+" connections open")
	default:
		parts = append(parts, "all open, letting go")
	}
	if left := now.Left.Round(time.Second); left > 0 {
		parts = append(parts, "about "+left.String()+" left")
	} else if now.Left > 0 {
		parts = append(parts, "less than 1s left")
	}
	return strings.Join(parts, " · ")
}
