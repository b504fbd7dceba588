package restartload

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Loss is in what way a request was lost.
type Loss string

// The ways.
const (
	Refused   Loss = "refused"    // no connection was to be had
	Reset     Loss = "reset"      // the connection was reset before an answer
	CleanEnd  Loss = "clean end"  // it ended in order before an answer
	CutAnswer Loss = "cut answer" // it ended, in whatever way, within the answer
	Status5xx Loss = "5xx"        // the answer was that the server could not
	Timeout   Loss = "timeout"    // there was no answer in time
	Other     Loss = "other"      // another status, no HTTP, or a fault of the client's
)

// Losses are all of them.
func Losses() []Loss { return []Loss{Refused, Reset, CleanEnd, CutAnswer, Status5xx, Timeout, Other} }

// lossError is an error that is a loss of a known kind.
type lossError struct {
	loss Loss
	err  error
}

func (e *lossError) Error() string { return e.err.Error() }
func (e *lossError) Unwrap() error { return e.err }

// lossOf is the kind of an error.
func lossOf(err error) Loss {
	var known *lossError
	switch {
	case errors.As(err, &known):
		return known.loss
	case errors.Is(err, unix.ECONNREFUSED):
		return Refused
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return Reset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return CleanEnd
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.ETIMEDOUT):
		return Timeout
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return Timeout
	}
	return Other
}

// plain is err without the addresses, so that like is counted with like.
func plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	return err
}

// exchange sends a request and reads the answer.
func (c *client) exchange(request string) (process string, err error) {
	c.deadline()
	_, err = io.WriteString(c.conn, request)
	return c.answer(err)
}

// answer reads one, behind a request that was sent if sent is true. It closes the connection if that is over.
func (c *client) answer(sent error) (process string, err error) {
	a, err := c.readHead()
	if err != nil {
		c.close()
		if sent != nil && lossOf(err) != CutAnswer {
			return "", sent
		}
		return "", err
	}
	process = c.process(a)
	if _, err := io.Copy(io.Discard, a.Body); err != nil {
		c.close()
		if lossOf(err) == Timeout {
			return "", err
		}
		return "", &lossError{CutAnswer, fmt.Errorf("within the answer: %w", plain(err))}
	}
	if a.Close || sent != nil {
		c.close()
	}
	if a.StatusCode != http.StatusOK {
		return "", statusError(a.StatusCode)
	}
	return process, nil
}

// protocol is what every answer begins with.
const protocol = "HTTP/"

// readHead reads the head of an answer.
func (c *client) readHead() (*http.Response, error) {
	if _, err := c.r.Peek(1); err != nil {
		return nil, err
	}
	begin, _ := c.r.Peek(min(c.r.Buffered(), len(protocol)))
	isHTTP := strings.HasPrefix(protocol, string(begin))
	a, err := http.ReadResponse(c.r, nil)
	for err == nil && a.StatusCode < 200 && a.StatusCode != http.StatusSwitchingProtocols { // interim ones, such as 103
		a, err = http.ReadResponse(c.r, nil)
	}
	if err == nil || lossOf(err) == Timeout {
		return a, err
	}
	// A head that is cut within a line is malformed first of all.
	_, end := c.r.Peek(1)
	if isHTTP && end != nil && lossOf(end) != Timeout {
		return nil, &lossError{CutAnswer, fmt.Errorf("within the answer: %w", plain(end))}
	}
	return nil, &lossError{Other, fmt.Errorf("no HTTP: %w", err)}
}

func (c *client) process(a *http.Response) string {
	if c.l.config.ProcessField == "" {
		return ""
	}
	return a.Header.Get(c.l.config.ProcessField)
}

func statusError(status int) error {
	err := &lossError{Other, fmt.Errorf("status %d", status)}
	if status >= 500 && status <= 599 {
		err.loss = Status5xx
	}
	return err
}
