//go:build linux

package linger

import (
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// With TCP_DEFER_ACCEPT, as some servers set it, a client that has sent nothing has no socket on this side, and no abort could tell it.
func TestWrapClearsDeferAccept(t *testing.T) {
	eachFamily(t, func(t *testing.T, s *server) {
		lingertest.Control(t, s, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 100) })
		early := s.dial(t) // which has none at first
		ln, err := Wrap(s.TCPListener)
		lingertest.Must(t, err)
		l := &listening{ln, s}
		conns, _ := l.acceptAll(t)
		silent := s.dial(t)
		<-conns
		// The kernel sends its part of the handshake once more.
		<-conns
		rep, err := l.Abort()
		wantAborted(t, rep, err, 2)
		wantReset(t, silent)
		wantReset(t, early)
		l.wantFree(t)
	})
}
