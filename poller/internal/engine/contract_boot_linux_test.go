//go:build linux

package engine

import (
	"testing"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// How an engine starts, and how it comes to poll a socket that it has not opened.
func TestContractBoot(t *testing.T) {
	// engine_unix.go, run: OnBoot, then start, whose runEventLoops opens the epoll, adds the listener and starts the goroutine.
	t.Run("OnBoot runs before the listener is polled", func(t *testing.T) {
		epoll := 0
		g := &gnetEngine{}
		g.onBoot = func(gnet.Engine) gnet.Action {
			epoll = gnetEpoll(g.listener)
			return gnet.None
		}
		if g.start(t); epoll != -1 {
			t.Error("an epoll has the listener in OnBoot")
		}
		if g.epoll == -1 {
			t.Error("no epoll has the listener later")
		}
		g.connect()
	})

	// gnet.go, Engine.Dup; listener_unix.go, dup; engine_unix.go, run: lns holds the one listener of createListeners.
	t.Run("Engine.Dup duplicates the listener, which has one number of its own", func(t *testing.T) {
		g := (&gnetEngine{}).start(t) // its OnBoot has found one number
		dup, err := g.engine.Dup()
		if err != nil {
			t.Fatal(err)
		}
		if listening, err := unix.GetsockoptInt(dup, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); listening != 1 {
			t.Errorf("the duplicate does not listen: %v", err)
		}
		if flags, err := unix.FcntlInt(uintptr(dup), unix.F_GETFD, 0); flags != unix.FD_CLOEXEC {
			t.Errorf("the duplicate has the flags %#x, want close-on-exec: %v", flags, err)
		}
		if err := unix.Close(dup); err != nil {
			t.Error(err)
		}
		g.lives()
	})

	// engine_unix.go, run: case Shutdown; gnet.go, Run: the deferred ln.close.
	t.Run("Shutdown from OnBoot has Run return nil with nothing left and no other callback", func(t *testing.T) {
		before := lingertest.Descriptors()
		g := &gnetEngine{onBoot: func(gnet.Engine) gnet.Action { return gnet.Shutdown }}
		g.onShutdown = func() { t.Error("OnShutdown is called") }
		g.start(t)
		gnetAwait(t, "Run returns", g.returned)
		if g.err != nil {
			t.Errorf("Run returned %v", g.err)
		}
		if left := lingertest.NewDescriptors(before); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})

	// engine_unix.go, runEventLoops: concurrency.Go(el.run), and a ticker only where WithTicker asks for one; reactor_default.go,
	// rotate and orbit are for the other mode, in which gnet accepts on a goroutine of its own.
	t.Run("one goroutine runs the loop, without a ticker", func(t *testing.T) {
		g := (&gnetEngine{}).start(t)
		for function, want := range map[string]int{"run": 1, "ticker": 0, "rotate": 0, "orbit": 0} {
			if got := len(gnetStacks("gnet/v2.(*eventloop)." + function + "(")); got != want {
				t.Errorf("%d goroutines are in %s, want %d", got, function, want)
			}
		}
		g.lives()
		g.want() // no tick
		ticking := (&gnetEngine{options: []gnet.Option{gnet.WithTicker(true)}}).start(t)
		lingertest.Wait(t, "a tick", func() bool {
			ticking.mu.Lock()
			defer ticking.mu.Unlock()
			return len(ticking.notes) > 0
		})
	})

	// reactor_default.go, run: the event's number is looked up among connections, then among listeners, whatever is behind it;
	// acceptor_unix.go, accept: the address that it gives the connection is that of its own listener, and it sets no options.
	t.Run("another listening socket under the number is accepted from", func(t *testing.T) {
		g := (&gnetEngine{}).start(t)
		other := gnetListen(t)
		g.control(unix.EPOLL_CTL_DEL, g.listener, 0)
		gnetDup(t, other, g.listener)
		g.control(unix.EPOLL_CTL_ADD, g.listener, unix.EPOLLIN)
		placeholder := g.addr
		g.addr = gnetAddr(t, other)
		client, c := g.connect()
		g.do(func() {
			if got, want := c.RemoteAddr().String(), client.LocalAddr().String(); got != want {
				t.Errorf("RemoteAddr() = %s, want %s", got, want)
			}
			if c.LocalAddr().String() == g.addr {
				t.Errorf("LocalAddr() = %s is not the placeholder's any more, %s", c.LocalAddr(), placeholder)
			}
			if nodelay, err := unix.GetsockoptInt(c.Fd(), unix.IPPROTO_TCP, unix.TCP_NODELAY); nodelay != 0 || err != nil {
				t.Errorf("TCP_NODELAY is %d, which the listening socket does not have: %v", nodelay, err)
			}
		})
	})

	// The same, and engine_unix.go, runEventLoops: AddRead comes after OnBoot.
	t.Run("it can be put there in OnBoot", func(t *testing.T) {
		other := gnetListen(t)
		g := &gnetEngine{}
		g.onBoot = func(gnet.Engine) gnet.Action {
			gnetDup(t, other, g.listener)
			g.addr = gnetAddr(t, other)
			return gnet.None
		}
		g.start(t).connect()
	})

	// Each engine has a poller, a table of connections and a goroutine of its own (engine_unix.go, runEventLoops); what they share
	// is the logger and the list allEngines, see TestContractProcess.
	t.Run("two engines know nothing of each other", func(t *testing.T) {
		b, traffic := gnetReader()
		a := (&gnetEngine{}).start(t)
		b.start(t)
		if a.goroutine == b.goroutine || a.epoll == b.epoll || a.listener == b.listener {
			t.Error("they share a goroutine or a descriptor")
		}
		client, _ := b.connect()
		a.end()
		b.write(client, "x")
		gnetAwait(t, "OnTraffic", traffic)
		b.lives()
		gnetNone(t, "OnClose", b.closed)
	})
}
