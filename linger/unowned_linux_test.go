//go:build linux

package linger

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/claims"
	"rstserver/internal/lingertest"
	"rstserver/linger/sockdiag"
)

// A socket that this process holds, and that no server of it knows, makes a teardown incomplete, and is named.
func TestUnowned(t *testing.T) {
	type counts = sockdiag.Counts
	file := func(t *testing.T, f *os.File, err error) {
		lingertest.Must(t, err)
		t.Cleanup(func() { f.Close() })
	}
	tests := []struct {
		name  string
		leave func(t *testing.T, l *listening)
		want  counts
	}{
		{"nothing", func(*testing.T, *listening) {}, counts{}},
		{"the File of a connection that is closed", func(t *testing.T, l *listening) {
			_, conn := l.pair(t)
			f, err := conn.File()
			file(t, f, err)
			lingertest.Must(t, conn.Close())
		}, counts{sockdiag.Established: 1}},
		{"the File of a connection that is reset", func(t *testing.T, l *listening) {
			_, conn := l.pair(t)
			f, err := conn.File()
			file(t, f, err)
		}, counts{}},
		{"the File of the listener", func(t *testing.T, l *listening) {
			f, err := l.TCPListener.File()
			file(t, f, err)
		}, counts{sockdiag.Listen: 1}},
		{"a connection that was accepted below", func(t *testing.T, l *listening) {
			l.dial(t)
			conn, err := l.TCPListener.Accept()
			lingertest.Must(t, err)
			t.Cleanup(func() { conn.Close() })
		}, counts{sockdiag.Established: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // each of them waits
			l := trackedOn4(t, ListenConfig{})
			l.pair(t)
			tt.leave(t, l)
			rep, err := l.Abort()
			some := tt.want.Total() > 0
			if rep.Left.Unowned != tt.want || rep.Left.Others.Total() > 0 || rep.Complete() == some || rep.Left.Free() == some {
				t.Errorf("complete %v, left %+v, want unowned %s", rep.Complete(), rep.Left, tt.want)
			}
			if named := err != nil && strings.Contains(err.Error(), tt.want.String()); named != some {
				t.Errorf("Abort = %v, want it to name %s", err, tt.want)
			}
			if said := strings.Contains(rep.String(), "left, unowned     "+tt.want.String()); said != some {
				t.Errorf("the report says\n%s", rep)
			}
			if some {
				lingertest.ExpectError(t, err, fmt.Sprintf("linger.test (pid %d, descriptor ", os.Getpid()))
			}
		})
	}
}

// What other servers of the process have on the port is theirs, whether they are known here or not.
func TestSiblingsAreOthers(t *testing.T) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		if err == nil {
			err = e
		}
		return err
	}}
	lc.SetMultipathTCP(false)
	for _, known := range []bool{true, false} {
		address := "127.0.0.1:0"
		bind := func() net.Listener {
			ln, err := lc.Listen(context.Background(), "tcp", address)
			lingertest.Must(t, err)
			t.Cleanup(func() { ln.Close() })
			address = ln.Addr().String()
			return ln
		}
		// Alone on the port, so that the connection is its.
		sibling := bind()
		if known {
			var err error
			sibling, err = Wrap(sibling)
			lingertest.Must(t, err)
		}
		client, err := net.Dial("tcp", address)
		lingertest.Must(t, err)
		t.Cleanup(func() { client.Close() })
		lingertest.Must(t, client.(*net.TCPConn).SetLinger(0))
		conn, err := sibling.Accept()
		lingertest.Must(t, err)
		t.Cleanup(func() { conn.Close() })

		l, err := Wrap(bind())
		lingertest.Must(t, err)
		rep, err := l.Abort()
		if want := (sockdiag.Counts{sockdiag.Listen: 1, sockdiag.Established: 1}); err != nil || rep.Left.Others != want || rep.Left.Unowned.Total() > 0 {
			t.Errorf("known %v: Abort = %s, %v, want others %s", known, rep, err, want)
		}
		if known {
			if rep, err := sibling.(*Listener).Abort(); err != nil || !rep.Left.Free() {
				t.Errorf("Abort of the sibling = %s, %v", rep, err)
			}
		}
	}
}

// A Listener that is closed and forgotten leaves nothing behind in the process.
func TestClaimOfAForgottenListener(t *testing.T) {
	l := trackedOn4(t, ListenConfig{})
	port := l.tcp.Port()
	if cookies, more := claims.On(port); !cookies[l.cookie] || more {
		t.Errorf("claimed: %v, %v, want the listening socket %d", cookies, more, l.cookie)
	}
	lingertest.Must(t, l.Listener.Close())
	if cookies, more := claims.On(port); len(cookies) != 0 || more {
		t.Errorf("claimed after Close: %v, %v", cookies, more)
	}
	l.Listener = nil
	lingertest.Collect(t, "its claim has ended", func() bool {
		cookies, _ := claims.On(port)
		return cookies == nil
	})
}
