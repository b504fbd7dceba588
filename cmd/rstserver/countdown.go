package main

import (
	"log/slog"
	"time"
)

// countdown logs how long the server has to live: when it starts, and in each of the last ten seconds.
type countdown struct {
	over chan struct{} // closed at the end; never, when there is nothing to count
	quit chan struct{}
}

const countedSeconds = 10

func newCountdown(d time.Duration, log *slog.Logger) *countdown {
	c := &countdown{over: make(chan struct{}), quit: make(chan struct{})}
	if d > 0 {
		go c.run(d, time.Now().Add(d), log)
	}
	return c
}

func (c *countdown) run(d time.Duration, end time.Time, log *slog.Logger) {
	log.Info("shutting down", "in", d)
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
			log.Info("shutting down", "in", next*time.Second)
		}
	}
}

func (c *countdown) stop() { close(c.quit) }
