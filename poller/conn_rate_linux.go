//go:build linux

package poller

import "time"

// rateInterval is how often a client's progress is looked at that the loop waits for, beside every time that it makes some.
const rateInterval = time.Second

// drainPatience is how long a drain waits for a client that sends nothing more of a request's content.
const drainPatience = 2 * time.Second

// patience is what is left of that with a client which has to keep to a least rate. Whoever waits for the client owns it.
type patience struct {
	spare time.Duration // what the client may still wait; less than 0: it is too slow
	last  time.Duration // when it last made progress, by the loop's clock
}

// begin starts the time.
func (p *patience) begin(now, grace time.Duration) { p.spare, p.last = grace, now }

// newPatience is that of a client from which content is waited for.
func (l *loop) newPatience() (p patience) {
	p.begin(l.clock.now, l.run.cfg.rateGrace)
	return p
}

// moved counts the time since the last progress, and that of n bytes.
func (p *patience) moved(now time.Duration, n, rate int64) {
	p.spare += worth(n, rate) - (now - p.last)
	p.last = now
}

// isSlow reports whether the client is slower than it may be.
func (p *patience) isSlow(now time.Duration, rate int64) bool {
	return rate > 0 && p.spare < now-p.last
}

// worth is the time that n bytes may take.
func worth(n, rate int64) time.Duration {
	if rate <= 0 {
		return 0
	}
	return time.Duration(float64(n) / float64(rate) * float64(time.Second))
}

// rateCheck is after what time of no progress a client is looked at.
func (c *config) rateCheck(timeout time.Duration, rate int64) time.Duration {
	d := rateInterval
	if timeout > 0 {
		d = min(d, timeout)
	}
	if rate > 0 {
		d = min(d, c.rateGrace)
	}
	return d
}

// contentLate ends a connection that does not send its request's content as it should.
func (c *conn) contentLate() {
	if !c.isContentLate() {
		c.loop.setTimeout(c, bodyTimeout)
	} else if c.state == skipping {
		c.stopSkipping()
	} else {
		c.requestLate()
	}
}

// isContentLate reports whether too little has come of the pending request's content.
func (c *conn) isContentLate() bool {
	l, p := c.loop, &c.pending.patience
	cfg, now := &l.run.cfg, l.clock.now
	switch {
	case p.isSlow(now, cfg.minBodyRate), cfg.bodyTimeout > 0 && now-p.last >= cfg.bodyTimeout:
		return true
	}
	return l.ending && now-max(p.last, l.endingAt) >= drainPatience
}

// countTaken counts what the client has acknowledged of its answer, before it is sent more.
func (c *conn) countTaken() {
	if c.taking != nil {
		if before := c.progress; c.countUnacked() < before {
			c.taking.moved(c.loop.clock.now, before-c.progress, c.loop.run.cfg.minWriteRate)
		}
	}
}

// sendingLate ends a connection that has taken nothing for WriteTimeout, or too little. The kernel takes more only when a good part of its
// buffer is free, which a slow reader may need long for, so it is asked what the client has acknowledged.
func (c *conn) sendingLate() {
	cfg, now := &c.loop.run.cfg, c.loop.clock.now
	before := c.progress
	moved := c.countUnacked() < before
	if p := c.taking; p != nil {
		if moved {
			p.moved(now, before-c.progress, cfg.minWriteRate)
		}
		moved = !p.isSlow(now, cfg.minWriteRate) && (cfg.writeTimeout == 0 || now-p.last < cfg.writeTimeout)
	}
	if moved {
		c.loop.setTimeout(c, writeTimeout)
	} else {
		c.abort()
	}
}
