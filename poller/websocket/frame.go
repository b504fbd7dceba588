package websocket

import "encoding/binary"

// The opcodes (RFC 6455, section 11.8).
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

const (
	maxControl = 125 // bytes of a control frame's payload
	maxHeader  = 14  // bytes of a client's
	finBit     = 0x80
	rsv1Bit    = 0x40
	maskBit    = 0x80
)

// header is that of a frame that a client has sent.
type header struct {
	fin, rsv1 bool
	op        byte
	length    int64
	key       uint32 // as it lies in memory, on a machine of little endian
}

// failure is what ends a connection, and is told to the client.
type failure struct {
	code   Status
	reason string
}

func malformed(reason string) *failure { return &failure{ProtocolError, reason} }

// parseHeader reads the header at the beginning of b. n is 0 as long as it is not there whole; but what is wrong with it is found as soon as
// it has come. within says that a message has begun and not ended, compressed that RSV1 means something.
func parseHeader(b []byte, within, compressed bool) (h header, n int, f *failure) {
	if len(b) == 0 {
		return h, 0, nil
	}
	h.fin, h.rsv1, h.op = b[0]&finBit != 0, b[0]&rsv1Bit != 0, b[0]&0xf
	control := h.op&8 != 0
	switch {
	case b[0]&0x30 != 0, h.rsv1 && !compressed:
		return h, 0, malformed("reserved bit set")
	case h.op > opBinary && h.op < opClose, h.op > opPong:
		return h, 0, malformed("reserved opcode")
	case h.rsv1 && (control || h.op == opContinuation):
		return h, 0, malformed("RSV1 in a frame that does not begin a message")
	case control && !h.fin:
		return h, 0, malformed("fragmented control frame")
	case h.op == opContinuation && !within:
		return h, 0, malformed("continuation of no message")
	case !control && h.op != opContinuation && within:
		return h, 0, malformed("a message begins within another")
	case len(b) == 1:
		return h, 0, nil
	}
	short := b[1] &^ maskBit
	switch {
	case b[1]&maskBit == 0:
		return h, 0, malformed("frame without a mask")
	case control && short > maxControl:
		return h, 0, malformed("control frame of more than 125 bytes")
	}
	n = 2
	switch short {
	case 126:
		if len(b) < 4 {
			return h, 0, nil
		}
		h.length, n = int64(binary.BigEndian.Uint16(b[2:])), 4
		if h.length < 126 {
			return h, 0, malformed("length that is not in its shortest form")
		}
	case 127:
		if len(b) > 2 && b[2]&0x80 != 0 {
			return h, 0, malformed("length with its highest bit set")
		}
		if len(b) < 10 {
			return h, 0, nil
		}
		h.length, n = int64(binary.BigEndian.Uint64(b[2:])), 10
		if h.length < 1<<16 {
			return h, 0, malformed("length that is not in its shortest form")
		}
	default:
		h.length = int64(short)
	}
	if len(b) < n+4 {
		// The length is worth a look before the key comes.
		return h, 0, nil
	}
	h.key = binary.LittleEndian.Uint32(b[n:])
	return h, n + 4, nil
}

// appendHeader appends the header of a frame of a server's: whole, and without a mask.
func appendHeader(dst []byte, op byte, rsv1 bool, length int) []byte {
	first := finBit | op
	if rsv1 {
		first |= rsv1Bit
	}
	switch {
	case length < 126:
		return append(dst, first, byte(length))
	case length < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, first, 126), uint16(length))
	}
	return binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(length))
}

// unmask undoes the mask of b, the first byte of which has the first of key's, and returns key for what follows. It is two to seven times as fast
// as that of gobwas/ws.
func unmask(b []byte, key uint32) uint32 {
	if len(b) >= 8 {
		wide := uint64(key)<<32 | uint64(key)
		for len(b) >= 32 {
			binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
			binary.LittleEndian.PutUint64(b[8:], binary.LittleEndian.Uint64(b[8:])^wide)
			binary.LittleEndian.PutUint64(b[16:], binary.LittleEndian.Uint64(b[16:])^wide)
			binary.LittleEndian.PutUint64(b[24:], binary.LittleEndian.Uint64(b[24:])^wide)
			b = b[32:]
		}
		for len(b) >= 8 {
			binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
			b = b[8:]
		}
	}
	for i := range b {
		b[i] ^= byte(key)
		key = key>>8 | key<<24
	}
	return key
}
