//go:build linux

package fleet

import (
	"fmt"

	"rstserver/internal/wsframe"
)

// frames deals with frames of the server's: it answers a ping, and the first close frame, whose code it notes. Others are thrown away.
func (c *client) frames(b []byte) error {
	c.got = append(c.got, b...)
	for {
		n, payload := wsframe.Cut(c.got)
		if n < 0 {
			if len(c.got) > maxAwaited {
				return fmt.Errorf("a frame of more than %d bytes came", maxAwaited)
			}
			return nil
		}
		switch c.got[0] {
		case wsframe.Ping:
			c.reply(wsframe.Pong, payload)
		case wsframe.Close:
			if c.code == 0 {
				c.code = wsframe.Code(payload)
				c.reply(wsframe.Close, payload[:min(len(payload), 2)])
			}
		}
		if c.got = c.got[n:]; len(c.got) == 0 {
			c.got = nil
			return nil
		}
	}
}

// reply sends a control frame. If the connection is over, the next read says so.
func (c *client) reply(first byte, payload []byte) {
	_ = c.write([]byte(wsframe.Masked(first, string(payload))))
}
