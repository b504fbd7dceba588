//go:build linux

package poller

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// A client that has sent nothing is told, although TCP_DEFER_ACCEPT was set on the listener.
func TestDeferAcceptIsCleared(t *testing.T) {
	plain(t, "a client that says nothing makes no handshake")
	ln := listenAlone(t)
	lingertest.Control(t, ln.(*net.TCPListener), func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 100)
	})
	s := startOn(t, &Server{}, ln)
	silent := s.dial(t)
	lingertest.Wait(t, "it is accepted", func() bool { return s.Report().Connections == linger.Tally{linger.New: 1} })
	if err := s.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	silent.wantReset()
	s.assertGone(t)
}
