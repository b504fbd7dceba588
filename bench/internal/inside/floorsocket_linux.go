//go:build linux

package inside

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"rstserver/internal/deal"
	"rstserver/internal/wsframe"
)

// floorSocket is what a connection of the floor is.
type floorSocket uint8

const (
	plain    floorSocket = iota // no WebSocket
	echoing                     // one that sends back what it is sent
	inTheHub                    // one of those that all get what one of them sends
)

// asSocket deals with what has come if it is a handshake or a WebSocket's, and reports whether it is. It is for clients that are right in all they send, and
// send frames that come in one read.
func (f *floorServer) asSocket(fd int, b []byte) bool {
	if f.sockets[fd] == plain {
		_, key, ok := bytes.Cut(b, []byte("\r\nSec-WebSocket-Key: "))
		if !ok || len(key) < 24 {
			return false
		}
		f.sockets[fd] = echoing
		if bytes.HasPrefix(b, []byte("GET /ws/room ")) {
			f.sockets[fd] = inTheHub
		}
		proof := sha1.Sum(append(key[:24:24], "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
		_, _ = unix.Write(fd, []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
			base64.StdEncoding.EncodeToString(proof[:])+"\r\n\r\n"))
		return true
	}
	for len(b) > 0 {
		frame, rest := bare(b)
		switch {
		case frame == nil:
			_ = unix.Shutdown(fd, unix.SHUT_RDWR) // and the next read says so
			return true
		case f.sockets[fd] == inTheHub:
			f.tellAll(frame)
		default:
			_, _ = unix.Write(fd, frame)
		}
		b = rest
	}
	return true
}

// bare makes the frame that b begins with one of a server's, without the mask, in place, and returns it and what is behind. It is nil if it is not whole.
func bare(b []byte) (frame, rest []byte) {
	const masked, key = 0x80, 4
	head := 2
	if len(b) > 1 {
		switch b[1] &^ masked {
		case 126:
			head += 2
		case 127:
			head += 8
		}
	}
	if len(b) < head+key {
		return nil, nil
	}
	mask := [key]byte(b[head:])
	payload := copy(b[head:], b[head+key:])
	b = b[:head+payload]
	n, content := wsframe.Cut(b)
	if n < 0 {
		return nil, nil
	}
	b[1] &^= masked
	for i := range content {
		content[i] ^= mask[i%key]
	}
	return b[:n:n], b[n:]
}

// tellAll writes to all that are in the hub, from a thread on each processor. Who does not take it misses it.
func (f *floorServer) tellAll(frame []byte) {
	var all deal.Pieces
	var threads sync.WaitGroup
	for range runtime.NumCPU() {
		threads.Go(func() {
			for from, to := range all.Of(len(f.live)) {
				for fd := from; fd < to; fd++ {
					if f.live[fd] && f.sockets[fd] == inTheHub {
						_, _ = unix.Write(fd, frame)
					}
				}
			}
		})
	}
	threads.Wait()
}
