//go:build linux

package poller

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// The loop that takes a connection away in the middle of ConnContext does not look at what that is making.
func TestTakenAwayInConnContext(t *testing.T) {
	number, made := make(chan int, 1), make(chan struct{})
	srv := &Server{Loops: 1, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	srv.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		defer close(made)
		// Until the loop has closed the descriptor. The call is one that the race detector takes for no synchronisation.
		for fd := <-number; ; time.Sleep(time.Millisecond) {
			if _, _, errno := unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), unix.F_GETFD, 0); errno == unix.EBADF {
				return ctx
			}
		}
	}
	s := start(t, srv)
	c := s.dial(t)
	c.send(getRoot)
	s.waitConn(t, "the handler has it", func(c *conn) bool {
		if c.state != handling {
			return false
		}
		number <- c.sock.FD
		return true
	})
	_ = c.SetLinger(0)
	_ = c.Close()
	<-made
	lingertest.Wait(t, "the exchange is over", func() bool { return s.run.pool.handlers() == 0 })
}
