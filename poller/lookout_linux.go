//go:build linux

package poller

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// lookout sees to it that no client waits in the accept queue for a loop that is stuck in a handler, while others could take
// it: the kernel wakes one loop for a client, and the loops take turns (see engine.Port). It is idle while nobody connects. Its
// methods may be called from any goroutine.
type lookout struct {
	run *run

	mu      sync.Mutex // guards what follows; locked before those of engine.Port and watcher
	ended   bool
	known   bool // the watcher knows the listening socket
	timer   *time.Timer
	every   time.Duration
	rouse   int   // loops, next time
	accepts int64 // when the timer was set
	calm    bool  // the queue was empty when it was last looked at
}

// A queue in which somebody waits is looked at again after leastLookout, and for as long as it makes no progress after twice the
// time, up to a fourth of Server.StuckGrace. Each time twice as many loops are roused as before.
const leastLookout = 20 * time.Millisecond

func newLookout(r *run) *lookout {
	k := &lookout{run: r}
	k.timer = time.AfterFunc(time.Hour, k.look)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.watchLocked()
	return k
}

// watchLocked waits for the next client.
func (k *lookout) watchLocked() {
	k.reset()
	k.run.port.Control(func(fd int) {
		if err := k.run.watcher.add(fd, &k.known, k, unix.EPOLLIN); err != nil {
			k.timer.Reset(k.most()) // as often as that, then
		}
	})
}

func (k *lookout) reset() { k.every, k.rouse = min(leastLookout, k.most()), 2 }

func (k *lookout) most() time.Duration { return max(k.run.cfg.stuckGrace/4, time.Millisecond) }

// ready implements waiter: a client waits.
func (k *lookout) ready(uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waitLocked()
}

func (k *lookout) waitLocked() {
	if !k.ended {
		k.calm = false
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
		if !k.calm { // once more, for a loop that is late, and only now gets to an accept that finds nothing
			k.calm = true
			k.timer.Reset(k.most())
		}
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
