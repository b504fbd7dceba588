package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

// stalling takes what is written when it is told to.
type stalling struct {
	goOn   chan struct{}
	out    bytes.Buffer
	writes []string
}

func (s *stalling) Write(p []byte) (int, error) {
	<-s.goOn
	s.writes = append(s.writes, string(p))
	return s.out.Write(p)
}

func note(n int) []byte { return fmt.Appendf(nil, "%d dropped\n", n) }

func TestLogBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &stalling{goOn: make(chan struct{})}
		b := newLogBuffer(w, note)
		b.limit = 4 << 20
		line := strings.Repeat("x", b.limit/64-1) + "\n"
		want := strings.Repeat(line, 64)
		fmt.Fprint(b, "first\n")
		synctest.Wait() // it is on its way out
		for range 64 {
			fmt.Fprint(b, line)
		}
		for range 7 {
			fmt.Fprint(b, line)
		}
		close(w.goOn)
		b.close()
		if got := w.out.String(); got != "first\n"+want+"7 dropped\n" {
			t.Errorf("%d bytes came out, want %d and the note", len(got), len(want))
		}
	})
}

// TestLogBufferKeepsLinesWhole looks at each write.
func TestLogBufferKeepsLinesWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &stalling{goOn: make(chan struct{})}
		b := newLogBuffer(w, note)
		fmt.Fprint(b, "first\n")
		synctest.Wait() // it is on its way out, and all others come in one piece
		var want strings.Builder
		want.WriteString("first\n")
		for n := 1; n < 3*logPiece; n += n/3 + 1 {
			line := strings.Repeat("x", n) + "\n"
			fmt.Fprint(b, line)
			want.WriteString(line)
		}
		close(w.goOn)
		b.close()
		if got := w.out.String(); got != want.String() {
			t.Errorf("%d bytes came out, want %d", len(got), want.Len())
		}
		for i, piece := range w.writes {
			if !strings.HasSuffix(piece, "\n") || len(piece) > logPiece && strings.Count(piece, "\n") > 1 {
				t.Errorf("write %d of %d bytes ends with %q", i, len(piece), piece[max(0, len(piece)-10):])
			}
		}
	})
}

// A stderr that takes nothing does not hold up the end.
func TestLogBufferOfAStalledReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &stalling{goOn: make(chan struct{})}
		b := newLogBuffer(w, note)
		fmt.Fprint(b, "never read\n")
		b.close()
		close(w.goOn)
		<-b.done
	})
}
