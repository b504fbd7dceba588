//go:build linux

package poller

import "slices"

// turns are the connections of a loop whose output can go on. Each round gives some of them a turn, and between two rounds
// the loop gets to its other connections: tasks of gnet's would be run one after the other for as long as there are any, so
// that a few clients that read fast could keep a loop to themselves. Guarded by loop.mu.
type turns struct {
	waiting []*conn
	queued  bool // the loop has been given a round to run
}

// perRound is how many connections have their turn in a round; each sends turnBytes at most.
const perRound = 8

// turn has c go on with its output on its loop. Any goroutine may call it. The connection may be gone by the time that its
// loop comes to this; it knows that itself.
func (l *loop) turn(c *conn) {
	l.mu.Lock()
	l.turns.waiting = append(l.turns.waiting, c)
	queue := !l.turns.queued
	l.turns.queued = true
	l.mu.Unlock()
	if queue {
		l.execute(l.round)
	}
}

// round runs on the loop.
func (l *loop) round() error {
	l.mu.Lock()
	n := min(len(l.turns.waiting), perRound)
	now := slices.Clone(l.turns.waiting[:n])
	l.turns.waiting = slices.Delete(l.turns.waiting, 0, n)
	l.mu.Unlock()
	for _, c := range now {
		c.resume()
	}
	l.mu.Lock()
	more := len(l.turns.waiting) > 0
	l.turns.queued = more
	l.mu.Unlock()
	if more {
		// From here gnet would run it next. Whoever does it for us comes too late for that.
		go l.execute(l.round)
	}
	return nil
}
