//go:build linux

package linger

import (
	"context"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// What a server would set on a *net.TCPConn, which a Conn is not, is inherited from the listening socket.
func TestUserTimeoutIsInherited(t *testing.T) {
	const milliseconds = 20_000
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		e := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, milliseconds)
		})
		if e != nil {
			return e
		}
		return err
	}}
	lc.SetMultipathTCP(false)
	existing, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	lingertest.Must(t, err)
	l, err := Wrap(existing)
	lingertest.Must(t, err)
	client := lingertest.Dial(t, net.Dialer{}, l.tcp)
	c, err := l.Accept()
	lingertest.Must(t, err)
	var asked int
	lingertest.Control(t, c.(*Conn), func(fd int) (err error) {
		asked, err = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		return err
	})
	if asked != milliseconds {
		t.Errorf("TCP_USER_TIMEOUT is %d, want %d", asked, milliseconds)
	}
	_, err = l.Abort()
	lingertest.Must(t, err)
	wantReset(t, client)
}
