//go:build linux

package poller

import (
	"errors"
	"os"
	"time"

	"rstserver/linger"
)

// byteTimeout makes a write fail when its client has taken no byte for timeout, or for up to an eighth more: connections of one process share its
// memory, and a client that takes nothing is not to hold up the others of its kind. It does what net/http's HTTP2Config.WriteByteTimeout
// does, which sets a timer before each write and stops it behind, for 8 % of the processor time of a small answer; this one sets it
// once in an eighth of the time. It is used by the one goroutine that writes. A nil one has no timeout.
//
// Who writes calls begin, then the connection's Write, and goOn when that fails, and not one function that does all three: net/http has a
// goroutine for most writes, and a frame more has its stack grow, which is copied then, for a fourteenth of the processor time of a small answer.
type byteTimeout struct {
	timeout time.Duration // zero: none
	until   time.Time     // the deadline that is set
}

// begin is what precedes a write.
func (b *byteTimeout) begin(c *linger.Conn) error {
	if b == nil || b.timeout <= 0 || time.Until(b.until) >= b.timeout {
		return nil
	}
	return b.putOff(c)
}

// putOff sets the deadline anew.
func (b *byteTimeout) putOff(c *linger.Conn) error {
	b.until = time.Now().Add(b.timeout + b.timeout/8)
	return c.SetWriteDeadline(b.until)
}

// goOn writes the rest of p, of which n bytes are written and err has kept the others, as long as each deadline has seen some.
func (b *byteTimeout) goOn(c *linger.Conn, p []byte, n int, err error) (int, error) {
	for written := n; b != nil && n < len(p) && written > 0 && errors.Is(err, os.ErrDeadlineExceeded); n += written {
		if err := b.putOff(c); err != nil {
			return n, err
		}
		written, err = c.Write(p[n:])
	}
	return n, err
}
