// Package pace spreads the ends of connections over a time.
package pace

import (
	"math"
	"math/rand/v2"
	"time"
)

// Pace says when each of a number of connections is to end. The window is divided into as many equal slots as there are
// connections, and each ends at a random moment of a slot of its own: so the rate is even throughout, no two clients are in
// step, and none ends after the window. To wake up for each of very many costs more than to end it, so where there are more connections than
// moments, each ends at the next of as many moments.
//
// It has neither sockets nor a clock: whoever ends the connections asks what is due, by the time that has passed since the
// window began, and chooses which (at random is best, as clients that came together are neighbours in most lists). One goroutine uses
// a Pace.
type Pace struct {
	n, begun int // connections; those of them that were due already
	window   time.Duration
	next     time.Duration  // when the one after begun is due
	random   func() float64 // in [0, 1)
}

// New plans the end of n connections within a window. A window of zero or less ends all of them at once.
func New(n int, window time.Duration) *Pace {
	p := &Pace{n: n, window: max(window, 0), random: rand.Float64}
	p.plan()
	return p
}

// moments is how often somebody wakes up in a window at the most, to end connections.
const moments = 200

func (p *Pace) plan() {
	share := (float64(p.begun) + p.random()) / float64(max(p.n, 1))
	if p.n > moments {
		share = math.Ceil(share*moments) / moments
	}
	// In floating point, as the product can be more than a Duration holds. Rounding must not carry it beyond the window.
	p.next = min(p.window, time.Duration(float64(p.window)*share))
}

// Due returns how many more connections are to end, when so much of the window has passed. From the end of the window on
// it is all that are left.
func (p *Pace) Due(passed time.Duration) int {
	before := p.begun
	if passed >= p.window {
		p.begun = p.n
	}
	for p.begun < p.n && p.next <= passed {
		p.begun++
		p.plan()
	}
	return p.begun - before
}

// Next returns how much of the window has passed when Due next returns something. ok is false when nothing is left.
func (p *Pace) Next() (passed time.Duration, ok bool) {
	return p.next, p.begun < p.n
}

// Run calls end for each, when it is due from now on, and returns when all are over, or stop is closed.
func (p *Pace) Run(stop <-chan struct{}, end func()) {
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-timer.C:
		}
		for range p.Due(time.Since(began)) {
			end()
		}
		next, ok := p.Next()
		if !ok {
			return
		}
		timer.Reset(time.Until(began.Add(next)))
	}
}
