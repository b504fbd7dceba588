package poller

import (
	"time"

	"rstserver/httpcodec"
)

// clock is a loop's idea of the time: read once for each batch of input, so that a request costs one reading at most.
// Owned by the loop.
type clock struct {
	now  time.Duration // since epoch, monotonic
	date []byte        // the Date field (RFC 9110, section 6.6.1)
	due  time.Duration // when date is to be renewed
}

// epoch is what the monotonic time of all loops counts from.
var epoch = time.Now()

// tick reads the clock, and renews the date when a new second has begun.
func (c *clock) tick() {
	c.now = time.Since(epoch)
	if c.now < c.due {
		return
	}
	wall := time.Now()
	c.date = httpcodec.AppendDate(c.date[:0], wall)
	c.due = c.now + time.Second - time.Duration(wall.Nanosecond())
}
