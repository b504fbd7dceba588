package main

import (
	"log/slog"
	"time"
)

// countdown logs how long the server has to live: when it begins, and in each of the last ten seconds.
type countdown struct {
	d    time.Duration
	log  *slog.Logger
	over chan struct{} // closed at the end; never, when there is nothing to count
	quit chan struct{}
}

const countedSeconds = 10

func newCountdown(d time.Duration, log *slog.Logger) *countdown {
	return &countdown{d: d, log: log, over: make(chan struct{}), quit: make(chan struct{})}
}

// begin is called when the server serves, so that it does whatever time its start takes.
func (c *countdown) begin() {
	if c.d > 0 {
		go c.run(time.Now().Add(c.d))
	}
}

func (c *countdown) run(end time.Time) {
	c.log.Info("shutting down", "in", c.d)
	for {
		left := time.Until(end)
		if left <= 0 {
			close(c.over)
			return
		}
		// The next whole second of the countdown that is to be logged.
		next := min((left-1)/time.Second, countedSeconds)
		select {
		case <-c.quit:
			return
		case <-time.After(left - next*time.Second):
		}
		if next > 0 {
			c.log.Info("shutting down", "in", next*time.Second)
		}
	}
}

func (c *countdown) stop() { close(c.quit) }
