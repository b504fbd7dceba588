//go:build linux

package engine

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// What a connection of gnet's is between OnOpen and OnClose.
func TestContractConn(t *testing.T) {
	// connection_unix.go, Next, with an empty inboundBuffer; eventloop_unix.go, read: el.buffer.
	t.Run("Next(-1) is all that was read, in memory that the next read overwrites", func(t *testing.T) {
		var first []byte
		g, traffic := gnetReader()
		read := g.onTraffic
		g.onTraffic = func(c gnet.Conn, data []byte) gnet.Action {
			if first == nil {
				first = data
			}
			g.note(string(data) + ", first: " + string(first))
			if again, err := c.Next(-1); len(again) != 0 || err != nil {
				t.Errorf("Next(-1) once more = %q, %v", again, err)
			}
			return read(c, data)
		}
		client, _ := g.start(t).connect()
		g.write(client, "abc")
		gnetAwait(t, "OnTraffic", traffic)
		g.write(client, "xyz")
		gnetAwait(t, "OnTraffic", traffic)
		g.want("abc, first: abc", "xyz, first: xyz")
	})

	// connection_unix.go, Fd, Context, RemoteAddr; release, which eventloop.close calls behind OnClose.
	t.Run("number, context and peer are there from OnOpen to OnClose", func(t *testing.T) {
		fd, peer := 0, ""
		check := func(c gnet.Conn) {
			if c.Fd() != fd || c.Context() != "context" || c.RemoteAddr().String() != peer {
				t.Errorf("got %d, %v and %s, want %d, context and %s", c.Fd(), c.Context(), c.RemoteAddr(), fd, peer)
			}
		}
		g := &gnetEngine{}
		g.onOpen = func(c gnet.Conn) gnet.Action {
			if c.Context() != nil {
				t.Errorf("a new connection has the context %v", c.Context())
			}
			fd, peer = c.Fd(), c.RemoteAddr().(*net.TCPAddr).String()
			c.SetContext("context")
			return gnet.None
		}
		g.onTraffic = func(c gnet.Conn, _ []byte) gnet.Action { check(c); return gnet.Close }
		g.onClose = func(c gnet.Conn, _ error) { check(c) }
		client, c := g.start(t).connect()
		if got := client.LocalAddr().String(); got != peer {
			t.Errorf("RemoteAddr() = %s, want %s", peer, got)
		}
		g.write(client, "x")
		gnetAwait(t, "OnClose", g.closed)
		g.do(func() {
			if c.RemoteAddr() != nil || c.Context() != nil {
				t.Errorf("behind OnClose there are still %v and %v", c.RemoteAddr(), c.Context())
			}
		})
	})

	// eventloop_unix.go, open and handleAction.
	t.Run("Close from OnOpen closes, with FIN and OnClose(nil)", func(t *testing.T) {
		g := (&gnetEngine{onOpen: func(gnet.Conn) gnet.Action { return gnet.Close }}).start(t)
		client, _ := g.connect()
		gnetWantEnd(t, g, client)
	})

	// eventloop_unix.go, read.
	t.Run("Close from OnTraffic does", func(t *testing.T) {
		g := (&gnetEngine{onTraffic: func(gnet.Conn, []byte) gnet.Action { return gnet.Close }}).start(t)
		client, _ := g.connect()
		g.write(client, "x")
		gnetWantEnd(t, g, client)
	})

	// eventloop_unix.go, Close and close: delConn, OnClose, release, Delete, unix.Close; opened says that it was done.
	t.Run("EventLoop.Close does before it returns, and again it does nothing", func(t *testing.T) {
		g := &gnetEngine{}
		g.onClose = func(c gnet.Conn, _ error) {
			g.poll(c.Fd(), unix.EPOLLIN) // it is open, and in the epoll
			g.note("OnClose")
		}
		client, c := g.start(t).connect()
		g.do(func() {
			fd := c.Fd()
			for range 2 {
				if err := c.EventLoop().Close(c); err != nil {
					t.Errorf("Close: %v", err)
				}
				if g.want("OnClose"); gnetOpen(fd) {
					t.Error("the descriptor is still open")
				}
			}
		})
		gnetWantEnd(t, g, client)
	})

	// eventloop_unix.go, close: Writev until EAGAIN, behind OnClose.
	t.Run("OnClose comes before gnet tries what is in its own buffer", func(t *testing.T) {
		const sent = 4 << 20
		taken := 0
		var client *net.TCPConn
		g := &gnetEngine{}
		g.onClose = func(c gnet.Conn, _ error) {
			// What the kernel has taken is read, so that it takes more.
			taken = sent - c.OutboundBuffered()
			if n, err := io.CopyN(io.Discard, client, int64(taken)); err != nil {
				t.Errorf("the client has read %d of %d bytes: %v", n, taken, err)
			}
			lingertest.Wait(t, "all is acknowledged", func() bool {
				n, err := unix.IoctlGetInt(c.Fd(), unix.SIOCOUTQ)
				return n == 0 && err == nil
			})
		}
		client, c := g.start(t).connect()
		g.do(func() {
			_ = c.SetWriteBuffer(256 << 10)
			if _, err := c.Write(make([]byte, sent)); err != nil {
				t.Errorf("Write: %v", err)
			}
			if err := g.loop.Close(c); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		more, err := io.Copy(io.Discard, client)
		if more == 0 || err != nil {
			t.Errorf("behind %d bytes the client has read %d more, %v", taken, more, err)
		}
	})

	// eventloop_unix.go, close: Delete before unix.Close. epoll(7), Q6: closing alone leaves the entry if there is a duplicate.
	t.Run("a connection that somebody else has too leaves the epoll when it is closed", func(t *testing.T) {
		g := (&gnetEngine{}).start(t)
		client, c := g.connect()
		dup, err := unix.FcntlInt(uintptr(c.Fd()), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(dup)
		g.do(func() { _ = g.loop.Close(c) })
		g.write(client, "x")
		gnetHappens(t, dup, unix.POLLIN)
		g.round()
		if lines := g.complaints(); len(lines) > 0 {
			t.Errorf("logged: %v", lines)
		}
	})

	// eventloop_unix.go, close: the error of Delete is returned, and ignored by poller_epoll_default.go, Polling.
	t.Run("a connection that was taken away is closed, and its number with it", func(t *testing.T) {
		g := (&gnetEngine{}).start(t)
		client, c := g.connect()
		fd, dup := c.Fd(), gnetTakeAway(g, c, gnetEmpty(t))
		defer unix.Close(dup)
		g.do(func() {
			if err := g.loop.Close(c); err == nil || !strings.Contains(err.Error(), unix.ENOENT.Error()) {
				t.Errorf("Close: %v, want it to say %v", err, unix.ENOENT)
			}
			if gnetOpen(fd) {
				t.Error("the number is still taken")
			}
		})
		if err := gnetAwait(t, "OnClose", g.closed); err != nil {
			t.Errorf("OnClose was told %v, want nil", err)
		}
		gnetWantServed(t, dup, client)
		g.lives()
	})

	// The same, from poller_epoll_default.go, Polling; eventloop_unix.go, read. read(2) of a socket that listens: EINVAL.
	t.Run("so is one whose event had been fetched, and OnClose is told an error", func(t *testing.T) {
		empty, dup, fd := gnetEmpty(t), -1, -1
		var second gnet.Conn
		g := &gnetEngine{}
		g.onTraffic = func(c gnet.Conn, _ []byte) gnet.Action {
			if c == second {
				t.Error("OnTraffic is called")
			} else {
				dup = gnetTakeAway(g, second, empty)
			}
			return gnet.None
		}
		client1, c1 := g.start(t).connect()
		client2, c2 := g.connect()
		g.held(func() {
			second, fd = c2, c2.Fd()
			g.send(client1, c1, "x")
			g.send(client2, c2, "hello")
		})
		if err := gnetAwait(t, "OnClose", g.closed); !errors.Is(err, unix.EINVAL) {
			t.Errorf("OnClose was told %v, want EINVAL", err)
		}
		defer unix.Close(dup)
		g.round()
		if gnetOpen(fd) {
			t.Error("the number is still taken")
		}
		gnetWantServed(t, dup, client2)
		g.lives()
	})
}

// gnetWantEnd checks that a connection has ended in order.
func gnetWantEnd(t *testing.T, g *gnetEngine, client *net.TCPConn) {
	t.Helper()
	if err := gnetAwait(t, "OnClose", g.closed); err != nil {
		t.Errorf("OnClose was told %v, want nil", err)
	}
	if n, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read() = %d, %v, want io.EOF", n, err)
	}
}

// gnetTakeAway puts empty under c's number and returns another number for the connection.
func gnetTakeAway(g *gnetEngine, c gnet.Conn, empty int) (dup int) {
	dup, err := unix.FcntlInt(uintptr(c.Fd()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		g.t.Errorf("fcntl: %v", err)
	}
	g.control(unix.EPOLL_CTL_DEL, c.Fd(), 0)
	gnetDup(g.t, empty, c.Fd())
	return dup
}

// gnetWantServed checks that nobody has ended or read from the connection of fd.
func gnetWantServed(t *testing.T, fd int, client *net.TCPConn) {
	t.Helper()
	if _, err := unix.Write(fd, []byte("x")); err != nil {
		t.Errorf("write: %v", err)
	}
	if n, err := client.Read(make([]byte, 1)); n != 1 {
		t.Errorf("Read() = %d, %v, want a byte", n, err)
	}
}
