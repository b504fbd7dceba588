//go:build linux

package engine

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"rstserver/linger"
)

// What an engine makes of its epoll's events, whose entries are changed behind its back.
func TestContractInterest(t *testing.T) {
	// poller_epoll_default.go, AddRead: EPOLLIN | EPOLLPRI without EPOLLET; eventloop_unix.go, read: one read for an event.
	t.Run("it is level-triggered: what one read leaves comes with the next event", func(t *testing.T) {
		var reads []int
		g := &gnetEngine{options: []gnet.Option{gnet.WithReadBufferCap(1024)}}
		g.onTraffic = func(_ gnet.Conn, data []byte) gnet.Action { reads = append(reads, len(data)); return gnet.None }
		client, c := g.start(t).connect()
		g.held(func() { g.send(client, c, strings.Repeat("x", 2500)) })
		g.round()
		g.round()
		g.do(func() {
			if want := []int{1024, 1024, 452}; !slices.Equal(reads, want) {
				t.Errorf("OnTraffic got %d bytes, want %d", reads, want)
			}
		})
	})

	// poller_epoll_default.go, Polling: the event's data is the number; connection_linux.go, processIO.
	t.Run("without events a connection is not read from, with EPOLLIN it is again", func(t *testing.T) {
		g, traffic := gnetReader()
		client, c := g.start(t).connect()
		g.poll(c.Fd(), 0)
		g.send(client, c, "x")
		g.round()
		gnetNone(t, "OnTraffic", traffic)
		g.poll(c.Fd(), unix.EPOLLIN)
		gnetAwait(t, "OnTraffic", traffic)
	})

	// The same. Not even a reset is reported before the entry is changed again.
	t.Run("EPOLLONESHOT reports once, and then nothing", func(t *testing.T) {
		g, traffic := gnetReader()
		client, c := g.start(t).connect()
		g.poll(c.Fd(), unix.EPOLLIN|unix.EPOLLONESHOT)
		g.write(client, "x")
		gnetAwait(t, "OnTraffic", traffic)
		g.send(client, c, "y")
		g.round()
		gnetNone(t, "OnTraffic", traffic)
		g.poll(c.Fd(), unix.EPOLLIN|unix.EPOLLONESHOT)
		gnetAwait(t, "OnTraffic", traffic)
		client.Close()
		gnetHappens(t, c.Fd(), unix.POLLHUP)
		g.round()
		gnetNone(t, "OnClose", g.closed)
		g.poll(c.Fd(), 0)
		gnetAwait(t, "OnClose", g.closed)
	})

	// connection_linux.go, processIO: ErrEvents without ReadWriteEvents.
	t.Run("a reset closes although nothing is polled for", func(t *testing.T) {
		g := (&gnetEngine{}).start(t)
		client, c := g.connect()
		g.poll(c.Fd(), 0)
		client.Close() // lingerless
		if err := gnetAwait(t, "OnClose", g.closed); err != io.EOF {
			t.Errorf("OnClose was told %v, want io.EOF", err)
		}
		g.lives()
	})

	// The same; and without the MOD processIO's eventloop.read, which finds that the socket is not connected any more.
	for name, events := range map[string]uint32{"nothing": 0, "EPOLLIN": unix.EPOLLIN} {
		t.Run("aborting in place closes while "+name+" is polled for", func(t *testing.T) {
			g := (&gnetEngine{}).start(t)
			_, c := g.connect()
			g.poll(c.Fd(), events)
			if err := linger.Abort(c.Fd()); err != nil {
				t.Fatal(err)
			}
			if err := gnetAwait(t, "OnClose", g.closed); err == nil {
				t.Error("OnClose was told nil, as if the engine had been asked to")
			}
			g.lives()
		})
	}

	// eventloop_unix.go, read: n == 0.
	t.Run("a FIN closes at once", func(t *testing.T) {
		g := (&gnetEngine{}).start(t)
		client, _ := g.connect()
		client.CloseWrite()
		if err := gnetAwait(t, "OnClose", g.closed); !errors.Is(err, io.EOF) {
			t.Errorf("OnClose was told %v, want io.EOF", err)
		}
	})

	// processIO knows of a FIN by EPOLLIN or EPOLLRDHUP only.
	t.Run("a FIN is not noticed while nothing is polled for", func(t *testing.T) {
		g := (&gnetEngine{}).start(t)
		client, c := g.connect()
		g.poll(c.Fd(), 0)
		client.CloseWrite()
		gnetHappens(t, c.Fd(), unix.POLLRDHUP)
		g.round()
		gnetNone(t, "OnClose", g.closed)
		g.poll(c.Fd(), unix.EPOLLIN)
		gnetAwait(t, "OnClose", g.closed)
	})

	// connection_linux.go, processIO: EPOLLRDHUP without ReadWriteEvents.
	t.Run("EPOLLRDHUP closes, and what came before the FIN is lost", func(t *testing.T) {
		g, traffic := gnetReader()
		client, c := g.start(t).connect()
		g.poll(c.Fd(), unix.EPOLLRDHUP)
		g.send(client, c, "x")
		client.CloseWrite()
		if err := gnetAwait(t, "OnClose", g.closed); err != io.EOF {
			t.Errorf("OnClose was told %v, want io.EOF", err)
		}
		gnetNone(t, "OnTraffic", traffic)
	})

	// poller_epoll_default.go, Polling: the events of one epoll_wait are all dealt with.
	t.Run("an event that was fetched before its entry was deleted still comes", func(t *testing.T) {
		g := &gnetEngine{}
		a, b := make(chan gnet.Conn, 1), make(chan gnet.Conn, 1)
		var second gnet.Conn
		g.onTraffic = func(c gnet.Conn, _ []byte) gnet.Action {
			if c != second {
				g.control(unix.EPOLL_CTL_DEL, second.Fd(), 0)
				a <- c
			} else {
				b <- c
			}
			return gnet.None
		}
		client1, c1 := g.start(t).connect()
		client2, c2 := g.connect()
		g.held(func() {
			second = c2
			g.send(client1, c1, "x")
			g.send(client2, c2, "x")
		})
		gnetAwait(t, "OnTraffic of the first", a)
		gnetAwait(t, "OnTraffic of the second", b)
	})

	// reactor_default.go, run: c == nil; pkg/netpoll, Delete.
	t.Run("an event of an unknown descriptor is logged, and its entry deleted", func(t *testing.T) {
		g := (&gnetEngine{}).start(t)
		unknown, err := unix.Eventfd(1, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(unknown)
		g.control(unix.EPOLL_CTL_ADD, unknown, unix.EPOLLIN)
		g.round()
		if line := g.line("of a stale connection"); line.level != "warn" {
			t.Errorf("logged: %v", g.complaints())
		}
		if err := unix.EpollCtl(g.epoll, unix.EPOLL_CTL_DEL, unknown, nil); err != unix.ENOENT {
			t.Errorf("deleting its entry: %v, want ENOENT", err)
		}
		g.lives()
	})

	// reactor_default.go, run. The kernel's queue keeps who comes meanwhile.
	t.Run("without events a listener is not accepted from, with EPOLLIN it is again", func(t *testing.T) {
		g := (&gnetEngine{}).start(t)
		g.poll(g.listener, 0)
		g.queue(1)
		g.round()
		gnetNone(t, "OnOpen", g.opened)
		g.poll(g.listener, unix.EPOLLIN)
		gnetAwait(t, "OnOpen", g.opened)
	})

	// The same; epoll_ctl(2): an exclusive entry cannot be modified.
	t.Run("a listener can be polled exclusively, and deleted and added", func(t *testing.T) {
		g := (&gnetEngine{}).start(t)
		g.control(unix.EPOLL_CTL_DEL, g.listener, 0)
		g.queue(1)
		g.round()
		gnetNone(t, "OnOpen", g.opened)
		g.control(unix.EPOLL_CTL_ADD, g.listener, unix.EPOLLIN|unix.EPOLLEXCLUSIVE)
		gnetAwait(t, "OnOpen", g.opened)
		g.lives()
	})
}

// gnetReader returns an engine that is not started yet, and what tells of each of its reads.
func gnetReader() (*gnetEngine, <-chan string) {
	traffic := make(chan string, 100)
	return &gnetEngine{onTraffic: func(_ gnet.Conn, data []byte) gnet.Action {
		traffic <- string(data)
		return gnet.None
	}}, traffic
}
