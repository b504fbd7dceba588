//go:build linux

package poller

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"rstserver/internal/tcpsock"
)

const (
	// pieceSize is how much of a source is read at a time.
	pieceSize = 64 << 10
	// turnBytes is how much a connection may send at a time before the loop's other connections have their turn.
	turnBytes = 256 << 10
)

// send hands the kernel what waits, then what the batch has put into l.out, then what the source has. It reports whether that
// was all and went out. If not, the connection has ended, or is sending: the rest is kept in c.
func (c *conn) send() bool {
	l := c.loop
	if c.holdsOutput() {
		n, ok := c.write(c.out)
		if !ok {
			return false
		}
		if c.out = c.out[n:]; c.holdsOutput() {
			c.out = append(c.out, l.out...)
			return c.putOff()
		}
		c.out = nil
	}
	n, ok := c.write(l.out)
	if !ok {
		return false
	}
	if n < len(l.out) {
		c.out = bytes.Clone(l.out[n:])
	}
	if l.out = l.out[:0]; cap(l.out) > keepCapacity {
		l.out = nil
	}
	if c.holdsOutput() {
		return c.putOff()
	}
	return c.source == nil || c.sendSource()
}

// holdsOutput reports whether there is something that the kernel has not taken, beside a source.
func (c *conn) holdsOutput() bool { return len(c.out) > 0 || c.tls.blocked() }

// sendSource is send for the source.
func (c *conn) sendSource() bool {
	l := c.loop
	if l.piece == nil {
		l.piece = make([]byte, pieceSize)
	}
	for turn := 0; c.left > 0; {
		if turn >= turnBytes {
			return c.putOff()
		}
		piece, err := c.read()
		if err != nil {
			l.log.Error("connection is aborted, as the content of its answer cannot be read", "conn", c.id,
				"missing_bytes", c.left, "error", err)
			c.abort()
			return false
		}
		c.left -= int64(len(piece))
		n, ok := c.write(piece)
		if !ok {
			return false
		}
		if n < len(piece) {
			c.out = bytes.Clone(piece[n:])
		}
		if c.holdsOutput() {
			return c.putOff()
		}
		turn += n
	}
	c.dropSource()
	return true
}

// read reads the next piece of the source.
func (c *conn) read() (piece []byte, err error) {
	l := c.loop
	room := l.piece[:min(int64(len(l.piece)), c.left)]
	clear(room) // of other clients' content: what Read says that it has written, it may not have
	n := 0
	returned := l.call(c.id, "content's Read", func() { n, err = c.source.Read(room) })
	switch {
	case !returned:
		return nil, errors.New("its Read panicked")
	case n < 0 || n > len(room):
		return nil, invalidRead(n, len(room))
	case n > 0:
		return room[:n], nil
	case err == io.EOF:
		return nil, io.ErrUnexpectedEOF
	case err == nil:
		return nil, io.ErrNoProgress
	}
	return nil, fmt.Errorf("reading it: %w", err)
}

// invalidRead is the error that an io.Reader has broken its contract.
func invalidRead(n, room int) error {
	return fmt.Errorf("poller: its Read returned %d for a slice of %d bytes", n, room)
}

func (c *conn) dropSource() {
	if source := c.source; source != nil {
		c.source, c.left = nil, 0
		c.loop.call(c.id, "content's Close", func() { closeSource(source) })
	}
}

// write writes as much of b as the kernel takes, or as can be encrypted until it takes no more. It fails when the client has gone, and
// the connection is ending then.
func (c *conn) write(b []byte) (n int, ok bool) {
	if c.tls != nil {
		n, err := c.tls.write(b)
		if err != nil && err != unix.EAGAIN {
			c.close()
			return n, false
		}
		return n, true
	}
	for n < len(b) {
		m, err := tcpsock.Send(c.sock.FD, b[n:])
		switch err {
		case nil:
			n += m
		case unix.EINTR:
		case unix.EAGAIN:
			return n, true
		default:
			// EPIPE, ECONNRESET, ETIMEDOUT: nothing that is sent can arrive any more.
			c.close()
			return n, false
		}
	}
	return n, true
}

// putOff keeps the rest of the output until the kernel takes it. The client's next request waits for it; the loop's other
// connections do not.
func (c *conn) putOff() bool {
	if l := c.loop; c.taking == nil && l.run.cfg.minWriteRate > 0 {
		c.taking = new(patience)
		c.taking.begin(l.clock.now, l.run.cfg.rateGrace)
	}
	c.become(sending)
	c.countUnacked()
	if err := c.loop.run.watcher.Add(c.sock.FD, c, unix.EPOLLOUT); err != nil && !c.over() {
		if !c.loop.run.closing() {
			c.loop.log.Error("connection is aborted, as its output cannot be watched", "conn", c.id, "error", err)
		}
		c.abort()
	}
	return false
}
