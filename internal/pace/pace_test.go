package pace

import (
	"math"
	"testing"
	"time"
)

// Every connection is due once, in its own slot, at the moment that Next has named, and none after the window. Where there are very many, several
// slots end at the same moment.
func TestPace(t *testing.T) {
	for _, tt := range []struct {
		name   string
		n      int
		window time.Duration
	}{
		{"none", 0, time.Second},
		{"one", 1, time.Second},
		{"some", 7, time.Second},
		{"many", 100_000, 10 * time.Second},
		{"more than nanoseconds", 1000, 100},
		{"at once", 1000, 0},
		{"a negative window", 1000, -1},
		{"the longest window", 1000, math.MaxInt64},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := New(tt.n, tt.window)
			window := max(tt.window, 0)
			ended, last, times := 0, time.Duration(0), 0
			for {
				times++
				at, ok := p.Next()
				if !ok {
					break
				}
				if at < last || at > window {
					t.Fatalf("Next = %v after %v, want one that is within the window of %v", at, last, window)
				}
				if at > last && at < window && p.Due(at-1) != 0 {
					t.Fatalf("Due(%v) returns some, but Next had said %v", at-1, at)
				}
				n := p.Due(at)
				if n == 0 {
					t.Fatalf("Due(%v) = 0, but Next had said so", at)
				}
				// Each slot has had its connection, and no slot that is to come; more than one when they are shorter than
				// what a float tells apart.
				slot, step := float64(window)/float64(tt.n), float64(window)/float64(min(tt.n, moments))
				if from, to := float64(ended)*slot, float64(ended+n)*slot; window > 0 && (float64(at) < from-step || float64(at) > to+step) {
					t.Fatalf("connections %d to %d end at %v, their slots are %v to %v", ended, ended+n, at, from, to)
				}
				ended, last = ended+n, at
			}
			if ended != tt.n {
				t.Errorf("%d ended, want %d", ended, tt.n)
			}
			if times > min(tt.n, moments)+1 {
				t.Errorf("somebody has to wake up %d times for %d connections", times, tt.n)
			}
			if n := p.Due(math.MaxInt64); n != 0 {
				t.Errorf("Due = %d after all had ended, want 0", n)
			}
		})
	}
}

// Whoever comes late ends at once what is due, and keeps to the plan for the rest; from the end of the window on, nothing is
// left.
func TestPaceLate(t *testing.T) {
	p := New(100, 10*time.Second)
	if n := p.Due(-time.Second); n != 0 {
		t.Errorf("Due before the window = %d, want 0", n)
	}
	first := p.Due(4 * time.Second)
	if first < 40-1 || first > 40+1 {
		t.Errorf("Due(4s of 10s) = %d of 100, want 40 or a neighbour", first)
	}
	if n := p.Due(4 * time.Second); n != 0 {
		t.Errorf("the second Due(4s) = %d, want 0", n)
	}
	if n := p.Due(10 * time.Second); n != 100-first {
		t.Errorf("Due(the window) = %d, want the %d that are left", n, 100-first)
	}
	if _, ok := p.Next(); ok {
		t.Error("Next says that something is left after the window")
	}
}

// The endings are jittered: those of two servers that drain together are not in step.
func TestPaceJitter(t *testing.T) {
	const n = moments
	times := func() map[time.Duration]bool {
		p, all := New(n, time.Hour), make(map[time.Duration]bool)
		for at, ok := p.Next(); ok; at, ok = p.Next() {
			p.Due(at)
			all[at] = true
		}
		return all
	}
	a, b, same := times(), times(), 0
	for at := range a {
		if b[at] {
			same++
		}
	}
	if len(a) < n*99/100 || same > n/100 {
		t.Errorf("%d different times of %d, %d of them the same in another run", len(a), n, same)
	}

	// At the ends of the range of random numbers.
	for _, r := range []float64{0, math.Nextafter(1, 0)} {
		p := &Pace{n: 4, window: 4 * time.Second, random: func() float64 { return r }}
		p.plan()
		for i := range 4 {
			at, _ := p.Next()
			if lo, hi := time.Duration(i)*time.Second, time.Duration(i+1)*time.Second; at < lo || at > hi {
				t.Errorf("with %v connection %d ends at %v, want %v to %v", r, i, at, lo, hi)
			}
			if n := p.Due(at); n != 1 {
				t.Errorf("with %v Due(%v) = %d, want 1", r, at, n)
			}
		}
	}
}
