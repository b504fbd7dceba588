//go:build linux

package engine

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// The tests named TestContract are about gnet alone, v2.10.0. What this package takes for granted of it, though gnet promises
// little of that, is one subtest each, which names what was read in gnet's source: file and function. So one run says what an
// upgrade of gnet breaks:
//
//	go test -race -run Contract -count 20 ./poller/internal/engine
//
// They hold with gnet's build tag gc_opt too. With poll_opt this package does not compile (poll_opt.go), since gnet then keeps a
// pointer in the data of an epoll entry (pkg/netpoll/poller_epoll_ultimate.go, AddRead and Polling): an entry that was written
// here would crash the process at its first event.

// gnetEngine is an engine as this package runs its own: with one loop, that accepts for itself. The functions are told what
// the engine's goroutines tell; those that are nil need not know. They and options are set before start.
type gnetEngine struct {
	onBoot     func(gnet.Engine) gnet.Action // with listener and addr set, which it may change
	onOpen     func(gnet.Conn) gnet.Action
	onTraffic  func(gnet.Conn, []byte) gnet.Action
	onClose    func(gnet.Conn, error)
	onShutdown func()
	onLog      func(gnetLine)
	options    []gnet.Option

	// What start has found out.
	addr      string // that can be dialled
	listener  int    // number of the listening socket
	epoll     int
	engine    gnet.Engine
	loop      gnet.EventLoop
	goroutine string // that runs the loop

	t        *testing.T
	ready    chan struct{}  // closed when all that is set
	opened   chan gnet.Conn // connections behind OnOpen
	closed   chan error     // what OnClose was told
	returned chan struct{}  // closed when Run has returned
	err      error          // what it returned

	probe     *net.TCPConn // a connection of this type's own, of which the functions hear nothing
	probePort int
	probed    gnet.Conn     // its other end
	rounds    chan struct{} // an element for each of its bytes
	release   chan struct{} // ends what held has begun

	mu    sync.Mutex // guards the rest
	notes []string
	lines []gnetLine
}

// gnetLine is a line of gnet's log.
type gnetLine struct{ level, text, goroutine string }

// start runs the engine, and returns when its loop is at work or Run has returned.
func (g *gnetEngine) start(t *testing.T) *gnetEngine {
	t.Helper()
	g.t = t
	g.ready, g.returned = make(chan struct{}), make(chan struct{})
	g.opened, g.closed = make(chan gnet.Conn, 100), make(chan error, 100)
	g.rounds, g.release = make(chan struct{}, 1), make(chan struct{}, 1)
	t.Cleanup(g.end)
	options := append([]gnet.Option{gnet.WithNumEventLoop(1), gnet.WithReusePort(true), gnet.WithLogger(gnetLog{g})}, g.options...)
	go func() {
		defer close(g.returned)
		g.err = gnet.Run(g, "tcp://127.0.0.1:0", options...)
	}()
	select {
	case <-g.ready:
	case <-g.returned:
	case <-time.After(lingertest.Patience):
		t.Fatal("the engine does not start")
	}
	return g
}

// end ends the engine if the test has not.
func (g *gnetEngine) end() {
	g.t.Helper()
	if !gnetDone(g.returned) && gnetDone(g.ready) {
		g.execute(func() error { return gneterrors.ErrEngineShutdown })
	}
	gnetAwait(g.t, "Run returns", g.returned)
	if g.probe != nil {
		g.probe.Close()
	}
}

// OnBoot implements gnet.EventHandler, as do the methods that follow.
func (g *gnetEngine) OnBoot(e gnet.Engine) gnet.Action {
	g.engine = e
	err := g.findListener(e)
	action := gnet.None
	if err == nil && g.onBoot != nil {
		action = g.onBoot(e)
	}
	if err == nil && action == gnet.None {
		g.probe, err = gnetDial(g.addr)
	}
	if err != nil {
		g.t.Error(err)
		return gnet.Shutdown
	}
	if g.probe != nil {
		g.probePort = g.probe.LocalAddr().(*net.TCPAddr).Port
	}
	return action
}

func (g *gnetEngine) findListener(e gnet.Engine) error {
	dup, err := e.Dup()
	if err != nil {
		return err
	}
	defer unix.Close(dup)
	twins := gnetTwins(dup)
	if len(twins) != 1 {
		return fmt.Errorf("gnet's listener has the numbers %v beside that of its duplicate", twins)
	}
	g.listener = twins[0]
	sa, err := unix.Getsockname(dup)
	if err != nil {
		return err
	}
	g.addr = fmt.Sprintf("127.0.0.1:%d", sa.(*unix.SockaddrInet4).Port)
	return nil
}

func (g *gnetEngine) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	if c.RemoteAddr().(*net.TCPAddr).Port == g.probePort {
		g.probed, g.loop, g.goroutine = c, c.EventLoop(), gnetGoroutine()
		g.epoll = gnetEpoll(g.listener)
		close(g.ready)
		return nil, gnet.None
	}
	action := gnet.None
	if g.onOpen != nil {
		action = g.onOpen(c)
	}
	g.opened <- c
	return nil, action
}

func (g *gnetEngine) OnTraffic(c gnet.Conn) gnet.Action {
	data, _ := c.Next(-1)
	if c == g.probed {
		g.rounds <- struct{}{}
		if string(data) == "hold" {
			<-g.release
		}
		return gnet.None
	}
	if g.onTraffic != nil {
		return g.onTraffic(c, data)
	}
	return gnet.None
}

func (g *gnetEngine) OnClose(c gnet.Conn, err error) gnet.Action {
	if c != g.probed {
		if g.onClose != nil {
			g.onClose(c, err)
		}
		g.closed <- err
	}
	return gnet.None
}

