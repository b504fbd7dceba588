package poller

import (
	"sync"
	"time"
)

// deadline is a point in time that a handler has set for its reads or writes, by http.ResponseController. The zero value is
// none. It may be used by any goroutine.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	done  chan struct{} // closed when it has passed; nil: there is none
}

// set replaces the deadline; the zero time means none. Who waits for the old one goes by it.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() && d.done != nil {
		<-d.done // its function runs, or has
	}
	d.timer = nil
	if t.IsZero() {
		d.done = nil
		return
	}
	done := make(chan struct{})
	d.done = done
	if left := time.Until(t); left > 0 {
		d.timer = time.AfterFunc(left, func() { close(done) })
	} else {
		close(done)
	}
}

// wait returns a channel that is closed when the deadline has passed; nil if there is none.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.done
}

func (d *deadline) passed() bool {
	c := d.wait()
	return c != nil && isClosed(c)
}

// stop releases the timer.
func (d *deadline) stop() { d.set(time.Time{}) }
