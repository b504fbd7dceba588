//go:build linux

package poller

import "golang.org/x/sys/unix"

// reading is what a connection's loop learns of it, by what its engine polls for. Reading pauses while output waits or a handler
// has the connection, since an engine closes when it reads a FIN, and a half-closed client is to have its answer.
//
//	on ──pause──▶ off ──resume──▶ on
//	              off, deaf ──resumeOnce──▶ once ──input──▶ deaf ──pause, hear──▶ off
//
// Between two requests to the http.Handler a connection is in once: the kernel itself pauses reading when the next request
// has come, which saves a system call for each. The price is that deaf does not report a reset either, so a handler that is
// not quick is given off in its place.
type reading uint8

const (
	readingOn   reading = iota // input, errors and hang-ups
	readingOff                 // errors and hang-ups, which cannot be switched off
	readingOnce                // as on, once (EPOLLONESHOT)
	readingDeaf                // nothing
)

// pauseReading leaves what the client sends in the kernel's buffer, and the client's FIN unnoticed. It has no effect on
// RST, which the engine finds as a hang-up.
func (c *conn) pauseReading() { c.setReading(readingOff) }

// resumeReading undoes pauseReading.
func (c *conn) resumeReading() { c.setReading(readingOn) }

// resumeReadingOnce undoes it for what comes next.
func (c *conn) resumeReadingOnce() { c.setReading(readingOnce) }

// paused tells whether what the client sends stays in the kernel's buffer.
func (c *conn) paused() bool { return c.reading == readingOff || c.reading == readingDeaf }

func (c *conn) setReading(r reading) {
	if c.reading == r {
		return
	}
	c.reading = r
	var events uint32
	switch r {
	case readingOn:
		events = unix.EPOLLIN
	case readingOnce:
		events = unix.EPOLLIN | unix.EPOLLONESHOT
	}
	if err := c.sock.Interest(events); err != nil {
		c.loop.log.Error("connection is aborted, as reading from it cannot be switched", "conn", c.id, "error", err)
		c.abort()
	}
}
