//go:build linux

package poller

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// lookout sees to it that no client waits in the accept queue for a loop that is stuck in a handler, while others could take
// it: the kernel wakes one loop for a client, and the loops take turns (see engine.Port). While nobody waits it looks every
// Server.StuckGrace whether a loop is blocked in accept. Its methods may be called from any goroutine.
type lookout struct {
	run *run

	mu      sync.Mutex // guards what follows; locked before those of engine.Port and watch.Watcher
	ended   bool
	timer   *time.Timer
	every   time.Duration
	rouse   int   // loops, next time
	accepts int64 // when the timer was set
}

// A queue in which somebody waits is looked at again after leastLookout, and for as long as it makes no progress after twice the
// time, up to a fourth of Server.StuckGrace. Each time twice as many loops are roused as before. Where other processes share the socket, the
// kernel may have woken one of theirs, which leaves without accepting, as that of a predecessor does, or has died: no loop of this process
// hears of the client then (EPOLLEXCLUSIVE), and only the watcher does, whose entry is not exclusive. So it is looked sooner.
const (
	leastLookout       = 20 * time.Millisecond
	leastLookoutShared = 2 * time.Millisecond
)

func newLookout(r *run) *lookout {
	k := &lookout{run: r}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = time.AfterFunc(time.Hour, k.look)
	k.watchLocked()
	return k
}

// watchLocked waits for the next client, who can be taken by somebody else before the watcher says so.
func (k *lookout) watchLocked() {
	k.reset()
	k.timer.Reset(k.run.cfg.stuckGrace)
	k.run.port.Control(func(fd int) {
		if err := k.run.watcher.Add(fd, k, unix.EPOLLIN); err != nil {
			k.timer.Reset(k.most()) // as often as that, then
		}
	})
}

func (k *lookout) reset() {
	k.every, k.rouse = min(leastLookout, k.most()), 2
	if k.run.listener.shared {
		k.every = min(leastLookoutShared, k.most())
	}
}

func (k *lookout) most() time.Duration { return max(k.run.cfg.stuckGrace/4, time.Millisecond) }

// Ready implements watch.Waiter: a client waits.
func (k *lookout) Ready(uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waitLocked()
}

func (k *lookout) waitLocked() {
	if !k.ended {
		k.accepts = k.run.port.Accepts()
		k.timer.Reset(k.every)
	}
}

// look is what the timer does.
func (k *lookout) look() {
	if err := k.lookAfter(); err != nil {
		k.run.cfg.log.Error("a loop cannot accept", "error", err)
	}
}

func (k *lookout) lookAfter() (err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended {
		return nil
	}
	port := k.run.port
	port.Unblock()
	switch {
	case !port.Waits():
		k.watchLocked()
	case port.Accepts() != k.accepts:
		k.reset()
		k.waitLocked()
	default:
		err = port.Rouse(k.rouse)
		k.every, k.rouse = min(2*k.every, k.most()), 2*k.rouse
		if k.every == k.most() {
			k.rouse = len(k.run.loops) // there is no time for more rounds
		}
		k.waitLocked()
	}
	return err
}

// stop is called before the port is given up.
func (k *lookout) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended = true
	k.timer.Stop()
}
