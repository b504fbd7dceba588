//go:build linux

package engine

import (
	"context"
	"net"
	"testing"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// How an engine ends.
func TestContractEnd(t *testing.T) {
	// poller_epoll_default.go, Polling: errors.Is(err, ErrEngineShutdown); reactor_default.go, run: closeConns, then shutdown;
	// engine_unix.go, stop: OnShutdown, then closeEventLoops, then Run returns nil whatever has happened.
	t.Run("ErrEngineShutdown from a task: OnClose(nil) for all, OnShutdown, nothing is left, Run returns nil", func(t *testing.T) {
		before := lingertest.Descriptors()
		g := &gnetEngine{}
		g.onClose = func(_ gnet.Conn, err error) {
			if err != nil || gnetGoroutine() != g.goroutine {
				t.Errorf("OnClose(%v) on %s", err, gnetGoroutine())
			}
			g.note("OnClose")
		}
		g.onShutdown = func() {
			if gnetGoroutine() == g.goroutine {
				t.Error("OnShutdown is on the loop's goroutine")
			}
			g.poll(g.listener, unix.EPOLLIN) // both are open
			g.note("OnShutdown")
		}
		g.start(t)
		clients := []*net.TCPConn{g.probe}
		for range 3 {
			client, _ := g.connect()
			clients = append(clients, client)
		}
		g.execute(func() error { return gneterrors.ErrEngineShutdown })
		gnetAwait(t, "Run returns", g.returned)
		if g.want("OnClose", "OnClose", "OnClose", "OnShutdown"); g.err != nil {
			t.Errorf("Run returned %v", g.err)
		}
		for _, client := range clients {
			client.Close()
		}
		if left := lingertest.NewDescriptors(before); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})

	// poller_epoll_default.go, Delete, and eventloop_unix.go, close: what the epoll says is passed on to nobody.
	t.Run("the same where another epoll has the number, with nothing in it", func(t *testing.T) {
		before := lingertest.Descriptors()
		g := &gnetEngine{}
		g.onClose = func(_ gnet.Conn, err error) {
			if err != nil {
				t.Errorf("OnClose(%v)", err)
			}
			g.note("OnClose")
		}
		g.start(t)
		client, _ := g.connect()
		g.execute(func() error {
			none, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
			lingertest.Must(t, err)
			lingertest.Must(t, unix.Dup3(none, g.epoll, unix.O_CLOEXEC))
			lingertest.Must(t, unix.Close(none))
			return gneterrors.ErrEngineShutdown
		})
		gnetAwait(t, "Run returns", g.returned)
		if g.want("OnClose"); g.err != nil {
			t.Errorf("Run returned %v", g.err)
		}
		for _, c := range []*net.TCPConn{g.probe, client} {
			c.Close()
		}
		if left := lingertest.NewDescriptors(before); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})

	// eventloop_unix.go, handleAction, from open in accept and from read.
	t.Run("Shutdown from OnOpen or OnTraffic does the same", func(t *testing.T) {
		for _, on := range []string{"OnOpen", "OnTraffic"} {
			g := &gnetEngine{}
			action := func(callback string) gnet.Action {
				if callback == on {
					return gnet.Shutdown
				}
				return gnet.None
			}
			g.onOpen = func(gnet.Conn) gnet.Action { return action("OnOpen") }
			g.onTraffic = func(gnet.Conn, []byte) gnet.Action { return action("OnTraffic") }
			client, _ := g.start(t).connect()
			g.write(client, "x")
			gnetAwait(t, "Run returns", g.returned)
			if err := gnetAwait(t, "OnClose", g.closed); err != nil || g.err != nil {
				t.Errorf("%s: OnClose was told %v, and Run returned %v; want nil", on, err, g.err)
			}
		}
	})

	// gnet.go, Engine.Stop; engine_unix.go, shutdown: only the context is cancelled, so that stop goes first.
	t.Run("Engine.Stop calls OnShutdown first, while the loop serves", func(t *testing.T) {
		g := &gnetEngine{}
		g.onClose = func(gnet.Conn, error) { g.note("OnClose") }
		g.onShutdown = func() {
			g.do(func() { g.note("a task") })
			g.note("OnShutdown")
		}
		g.start(t).connect()
		now, cancel := context.WithCancel(t.Context())
		cancel()
		_ = g.engine.Stop(now) // or it would look for the end every 500 ms
		gnetAwait(t, "Run returns", g.returned)
		g.want("a task", "OnShutdown", "OnClose")
	})

	// poller_epoll_default.go, Polling returns; Trigger knows nothing of that. engine_unix.go, stop: inShutdown is set when the
	// descriptors are closed already: a task given in between is written to whatever has the number of the eventfd by then.
	t.Run("tasks behind the one that ends the engine are dropped, later ones refused", func(t *testing.T) {
		g := &gnetEngine{}
		task := func() error { g.note("a task"); return nil }
		g.onShutdown = func() { g.execute(task) } // it is taken
		g.start(t)
		g.execute(func() error {
			g.execute(task)
			return gneterrors.ErrEngineShutdown
		})
		gnetAwait(t, "Run returns", g.returned)
		err := g.loop.Execute(t.Context(), gnet.RunnableFunc(func(context.Context) error { return task() }))
		if g.want(); err != gneterrors.ErrEngineInShutdown {
			t.Errorf("Execute: %v", err)
		}
	})

	// engine_unix.go, closeEventLoops; listener_unix.go, close: unix.Close of the number.
	t.Run("what has come under the listener's number is closed, what was there lives on", func(t *testing.T) {
		empty := gnetEmpty(t)
		g := &gnetEngine{}
		dup := -1
		g.onBoot = func(e gnet.Engine) (a gnet.Action) {
			dup, _ = e.Dup()
			return gnet.None
		}
		g.onShutdown = func() {
			g.control(unix.EPOLL_CTL_DEL, g.listener, 0)
			gnetDup(t, empty, g.listener)
		}
		g.start(t).end()
		defer unix.Close(dup)
		if gnetOpen(g.listener) {
			t.Error("the number is still taken")
		}
		g.dial() // is not refused
		if lines := g.complaints(); len(lines) > 0 {
			t.Errorf("logged: %v", lines)
		}
	})
}
