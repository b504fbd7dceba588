//go:build linux

package poller

import (
	"slices"
	"sync/atomic"
	"time"
)

// counts are what one loop has done, or what was done beside the loops. They are added to by the loop, and by workers that answer for
// its connections, and read by anybody: an addition takes some nanoseconds where no other loop writes to the same memory, which the
// padding sees to.
type counts struct {
	_        [64]byte
	accepted atomic.Int64
	ended    [ends]atomic.Int64
	refused  [refusalKinds]atomic.Int64
	requests [6]atomic.Int64
	took     [durationBounds + 1]atomic.Int64
	sum      atomic.Int64 // nanoseconds
	shook    atomic.Int64 // handshakes
	shookNot atomic.Int64
	_        [64]byte
}

// boundsInNanoseconds are DurationBounds.
var boundsInNanoseconds = func() (b [durationBounds]int64) {
	for i, seconds := range DurationBounds {
		b[i] = int64(seconds * 1e9)
	}
	return b
}()

// answered counts an answer.
func (c *counts) answered(status int, took time.Duration) {
	took = max(took, 0)
	class := status / 100
	if class < 1 || class >= len(c.requests) {
		return // there was none
	}
	c.requests[class].Add(1)
	i, _ := slices.BinarySearch(boundsInNanoseconds[:], int64(took))
	c.took[i].Add(1)
	c.sum.Add(int64(took))
}

// addTo adds what was counted to s.
func (c *counts) addTo(s *Stats) {
	s.Accepted += c.accepted.Load()
	for i := range c.ended {
		s.Ended[i] += c.ended[i].Load()
	}
	for i := range c.refused {
		s.Refused[i] += c.refused[i].Load()
	}
	for i := range c.requests {
		s.Requests[i] += c.requests[i].Load()
	}
	for i := range c.took {
		s.Durations.Counts[i] += c.took[i].Load()
	}
	s.Durations.Sum += time.Duration(c.sum.Load())
	s.Handshakes.Done += c.shook.Load()
	s.Handshakes.Failed += c.shookNot.Load()
}
