//go:build linux

package engine

import (
	"errors"
	"testing"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"golang.org/x/sys/unix"
)

// How an engine accepts, and what becomes of an accept that fails.
func TestContractAccept(t *testing.T) {
	// acceptor_unix.go, accept: one socket.Accept, where accept0 of the other mode goes on until EAGAIN.
	t.Run("one connection is accepted for an event", func(t *testing.T) {
		g := &gnetEngine{}
		g.onOpen = func(gnet.Conn) gnet.Action { g.note("open"); return gnet.None }
		g.onTraffic = func(gnet.Conn, []byte) gnet.Action { g.note("traffic"); return gnet.None }
		client, c := g.start(t).connect()
		g.held(func() {
			g.queue(2)
			g.send(client, c, "x")
		})
		gnetAwait(t, "OnOpen", g.opened)
		gnetAwait(t, "OnOpen", g.opened)
		g.want("open", "open", "traffic", "open")
	})

	// acceptor_unix.go, accept: register0, and not through a queue; eventloop_unix.go, open and read.
	t.Run("callbacks and tasks are on one goroutine", func(t *testing.T) {
		g := &gnetEngine{}
		here := func(what string) {
			if on := gnetGoroutine(); on != g.goroutine {
				t.Errorf("%s is on %s, and not on %s", what, on, g.goroutine)
			}
		}
		g.onOpen = func(gnet.Conn) gnet.Action { here("OnOpen"); return gnet.None }
		g.onTraffic = func(gnet.Conn, []byte) gnet.Action { here("OnTraffic"); return gnet.Close }
		g.onClose = func(gnet.Conn, error) { here("OnClose") }
		client, _ := g.start(t).connect()
		g.write(client, "x")
		gnetAwait(t, "OnClose", g.closed)
		g.do(func() { here("a task") })
	})

	// pkg/socket/sock_cloexec.go, sysAccept.
	t.Run("accepted sockets are non-blocking and closed on exec", func(t *testing.T) {
		_, c := (&gnetEngine{}).start(t).connect()
		if flags, err := unix.FcntlInt(uintptr(c.Fd()), unix.F_GETFL, 0); flags&unix.O_NONBLOCK == 0 {
			t.Errorf("F_GETFL = %#x, %v", flags, err)
		}
		if flags, err := unix.FcntlInt(uintptr(c.Fd()), unix.F_GETFD, 0); flags != unix.FD_CLOEXEC {
			t.Errorf("F_GETFD = %#x, %v", flags, err)
		}
	})

	// acceptor_unix.go, accept: case EAGAIN. Another loop that polls the same socket was faster.
	t.Run("an accept that finds nobody is silent", func(t *testing.T) {
		g := &gnetEngine{}
		g.onTraffic = func(gnet.Conn, []byte) gnet.Action {
			fd, _, err := unix.Accept(g.listener)
			if err != nil {
				t.Error(err)
			}
			unix.Close(fd)
			return gnet.None
		}
		client, c := g.start(t).connect()
		g.held(func() {
			g.send(client, c, "x")
			g.queue(1)
		})
		g.lives() // with a connection of its own
		gnetNone(t, "OnOpen for the connection that somebody else has", g.opened)
		if lines := g.complaints(); len(lines) > 0 {
			t.Errorf("logged: %v", lines)
		}
	})

	// The same. The event was there before the entry was deleted, and accept4(2) of a Unix socket reports EAGAIN too.
	t.Run("the event of a listener that was taken away finds nobody", func(t *testing.T) {
		empty := gnetEmpty(t)
		g := &gnetEngine{}
		g.onTraffic = func(gnet.Conn, []byte) gnet.Action {
			g.control(unix.EPOLL_CTL_DEL, g.listener, 0)
			gnetDup(t, empty, g.listener)
			return gnet.None
		}
		client, c := g.start(t).connect()
		g.held(func() {
			g.send(client, c, "x")
			g.queue(1)
		})
		g.round()
		gnetNone(t, "OnOpen", g.opened)
		if lines := g.complaints(); len(lines) > 0 {
			t.Errorf("logged: %v", lines)
		}
	})

	// acceptor_unix.go, accept: default; poller_epoll_default.go, Polling: errors.Is(err, ErrAcceptSocket); reactor_default.go, run.
	t.Run("an accept that fails ends the engine, and Run returns nil", func(t *testing.T) {
		gnetSetErrAccept(t, errors.New("as gnet has it"))
		g := (&gnetEngine{}).start(t)
		g.connect()
		g.held(func() {
			g.queue(1)
			gnetNoDescriptors(t)
		})
		gnetAwait(t, "Run returns", g.returned)
		if g.err != nil {
			t.Errorf("Run returned %v", g.err)
		}
		if err := gnetAwait(t, "OnClose", g.closed); err != nil {
			t.Errorf("OnClose was told %v, want nil", err)
		}
		if g.line("is exiting due to error").level != "error" {
			t.Errorf("the end is not logged, but %v", g.complaints())
		}
	})

	// The same, and errors.Is: no error is equal to a target that cannot be compared.
	t.Run("it does not if ErrAcceptSocket is a value that cannot be compared", func(t *testing.T) {
		gnetSetErrAccept(t, gnetIncomparable{})
		g := &gnetEngine{}
		g.onLog = func(line gnetLine) {
			if line.text == "Accept() failed due to error: too many open files" {
				g.poll(g.listener, 0)
				g.note(line.level + " on " + line.goroutine)
			}
		}
		g.start(t)
		enough := func() {}
		g.held(func() {
			g.queue(1)
			enough = gnetNoDescriptors(t)
		})
		g.round()
		g.want("error on " + g.goroutine)
		gnetNone(t, "OnOpen", g.opened)
		enough()
		g.poll(g.listener, unix.EPOLLIN)
		gnetAwait(t, "OnOpen", g.opened)
		g.lives()
	})
}

// gnetIncomparable is an error that is not equal to itself.
type gnetIncomparable struct{ _ []error }

func (gnetIncomparable) Error() string { return "accept failed" }

// gnetSetErrAccept has gnet return err when accept has failed, in engines that are started and ended in this test.
func gnetSetErrAccept(t *testing.T, err error) {
	was := gneterrors.ErrAcceptSocket
	gneterrors.ErrAcceptSocket = err
	t.Cleanup(func() { gneterrors.ErrAcceptSocket = was })
}

// gnetNoDescriptors leaves the process without a number for a new descriptor, until enough is called or the test ends.
func gnetNoDescriptors(t *testing.T) (enough func()) {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	lowest, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(lowest)
	set := func(limit unix.Rlimit) {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}
	set(unix.Rlimit{Cur: uint64(lowest), Max: was.Max})
	t.Cleanup(func() { set(was) })
	return func() { set(was) }
}
