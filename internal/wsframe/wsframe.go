// Package wsframe is as much of the frames of a WebSocket (RFC 6455, section 5) as clients need that measure a server. It is bytes in,
// bytes out.
package wsframe

import "encoding/binary"

// First bytes of frames that are whole messages.
const (
	Text   = 0x81
	Binary = 0x82
	Close  = 0x88
	Ping   = 0x89
	Pong   = 0x8a
)

// NoCode stands for the code of a close frame that has none (RFC 6455, section 7.1.5).
const NoCode = 1005

// HandshakeFields are those of a client's handshake (RFC 6455, section 1.3, has the key).
var HandshakeFields = []string{
	"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
}

// Masked is a frame of a client's, with a mask of zeros. The payload has 125 bytes at the most.
func Masked(first byte, payload string) string {
	return string([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}) + payload
}

// Cut returns the length of the frame that b begins with, and its payload, which is part of b; -1 if it has not come whole.
func Cut(b []byte) (n int, payload []byte) {
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

// Code is that of a close frame with such a payload.
func Code(payload []byte) int {
	if len(payload) < 2 {
		return NoCode
	}
	return int(binary.BigEndian.Uint16(payload))
}
