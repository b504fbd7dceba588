//go:build linux

package fleet

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// secured is the TLS of a client. Its handshake is a coroutine, which returns to the fleet's loop where it would have to wait; behind
// that nothing waits. The descriptor belongs to the client.
type secured struct {
	conn   *tls.Conn
	socket *socket
	next   func() (struct{}, bool) // goes on with the handshake; nil once it is over
	stop   func()
	err    error // of the handshake
	// notified: the server has sent close_notify. A client waits for the end of the connection all the same, so that the server is left
	// with what it would be by a client that knows of no TLS.
	notified bool
}

// configuration is that of a client that offers a protocol. Whose certificate it is that a server has is not measured.
func configuration(protocol string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}}
}

const protocolH2 = "h2"

func secure(fd int, config *tls.Config) *secured {
	s := &secured{socket: &socket{fd: fd}}
	s.conn = tls.Client(s.socket, config)
	s.next, s.stop = iter.Pull(func(yield func(struct{}) bool) {
		s.socket.wait = func() bool { return yield(struct{}{}) }
		s.err = s.conn.Handshake()
		s.socket.wait = nil
		if s.err == nil && config.NextProtos[0] == protocolH2 && s.conn.ConnectionState().NegotiatedProtocol != protocolH2 {
			s.err = errors.New("the server has not chosen h2 by ALPN: it has no HTTP/2")
		}
	})
	return s
}

// shake goes on with the handshake, and reports whether it is over.
func (s *secured) shake() (over bool, err error) {
	if s.next == nil {
		return true, nil
	}
	if _, more := s.next(); more {
		return false, nil
	}
	s.next = nil
	if s.err != nil {
		return true, fmt.Errorf("the TLS handshake has failed: %w", s.err)
	}
	return true, nil
}

// read is read(2) of what was in TLS.
func (s *secured) read(b []byte) (int, error) {
	if !s.notified {
		n, err := s.conn.Read(b)
		var errno unix.Errno
		switch {
		case n > 0:
			return n, nil
		case errors.Is(err, io.EOF) && !s.socket.over:
			s.notified = true
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // crypto/tls has one within a record
			return 0, nil
		case errors.As(err, &errno):
			return 0, errno
		default:
			return 0, err
		}
	}
	for { // what comes behind it counts for nothing (RFC 8446, 6.1)
		if n, err := unix.Read(s.socket.fd, b); n <= 0 {
			return n, err
		}
	}
}

// socket is a net.Conn that crypto/tls has. It reads and writes, and that is all.
type socket struct {
	fd   int
	wait func() bool // until there is something to read; false: the client is given up. Nil: nothing waits
	over bool        // the server has ended its side
}

// Read returns EAGAIN where it would have to wait and may not. For crypto/tls it is temporary, so that a read may be tried again.
func (s *socket) Read(b []byte) (int, error) {
	for {
		switch n, err := unix.Read(s.fd, b); {
		case err == unix.EAGAIN && s.wait != nil:
			if !s.wait() {
				return 0, net.ErrClosed
			}
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case n == 0:
			s.over = true
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write writes little, which the kernel has room for.
func (s *socket) Write(b []byte) (int, error) {
	n, err := unix.Write(s.fd, b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return max(n, 0), err
}

func (s *socket) Close() error                     { return nil }
func (s *socket) LocalAddr() net.Addr              { return nil }
func (s *socket) RemoteAddr() net.Addr             { return nil }
func (s *socket) SetDeadline(time.Time) error      { return nil }
func (s *socket) SetReadDeadline(time.Time) error  { return nil }
func (s *socket) SetWriteDeadline(time.Time) error { return nil }

// clientHello is the first message of a handshake. A server may be sent the same one many times.
func clientHello() string {
	var hello recorded
	_ = tls.Client(&hello, configuration("http/1.1")).Handshake() // which ends at the first read
	return string(hello.sent)
}

// recorded keeps what is written, and ends when it is read from.
type recorded struct {
	socket
	sent []byte
}

func (r *recorded) Write(b []byte) (int, error) {
	r.sent = append(r.sent, b...)
	return len(b), nil
}

func (*recorded) Read([]byte) (int, error) { return 0, io.EOF }