func (g *gnetEngine) OnShutdown(gnet.Engine) {
	if g.onShutdown != nil {
		g.onShutdown()
	}
}

func (g *gnetEngine) OnTick() (time.Duration, gnet.Action) {
	g.note("tick")
	return time.Hour, gnet.None
}

// gnetLog is the engine's logger.
type gnetLog struct{ g *gnetEngine }

func (l gnetLog) Debugf(format string, args ...any) { l.log("debug", format, args) }
func (l gnetLog) Infof(format string, args ...any)  { l.log("info", format, args) }
func (l gnetLog) Warnf(format string, args ...any)  { l.log("warn", format, args) }
func (l gnetLog) Errorf(format string, args ...any) { l.log("error", format, args) }
func (l gnetLog) Fatalf(format string, args ...any) { l.log("fatal", format, args) }

func (l gnetLog) log(level, format string, args []any) {
	line := gnetLine{level, fmt.Sprintf(format, args...), gnetGoroutine()}
	l.g.mu.Lock()
	l.g.lines = append(l.g.lines, line)
	l.g.mu.Unlock()
	if l.g.onLog != nil {
		l.g.onLog(line)
	}
}

// line returns the first line that contains text; all of it is empty if there is none.
func (g *gnetEngine) line(text string) gnetLine {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, line := range g.lines {
		if strings.Contains(line.text, text) {
			return line
		}
	}
	return gnetLine{}
}

// complaints are the lines above the level that everyday life is logged at.
func (g *gnetEngine) complaints() []gnetLine {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(g.lines), func(l gnetLine) bool { return l.level == "debug" || l.level == "info" })
}

// note and want are for tests of what happens in which order.
func (g *gnetEngine) note(what string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.notes = append(g.notes, what)
}

func (g *gnetEngine) want(notes ...string) {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !slices.Equal(g.notes, notes) {
		g.t.Errorf("this happened: %q, want %q", g.notes, notes)
	}
}

// connect returns the two ends of a new connection.
func (g *gnetEngine) connect() (*net.TCPConn, gnet.Conn) {
	g.t.Helper()
	client := g.dial()
	return client, gnetAwait(g.t, "OnOpen", g.opened)
}

// dial returns the client's end of a new connection, whether it is accepted or not.
func (g *gnetEngine) dial() *net.TCPConn {
	g.t.Helper()
	client, err := gnetDial(g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { client.Close() })
	return client
}

// execute gives the loop a task.
func (g *gnetEngine) execute(task func() error) {
	g.t.Helper()
	if err := g.loop.Execute(context.Background(), gnet.RunnableFunc(func(context.Context) error { return task() })); err != nil {
		g.t.Errorf("Execute: %v", err)
	}
}

// do runs f on the loop.
func (g *gnetEngine) do(f func()) {
	g.t.Helper()
	done := make(chan struct{})
	g.execute(func() error {
		defer close(done)
		f()
		return nil
	})
	gnetAwait(g.t, "a task has run", done)
}

// round returns when the loop has dealt with all that the kernel had to tell it: the second of two bytes of the probe's comes
// with a later epoll_wait(2) than the first, and with the first came all that was ready by then.
func (g *gnetEngine) round() {
	g.t.Helper()
	for range 2 {
		g.write(g.probe, "next")
		gnetAwait(g.t, "the loop's next round", g.rounds)
	}
}

// held runs f while the loop is kept in a callback. What f makes ready comes with one epoll_wait then, in f's order.
func (g *gnetEngine) held(f func()) {
	g.t.Helper()
	g.round()
	g.write(g.probe, "hold")
	gnetAwait(g.t, "the loop's next round", g.rounds)
	defer func() { g.release <- struct{}{} }()
	f()
}

// write sends s.
func (g *gnetEngine) write(client *net.TCPConn, s string) {
	g.t.Helper()
	if _, err := client.Write([]byte(s)); err != nil {
		g.t.Fatal(err)
	}
}

// send sends s and waits until the kernel has told c's epoll. SIOCINQ is answered under the socket's lock, so not before that.
func (g *gnetEngine) send(client *net.TCPConn, c gnet.Conn, s string) {
	g.t.Helper()
	g.write(client, s)
	lingertest.Wait(g.t, "what was sent has come", func() bool {
		n, err := unix.IoctlGetInt(c.Fd(), unix.SIOCINQ)
		return err == nil && n >= len(s)
	})
}

// queue dials n times and waits until as many connections are in the listener's queue.
func (g *gnetEngine) queue(n int) (clients []*net.TCPConn) {
	g.t.Helper()
	for range n {
		clients = append(clients, g.dial())
	}
	lingertest.Wait(g.t, "the connections are queued", func() bool { return g.queued() == n })
	return clients
}

// queued is how many connections wait to be accepted.
func (g *gnetEngine) queued() int {
	info, err := unix.GetsockoptTCPInfo(g.listener, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return -1
	}
	return int(info.Unacked)
}

// control changes an entry of the engine's epoll.
func (g *gnetEngine) control(op, fd int, events uint32) {
	g.t.Helper()
	if err := unix.EpollCtl(g.epoll, op, fd, &unix.EpollEvent{Fd: int32(fd), Events: events}); err != nil {
		g.t.Errorf("epoll_ctl: %v", err)
	}
}

// poll changes what is polled for on fd.
func (g *gnetEngine) poll(fd int, events uint32) {
	g.t.Helper()
	g.control(unix.EPOLL_CTL_MOD, fd, events)
}

// lives checks that the engine serves on.
func (g *gnetEngine) lives() {
	g.t.Helper()
	g.round()
	g.connect()
}
