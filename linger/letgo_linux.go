//go:build linux

package linger

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/latch"
	"rstserver/internal/tcpsock"
)

// Close gives up the port and does nothing to the connections: it is that of [net.Listener], and what servers call when they
// stop. What waits in the queue is reset by the kernel. A second call is no error, unlike that of package net.
func (l *Listener) Close() error {
	l.stopAccept()
	return l.refuse()
}

// Release gives up the port and keeps the connections that exist: their server serves them as before, until they end by
// themselves, and only then does Accept return its error, so that the server's Serve lasts as long as they do. Clients that
// wait in the queue are accepted first, for as long as the server goes on to take them in, which it has a second for each. A successor can listen on the
// port as soon as Release has returned; it needs SO_REUSEADDR while connections are left, which Go's listeners have.
//
// It may be followed by Drain or Abort. While one of these is under way, or over, Release only waits until the port has been
// given up. The error is that of closing the listener below, or says who holds the listening socket all the same, so that the port
// is not given up (see ListenConfig.Shared).
func (l *Listener) Release() error {
	l.mu.Lock()
	if l.state != listenerServing {
		l.mu.Unlock()
		<-l.refused
		return l.refusal
	}
	l.state = listenerReleased
	l.mode, l.began = ModeRelease, time.Now()
	l.mu.Unlock()

	err := l.letGo(nil)
	go func() {
		select {
		case <-l.empty:
		case <-l.closing:
			return
		}
		l.mu.Lock()
		ours := l.state == listenerReleased
		if ours {
			l.closeLocked()
		}
		l.mu.Unlock()
		if ours {
			l.teardown(nil)
		}
	}()
	if l.tcp.IsValid() {
		err = errors.Join(err, CheckGivenUp(l.ending()))
	}
	return err
}

// letGo gives up the port of a Listener that drains or is released: it has the server accept what waits, closes the socket,
// and waits until no Accept can come back with a connection. All of this is bounded, and cut short by stop.
func (l *Listener) letGo(stop <-chan struct{}) error {
	l.letting.Store(true)
	l.holding.Store(true)
	l.takeQueueIn(stop)
	err := l.refuse()
	l.awaitAccepts(stop)
	l.settled.Store(true)
	l.oneLess()
	return err
}

// takeQueueIn waits until the server has accepted whoever waits by now: under a storm of clients the queue is never empty.
func (l *Listener) takeQueueIn(stop <-chan struct{}) {
	waiting := tcpsock.LongQueue
	_ = l.raw.Control(func(fd uintptr) { waiting = tcpsock.QueueLength(int(fd)) })
	enough := l.accepts.Load() + int64(waiting)
	for before := int64(-1); l.queueWaits() && l.accepts.Load() != before && before < enough; {
		before = l.accepts.Load()
		l.pollUntil(stop, func() bool { return !l.queueWaits() || l.accepts.Load() != before })
		if waiting == tcpsock.LongQueue {
			return // it is not known who has come since
		}
	}
}

// What is waited for in the hope that it is a matter of microseconds is looked at every shortInterval, for at most shortLimit: a
// server that does not accept leaves the queue as it is. One on a busy machine may have to wait for a processor.
const (
	shortInterval = 200 * time.Microsecond
	shortLimit    = time.Second
)

// pollUntil waits until ok returns true, within limits.
func (l *Listener) pollUntil(stop <-chan struct{}, ok func() bool) {
	if ok() {
		return
	}
	ticker := time.NewTicker(shortInterval)
	defer ticker.Stop()
	for deadline := time.Now().Add(shortLimit); !ok() && time.Now().Before(deadline); {
		select {
		case <-ticker.C:
		case <-stop:
			return
		}
	}
}

// queueWaits reports whether the socket has connections that nobody has accepted.
func (l *Listener) queueWaits() (waits bool) {
	_ = l.raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		waits = err == nil && n > 0
	})
	return waits
}

// awaitAccepts waits until no Accept can come back with a connection any more, now that the socket is closed. That they
// return is up to the listener below; package net's do at once.
func (l *Listener) awaitAccepts(stop <-chan struct{}) {
	l.pollUntil(stop, func() bool { return l.accepting.Load() == 0 })
}

// refuse gives up the port, once. No child may be between fork and exec meanwhile: its copy of the descriptor would keep it.
func (l *Listener) refuse() error {
	l.refusing.Lock()
	defer l.refusing.Unlock()
	if latch.IsClosed(l.refused) {
		return l.refusal
	}
	if l.residue != nil && l.tcp.IsValid() && !l.noted {
		l.residue.Note(l.tcp)
	}
	_ = l.raw.Control(func(fd uintptr) { l.queued = tcpsock.QueueLength(int(fd)) })
	// It stays armed, if it is: to the kernel the last close alone matters, and a successor that holds it too relies on that.
	syscall.ForkLock.RLock()
	err := l.below.Close()
	syscall.ForkLock.RUnlock()
	if !errors.Is(err, net.ErrClosed) { // closed by somebody else is closed
		l.refusal = err
	}
	l.refusedAt = time.Now()
	close(l.refused)
	return l.refusal
}

// stopAccept ends every Accept that finds the port given up.
func (l *Listener) stopAccept() { l.closings.Do(func() { close(l.closed) }) }

// connClosed is called when the user of a connection has closed it.
func (l *Listener) connClosed(aborted bool) {
	if !aborted && l.letting.Load() {
		l.closedInOrder.Add(1)
	}
}

// oneLess is called when a connection may have been the last.
func (l *Listener) oneLess() {
	if l.settled.Load() && l.conns.Len() == 0 {
		l.emptied.Do(func() { close(l.empty) })
	}
}
