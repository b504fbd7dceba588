//go:build linux

package poller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"rstserver/httpcodec"
	"rstserver/linger"
)

// loop is one event loop: a gnet engine of its own, the connections that it accepted, and the buffers that serve them one
// after the other. It outlives its engine: one that ends unasked is followed by another.
type loop struct {
	run   *run // immutable, as are the next two
	index int  // the owner of its connections in the table
	log   *slog.Logger

	conns  atomic.Int64 // connections that admission counts for this loop
	credit atomic.Int64 // by how many more than others the loop may be ahead; see admission
	yields bool         // the loop leaves the listener to the others; guarded by admission.mu

	sweeping atomic.Bool  // the loop resets its connections, or has
	handling atomic.Int64 // the descriptor of the connection whose handler was called last

	mu sync.Mutex // guards the engine's handle and descriptors, which are only sure to be the engine's under it
	// handle is nil while no engine polls. A task given to an engine that has closed its descriptors would write to
	// whatever has their numbers by then, so every task goes through execute.
	handle gnet.EventLoop
	epoll  int // the engine's epoll descriptor
	turns  turns
	number int // the descriptor number under which the engine polls the listener; -1: the listener was taken away

	// Owned by the goroutine that runs the engine, of which there is one at a time.
	boot     bootState
	clock    clock
	request  Request
	respond  Responder
	lastHead lastHead
	out      []byte // answers of the batch that is being served
	body     []byte // content of a chunked request that came whole
	piece    []byte // of a source
	lists    [timeoutKinds]timeoutList
	alarm    alarm
	isCloser bool         // it has an element in run.closers
	late     linger.Sweep // what abortCounted did in a teardown; others read it after ended
	drained  linger.Sweep // what it did in a drain; others read it after swept or ended

	ready   chan struct{} // closed when the first engine polls the listener
	isReady bool          // owned by the engine's goroutine
	swept   chan struct{} // closed when sweep holds what the loop aborted
	sweep   linger.Sweep
	ended   chan struct{} // closed when no engine runs any more, and none will
}

func newLoop(r *run, index int) *loop {
	l := &loop{
		run: r, index: index, log: r.cfg.log.With("loop", index), number: -1,
		ready: make(chan struct{}), swept: make(chan struct{}), ended: make(chan struct{}),
	}
	l.handling.Store(-1)
	return l
}

// Back-off between an engine that ended unasked and the next. An engine that held out for steadyAfter counts as recovered.
const (
	restartDelay    = 10 * time.Millisecond
	restartDelayMax = time.Second
	restartLimit    = 10 // failures in a row
	steadyAfter     = 10 * time.Second
)

// serve runs engines until the teardown begins or restartLimit of them have failed in a row. It owns the loop.
func (l *loop) serve() {
	defer close(l.ended)
	delay, failures := restartDelay, 0
	for {
		began := time.Now()
		err := l.runEngine()
		if l.isCloser {
			<-l.run.closers
		}
		if l.run.closing() || l.run.released() {
			return
		}
		if !l.isReady {
			l.run.failed <- fmt.Errorf("poller: event loop %d does not start: %w", l.index, err)
			return
		}
		if time.Since(began) > steadyAfter {
			delay, failures = restartDelay, 0
		}
		if failures++; failures > restartLimit {
			l.run.failed <- fmt.Errorf("poller: event loop %d ended %d times in a row: %w", l.index, failures, err)
			return
		}
		l.log.Error("event loop ended unasked, its connections were aborted; restarting it",
			"error", err, "delay", delay, "failures_in_a_row", failures)
		select {
		case <-l.run.closingC:
			return
		case <-time.After(delay):
		}
		delay = min(2*delay, restartDelayMax)
	}
}

// runEngine runs one engine to its end.
func (l *loop) runEngine() error {
	logger := &engineLogger{log: l.log, acceptFailed: l.acceptFailed}
	l.boot = bootState{fd: -1}
	err := gnet.Run(l, "tcp://127.0.0.1:0",
		gnet.WithNumEventLoop(1), gnet.WithReusePort(true), gnet.WithLogger(logger))
	l.forgetEngine()
	l.boot.close()
	l.alarm.stop()
	return errors.Join(err, l.boot.err, logger.last())
}

// execute has f run on the loop and tells whether it was taken. A task that was taken can still be dropped when the engine
// ends, so whoever waits for it waits for ended too. Any goroutine may call it, the loop's own too.
func (l *loop) execute(f func() error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.executeLocked(f)
}

func (l *loop) executeLocked(f func() error) bool {
	run := gnet.RunnableFunc(func(context.Context) error { return f() })
	return l.handle != nil && l.handle.Execute(context.Background(), run) == nil
}

func (l *loop) forgetEngine() {
	l.mu.Lock()
	l.handle, l.number, l.turns = nil, -1, turns{}
	l.mu.Unlock()
}

// unblockAccept makes the listener non-blocking again if somebody who shares the open file has changed that. The next
// accept on any loop profits; one that blocks already ends after acceptLimit.
func (l *loop) unblockAccept() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.number >= 0 {
		_ = unix.SetNonblock(l.number, true)
	}
}

// setAccepting has the loop poll the listener, or leave new connections in the kernel's queue. Any goroutine may call it.
func (l *loop) setAccepting(on bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.number < 0 {
		return nil
	}
	return modify(l.epoll, l.number, acceptEvents(on))
}

