//go:build linux

package poller

import (
	"slices"

	"rstserver/poller/internal/onloop"
)

// turns are the connections of a loop that can go on: those that come back from a handler, and those whose output the
// kernel takes again. Each round gives some of them a turn, and between two rounds the loop gets to its other connections:
// tasks of the engine's would be run one after the other for as long as there are any, so that a few clients that read fast could
// keep a loop to themselves. Guarded by loop.mu.
type turns struct {
	returned []*exchange
	spare    []*exchange // the memory of the last round's
	waiting  []*conn
	work     []onloop.Work // one after the other, a step in each round
	queued   bool          // the loop has been given a round to run
}

// perRound is how many connections with output have their turn in a round; each sends turnBytes at most. Those that come
// back have it all: each has cost a worker more.
const perRound = 8

// turn lets c go on with its output on its loop. Any goroutine may call it. The connection may be gone by the time that its
// loop comes to this; it knows that itself.
func (l *loop) turn(c *conn) {
	l.mu.Lock()
	l.turns.waiting = append(l.turns.waiting, c)
	l.queueRoundLocked()
	l.mu.Unlock()
}

// takeBack gives the loop back the connection that was lent to x. Any goroutine may call it.
func (l *loop) takeBack(x *exchange) {
	l.mu.Lock()
	l.turns.returned = append(l.turns.returned, x)
	l.queueRoundLocked()
	l.mu.Unlock()
}

// Rounds implements onloop.Loop.
func (l *loop) Rounds(w onloop.Work) {
	l.mu.Lock()
	l.turns.work = append(l.turns.work, w)
	l.queueRoundLocked()
	lost := !l.turns.queued
	if lost {
		l.turns.work = slices.Delete(l.turns.work, len(l.turns.work)-1, len(l.turns.work))
	}
	l.mu.Unlock()
	if lost {
		w.Dropped() // no engine runs
	}
}

// dropTurns is called when the engine has ended.
func (l *loop) dropTurns() {
	l.mu.Lock()
	work := l.turns.work
	l.turns = turns{}
	l.mu.Unlock()
	for _, w := range work {
		w.Dropped()
	}
}

func (l *loop) queueRoundLocked() {
	if !l.turns.queued {
		l.turns.queued = l.post(l.round)
	}
}

// round runs on the loop.
func (l *loop) round() {
	l.mu.Lock()
	n := min(len(l.turns.waiting), perRound)
	now := slices.Clone(l.turns.waiting[:n])
	l.turns.waiting = slices.Delete(l.turns.waiting, 0, n)
	returned := l.turns.returned
	l.turns.returned = l.turns.spare[:0]
	var work onloop.Work
	if len(l.turns.work) > 0 {
		work = l.turns.work[0]
	}
	l.mu.Unlock()
	for _, x := range returned {
		x.conn.takeBack(x)
	}
	clear(returned)
	for _, c := range now {
		c.resume()
	}
	done := work != nil && !work.Step()
	l.mu.Lock()
	l.turns.spare = returned
	if done {
		l.turns.work = slices.Delete(l.turns.work, 0, 1)
	}
	more := len(l.turns.waiting)+len(l.turns.returned)+len(l.turns.work) > 0
	l.turns.queued = more
	l.mu.Unlock()
	if more {
		// From here the engine would run it next. Whoever does it for us comes too late for that.
		go l.post(l.round)
	}
}
