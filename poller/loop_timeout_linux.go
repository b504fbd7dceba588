//go:build linux

package poller

import (
	"math"
	"sync"
	"time"
)

// timeoutKind says what a connection is waiting for.
type timeoutKind uint8

const (
	noTimeout        timeoutKind = iota // nothing that has to come in time
	handshakeTimeout                    // the end of the TLS handshake, from accept
	headerTimeout                       // the rest of a request's head
	bodyTimeout                         // more of a request's content
	idleTimeout                         // the next request
	writeTimeout                        // the client to take more of an answer
	lingerTimeout                       // the client's FIN after the last answer
	partTimeout                         // the same in a drain, and behind the client's close_notify
	quickTimeout                        // the http.Handler to return, as most do at once
	handlerTimeout                      // the http.Handler to return, after that
	ackTimeout                          // the client to acknowledge all that it was sent, which is looked after every ackInterval
	turnTimeout                         // its turn to be reset in a drain; see spread
	timeoutKinds
	ongoing = timeoutKinds // in a row of states: what it has waited for before
	// From here on what a protocol waits for, each duration in a list of its own; see loop.kindOf.
	ownTimeouts = timeoutKinds + 1
	maxTimeouts = 64
)

// quickHandler is how long a handler may run before its client's FIN is looked out for.
const quickHandler = 10 * time.Millisecond

// timeoutSlack is the resolution of timeouts: they are never early, and this much late at the most when the loop is free. It
// saves moving a busy connection within its list for every request.
const timeoutSlack = 5 * time.Millisecond

// timeoutList holds the connections that wait for one kind of event, ordered by deadline: timeouts of one kind share one
// duration, so whoever comes last is due last. Each connection of a loop is in one of the lists; those for which there is no
// timeout are due never. Owned by the loop.
type timeoutList struct {
	first, last *conn
}

func (t *timeoutList) append(c *conn) {
	c.prev, c.next = t.last, nil
	if t.last == nil {
		t.first = c
	} else {
		t.last.next = c
	}
	t.last = c
}

func (t *timeoutList) remove(c *conn) {
	if c.prev == nil {
		t.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		t.last = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
}

// durations are those of the timeouts; zero means any time.
func (c *config) durations() [maxTimeouts]time.Duration {
	quick, handler := quickHandler, c.handlerTimeout
	if handler > 0 {
		quick, handler = min(quick, handler), max(handler-quickHandler, 1)
	}
	write := c.writeTimeout
	if c.minWriteRate > 0 {
		write = c.rateCheck(write, c.minWriteRate)
	}
	return [maxTimeouts]time.Duration{
		handshakeTimeout: c.handshakeTimeout, headerTimeout: c.headerTimeout, bodyTimeout: c.rateCheck(c.bodyTimeout, c.minBodyRate), idleTimeout: c.idleTimeout, writeTimeout: write,
		lingerTimeout: LingerTimeout, partTimeout: drainLinger, quickTimeout: quick, handlerTimeout: handler, ackTimeout: ackInterval,
	}
}

// kindOf is the kind whose duration is d, which a protocol wants to wait. A process has few such durations; where there are too many, it is
// the next that is longer, or the longest.
func (l *loop) kindOf(d time.Duration) timeoutKind {
	d = max(d, 1)
	best := ownTimeouts
	for kind := ownTimeouts; kind < maxTimeouts; kind++ {
		switch has := l.durations[kind]; {
		case has == 0:
			l.durations[kind] = d
			return kind
		case has == d:
			return kind
		case has > d && (l.durations[best] < d || has < l.durations[best]), has < d && has > l.durations[best]:
			best = kind
		}
	}
	return best
}

// setTimeout says that c waits for kind from now on, or anew.
func (l *loop) setTimeout(c *conn, kind timeoutKind) {
	deadline := never
	if d := l.durations[kind]; d > 0 {
		deadline = l.clock.now + d + timeoutSlack
	}
	if c.waits == kind && c.deadline != 0 && deadline-c.deadline < timeoutSlack {
		return
	}
	l.list(c, kind, deadline)
}

// list notes that c waits for kind until deadline, which is not before that of others that wait for it.
func (l *loop) list(c *conn, kind timeoutKind, deadline time.Duration) {
	l.forget(c)
	c.waits, c.deadline = kind, deadline
	l.lists[kind].append(c)
	if deadline != never {
		l.alarm.before(l, deadline)
	}
}

// never is the deadline of what may take any time.
const never = time.Duration(math.MaxInt64)

// forget takes c out of the lists.
func (l *loop) forget(c *conn) {
	if c.deadline != 0 {
		l.lists[c.waits].remove(c)
		c.deadline = 0
	}
}

// expire ends what is due. It runs on the loop when the alarm has gone off.
func (l *loop) expire() {
	l.clock.tick()
	l.alarm.clear()
	for kind := range l.lists {
		list := &l.lists[kind]
		for c := list.first; c != nil && c.deadline <= l.clock.now; c = list.first {
			kind := c.waits
			l.setTimeout(c, noTimeout)
			table[c.state].late(c)
			if kind.isClients() && (c.over() || c.hurried) {
				c.end = EndTimedOut
			}
			c.settle()
		}
		if list.first != nil && list.first.deadline != never {
			l.alarm.before(l, list.first.deadline)
		}
	}
}

// isClients reports whether a connection ends at its client's cost when that time is over: it was to do something, and has not, or its
// handler has not.
func (k timeoutKind) isClients() bool {
	switch k {
	case noTimeout, lingerTimeout, partTimeout, quickTimeout, ackTimeout, turnTimeout:
		return false
	}
	return true
}

// alarm is the loop's one timer. The timer's goroutine only gives the loop a task, so all but the timer itself is the
// loop's.
type alarm struct {
	mu    sync.Mutex // guards timer, which stop may find being set
	timer *time.Timer
	at    time.Duration // when it goes off; 0: not set. Owned by the loop.
}

// before sets the alarm to the given time unless it does so earlier anyway.
func (a *alarm) before(l *loop, at time.Duration) {
	if a.at != 0 && a.at <= at {
		return
	}
	a.at = at
	in := max(at-l.clock.now, 0)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer == nil {
		a.timer = time.AfterFunc(in, func() { l.post(l.expire) })
	} else {
		a.timer.Reset(in)
	}
}

func (a *alarm) clear() { a.at = 0 }

// stop is called when the engine has ended.
func (a *alarm) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = 0
	if a.timer != nil {
		a.timer.Stop()
	}
}