// dropListener takes the listener away from a running engine. The number stays taken, by a socket that nobody can connect
// to: accept finds it empty, whereas anything else would make accept fail, which ends an engine. The order matters: once
// the number refers to something else, the listener can no longer be deleted from the epoll, and the engine would spin
// while anybody else holds it.
func (l *loop) dropListener(empty int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.number < 0 {
		return nil
	}
	err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, l.number, nil)
	if e := unix.Dup3(empty, l.number, unix.O_CLOEXEC); e != nil && err == nil {
		err = e
	}
	l.number = -1
	if err != nil {
		return fmt.Errorf("poller: taking the listener away from loop %d: %w", l.index, err)
	}
	return nil
}

// OnOpen implements gnet.EventHandler: a connection was accepted.
func (l *loop) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	if !l.boot.done {
		return nil, l.bootConn(gc)
	}
	r := l.run
	fd := gc.Fd()
	c := &conn{loop: l, gc: gc, fd: fd, epoll: l.epoll, id: r.ids.Add(1), remote: netip.AddrPort{}}
	if addr, ok := gc.RemoteAddr().(interface{ AddrPort() netip.AddrPort }); ok {
		a := addr.AddrPort()
		c.remote = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	gc.SetContext(c)
	if err := r.table.Open(fd, l.index); err != nil {
		l.log.Error("connection is not tracked and therefore refused", "conn", c.id, "error", err)
		_ = linger.Abort(fd)
		c.untracked = true
		return nil, gnet.Close
	}
	r.live.Add(1)
	// Publish, then look: either the teardown's sweep finds the slot, or this finds the teardown.
	if r.closing() {
		r.admission.count(c)
		c.abortCounted()
		r.hook(r.hooks.opened, c)
		return nil, gnet.Close
	}
	if r.queued.Load() > 0 && r.queued.Add(-1) >= 0 {
		if err := c.inherit(); err != nil {
			l.log.Warn("a connection from before the start lacks socket options", "conn", c.id, "error", err)
		}
	}
	l.clock.tick()
	r.hook(r.hooks.opened, c)
	l.setTimeout(c, headerTimeout)
	r.admission.opened(c)
	if r.draining.Load() && c.drain() {
		c.abortIdle()
	}
	if c.ending {
		return nil, gnet.Close
	}
	return nil, gnet.None
}

// abortCounted resets a connection that no sweep of a teardown will find, and counts it for the teardown or the drain, if
// there is one. On the loop.
func (c *conn) abortCounted() {
	l := c.loop
	did, err := l.run.table.Abort(c.fd)
	sweep := &l.late
	switch {
	case !did:
		return
	case l.run.closing():
	case l.run.draining.Load():
		sweep = &l.drained
	default:
		return
	}
	sweep.Aborted[c.activity]++
	if err != nil {
		sweep.Refused++
		sweep.Err = err
	}
	if cookie, err := linger.Cookie(c.fd); err == nil {
		sweep.Cookies = append(sweep.Cookies, cookie)
	}
}

// OnTraffic implements gnet.EventHandler: bytes were read from a connection.
func (l *loop) OnTraffic(gc gnet.Conn) gnet.Action {
	c, ok := gc.Context().(*conn)
	data, _ := gc.Next(-1)
	if !ok {
		return gnet.Close
	}
	l.clock.tick()
	return c.received(data)
}

// OnClose implements gnet.EventHandler: gnet is about to close the descriptor, whoever asked for it. err is nil when this
// package did, or when the engine is ending.
func (l *loop) OnClose(gc gnet.Conn, err error) gnet.Action {
	c, ok := gc.Context().(*conn)
	if !ok || c.gone {
		return gnet.None
	}
	c.gone = true
	r := l.run
	r.closed.Add(1)
	orderly := !c.loseLease() && c.orderly()
	l.forget(c)
	if c.watched {
		r.watcher.forget(c.fd)
	}
	c.dropSource()
	if c.hijacked {
		r.admission.hijacked(c)
		return gnet.None
	}
	if c.untracked {
		return gnet.None
	}
	if err == nil && !c.ending {
		// The engine ends without having been asked to. Its connections must not look as if they had ended in order.
		c.abortCounted()
	}
	aborted := r.table.Close(c.fd) || c.aborted
	if !aborted {
		r.noteClosed(c.fd)
	}
	if !aborted && r.cfg.arm && orderly {
		if err := linger.Disarm(c.fd); err != nil {
			l.log.Warn("a connection ends with RST in place of FIN", "conn", c.id, "error", err)
		}
	}
	if aborted {
		r.hook(r.hooks.aborted, c)
	} else {
		r.hook(r.hooks.closed, c)
	}
	r.admission.closed(c)
	r.ended(aborted)
	return gnet.None
}

// OnShutdown implements gnet.EventHandler: the engine has been told to end, and has not closed its descriptors yet.
func (l *loop) OnShutdown(gnet.Engine) {
	if err := l.dropListener(l.run.empty); err != nil {
		l.log.Warn("an engine that ends keeps the listener until it has", "error", err)
	}
	l.forgetEngine()
}

// OnTick implements gnet.EventHandler. The engine runs without gnet's ticker, which is not on the loop.
func (l *loop) OnTick() (time.Duration, gnet.Action) { return time.Hour, gnet.None }

// limits for a request's head.
func (l *loop) limits() httpcodec.Limits {
	return httpcodec.Limits{HeaderBytes: l.run.cfg.maxHeaderBytes, Fields: l.run.cfg.maxFields,
		LaxTarget: l.run.cfg.laxTargets}
}
