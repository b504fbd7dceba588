//go:build linux

package linger

import (
	"net"
	"syscall"
	"testing"

	"rstserver/internal/lingertest"
)

// A connection from before the listener was armed is armed although a later one is tracked first, by another Accept.
func TestAcceptsThatOvertake(t *testing.T) {
	below, err := net.Listen("tcp", "127.0.0.1:0")
	lingertest.Must(t, err)
	defer below.Close()
	dial := func() { lingertest.Dial(t, net.Dialer{}, below.Addr().(*net.TCPAddr).AddrPort()) }
	dial()
	l, err := ListenConfig{Armed: true}.Wrap(below)
	lingertest.Must(t, err)
	dial()
	first, err := below.Accept()
	lingertest.Must(t, err)
	second, err := below.Accept()
	lingertest.Must(t, err)
	for _, accepted := range []net.Conn{second, first} {
		c, err := l.track(accepted)
		lingertest.Must(t, err)
		defer c.Close()
		lingertest.Control(t, c.(syscall.Conn), func(fd int) error {
			armed, err := Armed(fd)
			if !armed {
				t.Errorf("the connection from %s is not armed", c.RemoteAddr())
			}
			return err
		})
	}
}
