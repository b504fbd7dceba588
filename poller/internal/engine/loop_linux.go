//go:build linux

package engine

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"golang.org/x/sys/unix"
)

// Handler is what a [Loop] works for. Its methods are called on the loop's goroutine and must not block.
type Handler interface {
	// Accepted is told of a new connection. It returns what serves it, and whether it is to stay open: if not, the loop closes
	// it as soon as Accepted has returned.
	Accepted(Conn) (s Session, open bool)
	// AcceptFailed is told that accept(2) failed in a way that has nothing to do with a single client, such as EMFILE, and
	// reports whether that passes. If not, the engine ends.
	AcceptFailed(error) (passes bool)
}

// Session serves one connection. Its methods are called on the loop's goroutine and must not block.
type Session interface {
	// Received is told what was read, which is valid until it returns. It reports whether the connection is to stay open.
	Received(data []byte) (open bool)
	// Closed is told once that the descriptor is about to be closed; it is open still. by says who closes.
	Closed(by Closer)
}

// Closer says who closes a connection.
type Closer uint8

const (
	// Here is this side: Accepted or Received did not want it open, Conn.Close was called, or the engine is ending.
	Here Closer = iota
	// There is the client, by FIN or RST, or the network.
	There
)

// Loop is one event loop. Run's caller owns it; Post may be called from any goroutine, and what else there is says itself.
type Loop struct {
	port    *Port // immutable, as is the next
	handler Handler

	mu     sync.Mutex // guards handle
	handle gnet.EventLoop

	// Guarded by port.mu. They are valid while the loop is attached to the port.
	epoll    int   // the engine's epoll descriptor
	number   int   // under which the engine polls the port
	attached bool  // number is the port's
	polling  bool  // number is in the epoll
	seen     int64 // taken, when Rouse last looked

	// Owned by the engine's goroutine.
	boot   boot
	ready  func()
	ending bool

	live   atomic.Int64 // connections; stored by the engine's goroutine
	taken  atomic.Int64 // connections accepted in this round
	absent atomic.Bool  // the round does not wait for this loop; stored under port.mu
}

// NewLoop returns a loop that accepts from p, once it runs.
func NewLoop(p *Port, h Handler) *Loop { return &Loop{port: p, handler: h} }

// Run runs an engine to its end and returns why it ended, or nil after [Loop.End] or [Port.GiveUp]. ready is called on the loop
// when it accepts connections. Every connection is closed when Run returns. It may be called again then.
func (l *Loop) Run(ready func()) error {
	g, c := &logger{acceptFailed: l.acceptFailed}, &callbacks{Loop: l}
	l.boot = boot{fd: -1}
	l.ready, l.ending = ready, false
	c.restore = keepDefaultLogger()
	err := gnet.Run(c, "tcp://127.0.0.1:0", gnet.WithNumEventLoop(1), gnet.WithReusePort(true), gnet.WithLogger(g))
	c.restore()
	l.forget()
	l.boot.close()
	// gnet remembers an engine that has ended until the next one starts, but need not remember all that it served.
	c.Loop = nil
	return errors.Join(err, l.boot.err, g.close())
}

// Post has f run on the loop, and reports whether it was taken. A task that was taken is dropped all the same when the engine
// ends before, so whoever waits for it waits for the end of Run too. Tasks run one after the other, for as long as there are
// any, before the loop looks at its connections again.
func (l *Loop) Post(f func()) bool {
	// A task given to an engine that has closed its descriptors would write to whatever has their numbers by then.
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.handle != nil && l.handle.Execute(context.Background(), task{l, f}) == nil
}

// task is what Post gives to gnet.
type task struct {
	l *Loop
	f func()
}

func (t task) Run(context.Context) error {
	t.f()
	if t.l.ending {
		t.l.port.detach(t.l)
		return gneterrors.ErrEngineShutdown
	}
	return nil
}

// End has the engine end when the task that calls it has returned: connections are closed, and tasks that wait are dropped.
// It is called in a task only.
func (l *Loop) End() { l.ending = true }

// LetGo has the kernel report nothing more on the loop's connections, which makes it quicker to reset and to close them. It is called in the
// task that calls End.
func (l *Loop) LetGo() error {
	l.port.mu.Lock()
	defer l.port.mu.Unlock()
	none, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	defer unix.Close(none)
	// The last reference to the epoll goes, and with it all entries; the number stays gnet's.
	return os.NewSyscallError("dup3", unix.Dup3(none, l.epoll, unix.O_CLOEXEC))
}

// forget has no task reach an engine that is at its end.
func (l *Loop) forget() {
	l.mu.Lock()
	l.handle = nil
	l.mu.Unlock()
}

// callbacks are what gnet calls.
type callbacks struct {
	*Loop
	restore func() // gnet's default logger
}

// OnBoot implements gnet.EventHandler: the engine has its listener and does not poll it yet.
func (l *callbacks) OnBoot(e gnet.Engine) gnet.Action {
	l.restore()
	if err := l.boot.connect(e); err != nil {
		l.boot.failed(err)
		return gnet.Shutdown
	}
	return gnet.None
}

// OnOpen implements gnet.EventHandler: a connection was accepted.
func (l *callbacks) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	if !l.boot.done {
		return nil, l.bootConn(gc)
	}
	c := Conn{FD: gc.Fd(), epoll: l.epoll, gc: gc}
	l.port.keepNonblocking(l.Loop)
	if l.port.isKnock(c) {
		return nil, gnet.Close
	}
	l.port.accepted(l.Loop)
	s, open := l.handler.Accepted(c)
	gc.SetContext(s)
	return nil, action(open)
}

// OnTraffic implements gnet.EventHandler: bytes were read.
func (l *callbacks) OnTraffic(gc gnet.Conn) gnet.Action {
	s, ok := gc.Context().(Session)
	data, _ := gc.Next(-1)
	return action(ok && s.Received(data))
}

// OnClose implements gnet.EventHandler: the descriptor is about to be closed.
func (l *callbacks) OnClose(gc gnet.Conn, err error) gnet.Action {
	c, ok := gc.Context().(Session)
	if !ok {
		return gnet.None
	}
	by := Here
	if err != nil {
		by = There
	}
	c.Closed(by)
	l.live.Add(-1)
	return gnet.None
}

// OnShutdown implements gnet.EventHandler: the engine has closed its connections, and has not closed its own descriptors yet. It
// runs on the goroutine of Run.
func (l *callbacks) OnShutdown(gnet.Engine) {
	l.port.detach(l.Loop)
	l.forget()
}

// OnTick implements gnet.EventHandler. The engine runs without gnet's ticker, which is not on the loop.
func (*callbacks) OnTick() (time.Duration, gnet.Action) { return time.Hour, gnet.None }

func action(open bool) gnet.Action {
	if open {
		return gnet.None
	}
	return gnet.Close
}
