package main

import (
	"fmt"
	"log/slog"
	"time"

	"rstserver/poller"
)

// graceReserve is kept of a supervisor's grace for what comes behind a drain: the abort of the rest, the report, the end of the process.
const graceReserve = time.Second

// drainParts are what a drain of serve is made of, in this order (poller.Server.Delay). It has no lame duck.
type drainParts struct {
	Delay, Queue, Spread time.Duration
	Timeout              time.Duration // of all of it; 0: none
}

func (c *serveCommand) drainParts() drainParts {
	return drainParts{Delay: c.DrainDelay, Queue: poller.DefaultQueue, Spread: c.DrainSpread, Timeout: c.DrainTimeout}
}

// least is how long a drain with idle connections takes that nobody cuts short.
func (p drainParts) least() time.Duration { return p.Delay + p.Queue + p.Spread }

// most is how long it takes at the most, with the end of the process; 0 if that is unlimited.
func (p drainParts) most() time.Duration {
	if p.Timeout == 0 {
		return 0
	}
	return p.Timeout + graceReserve
}

// graceWarnings say what of a drain does not fit into the time that a supervisor gives between SIGTERM and SIGKILL.
func (c *serveCommand) graceWarnings() (all []string) {
	if c.Grace == 0 {
		return nil
	}
	p := c.drainParts()
	if c.OnTerm != "drain" {
		if p.Delay > 0 || p.Spread > 0 {
			all = append(all, "SIGTERM aborts, so that --drain-delay and --drain-spread are for nothing where a supervisor sends it: add --on-term drain")
		}
		return all
	}
	switch {
	case c.Grace <= graceReserve:
		return append(all, fmt.Sprintf("--grace=%s leaves no time for a drain, as %s of it is for the end of the process: give more time "+
			"(terminationGracePeriodSeconds, TimeoutStopSec=) and say so, or have SIGTERM abort", c.Grace, graceReserve))
	case p.Timeout == 0:
		all = append(all, fmt.Sprintf("--drain-timeout=0 has no limit, and --grace=%s is all that there is before the supervisor kills: set --drain-timeout to %s at the most",
			c.Grace, max(c.Grace-graceReserve, 0)))
	case p.most() > c.Grace:
		all = append(all, fmt.Sprintf("--drain-timeout=%s and %s for the end of the process are more than --grace=%s, after which the supervisor kills: "+
			"lower the timeout to %s, or give more time (terminationGracePeriodSeconds, TimeoutStopSec=) and say so", p.Timeout, graceReserve, c.Grace, max(c.Grace-graceReserve, 0)))
	}
	limit := c.Grace
	if p.Timeout > 0 {
		limit = min(limit, p.Timeout)
	}
	if p.least() >= limit {
		all = append(all, fmt.Sprintf("--drain-delay=%s, %s for the queue and --drain-spread=%s add up to %s, and the drain ends after %s: nothing is left for answers in flight",
			p.Delay, p.Queue, p.Spread, p.least(), limit))
	}
	return all
}

func (c *serveCommand) warnOfGrace(log *slog.Logger) {
	for _, text := range c.graceWarnings() {
		log.Warn(text)
	}
}
