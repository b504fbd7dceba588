package restartload

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"rstserver/internal/wsframe"
)

const message = "are you there?"

// converse opens a WebSocket, and another when that has ended. On each it sends a message now and then, and awaits its echo.
func (c *client) converse() {
	defer c.leave()
	for c.comeBack() {
		began := c.l.Since()
		if process, err := c.openWebSocket(); err != nil {
			c.note(began, "", err)
		} else {
			c.talk(began, process)
		}
		c.close()
	}
}

// openWebSocket makes a handshake (RFC 6455, section 4.1).
func (c *client) openWebSocket() (process string, err error) {
	if err := c.dial(); err != nil {
		return "", err
	}
	c.deadline()
	if _, err := io.WriteString(c.conn, c.head("GET", c.l.config.WebSocketPath, wsframe.HandshakeFields...)); err != nil {
		return "", err
	}
	a, err := c.readHead()
	if err != nil {
		return "", err
	}
	if a.StatusCode != http.StatusSwitchingProtocols {
		return "", statusError(a.StatusCode)
	}
	return c.process(a), nil
}

// talk sends messages, the first of them at once, until the connection has ended. The first counts from when the handshake began.
func (c *client) talk(began time.Duration, process string) {
	for {
		c.deadline()
		_, sent := io.WriteString(c.conn, wsframe.Masked(wsframe.Text, message))
		end, err := c.frames(true) // what has come is read whether it was sent or not
		if sent != nil && err != nil {
			err = sent
		}
		switch {
		case end.leaving(): // a client sends such a message again, on another connection
			c.cut(end.String())
			return
		case end != 0:
			c.note(began, "", &lossError{CleanEnd, fmt.Errorf("%s before an answer", end)})
			return
		case err != nil:
			c.note(began, "", err)
			return
		}
		c.note(began, process, nil)
		if end, err = c.quiet(MessageEvery); end != 0 || err != nil || c.l.ending.Load() {
			switch {
			case c.l.ending.Load():
			case end != 0:
				c.cut(end.String())
			default:
				c.ended(err)
			}
			return
		}
		began = c.l.Since()
	}
}

// closeCode is that of a close frame; 0: there was none.
type closeCode int

func (c closeCode) String() string { return fmt.Sprintf("close %d", int(c)) }

// leaving reports whether a server says with it that it goes away or restarts (RFC 6455, section 7.4.1, and the IANA's registry), so that
// what it has not answered it has not taken.
func (c closeCode) leaving() bool { return c == 1001 || c == 1012 }

// quiet waits for a time in which nothing but the end of the connection is to come.
func (c *client) quiet(d time.Duration) (end closeCode, err error) {
	c.l.await(c.conn, func() {
		_ = c.conn.SetReadDeadline(time.Now().Add(d))
		end, err = c.frames(false)
	})
	if lossOf(err) == Timeout {
		err = nil
	}
	return end, err
}

// frames reads frames until an echo has come, if it is awaited, or a close frame, which it answers: end is what that says.
func (c *client) frames(awaited bool) (end closeCode, err error) {
	const most = 4 << 10      // bytes of a frame, which is what the reader holds
	for have := 1; ; have++ { // more than there was
		if _, err := c.r.Peek(have); err != nil {
			return 0, err
		}
		b, _ := c.r.Peek(c.r.Buffered())
		have = len(b)
		n, payload := wsframe.Cut(b)
		switch {
		case n < 0 && have >= most:
			return 0, &lossError{Other, fmt.Errorf("a frame of more than %d bytes came", most)}
		case n < 0:
			continue
		}
		first, text := b[0], string(payload)
		_, _ = c.r.Discard(n)
		have = 0
		switch first {
		case wsframe.Ping:
			_, _ = io.WriteString(c.conn, wsframe.Masked(wsframe.Pong, text))
		case wsframe.Close:
			_, _ = io.WriteString(c.conn, wsframe.Masked(wsframe.Close, text[:min(len(text), 2)]))
			return closeCode(wsframe.Code([]byte(text))), nil
		case wsframe.Text:
			if awaited && text == message {
				return 0, nil
			}
		}
	}
}
