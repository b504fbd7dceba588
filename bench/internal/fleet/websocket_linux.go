//go:build linux

package fleet

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// webSocketFields are those of a handshake (RFC 6455, 1.3, has the key).
var webSocketFields = []string{
	"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
}

// maskedFrame is a short frame of a client's, with a mask of zeros.
func maskedFrame(first byte, payload string) string {
	return string([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}) + payload
}

const (
	closeOpcode = 0x88
	pingOpcode  = 0x89
	pongOpcode  = 0x8a
	noCode      = 1005 // a close frame that has none (RFC 6455, 7.1.5)
)

// frames deals with frames of the server's: it answers a ping, and the first close frame, whose code it notes. Others are thrown away.
func (c *client) frames(b []byte) error {
	c.got = append(c.got, b...)
	for {
		n, payload := cutFrame(c.got)
		if n < 0 {
			if len(c.got) > maxAwaited {
				return fmt.Errorf("a frame of more than %d bytes came", maxAwaited)
			}
			return nil
		}
		switch c.got[0] {
		case pingOpcode:
			c.reply(pongOpcode, payload)
		case closeOpcode:
			if c.code == 0 {
				c.code = noCode
				if len(payload) >= 2 {
					c.code = int(binary.BigEndian.Uint16(payload))
				}
				c.reply(closeOpcode, payload[:min(len(payload), 2)])
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
	_, _ = unix.Write(c.fd, []byte(maskedFrame(first, string(payload))))
}

// cutFrame returns the length of the frame that b begins with, and its payload; -1 if it has not come whole.
func cutFrame(b []byte) (n int, payload []byte) {
	if len(b) < 2 {
		return -1, nil
	}
	head, length := 2, uint64(b[1]&0x7f)
	switch {
	case length == 126 && len(b) >= 4:
		head, length = 4, uint64(binary.BigEndian.Uint16(b[2:]))
	case length == 127 && len(b) >= 10:
		head, length = 10, binary.BigEndian.Uint64(b[2:])
	case length >= 126:
		return -1, nil
	}
	if uint64(len(b)-head) < length {
		return -1, nil
	}
	n = head + int(length)
	return n, b[head:n]
}
