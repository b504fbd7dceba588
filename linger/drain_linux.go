//go:build linux

package linger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"rstserver/internal/latch"
	"rstserver/internal/pace"
)

// ErrShutdownRunning is wrapped by the error of [Listener.Drain] when the server's graceful stop had not returned a second
// after the end. Its goroutine ends when it does.
var ErrShutdownRunning = errors.New("linger: the server's graceful stop has not returned")

// shutdownPatience is how long a Drain waits for the server's graceful stop to return when nothing is left that it could be
// waiting for. A stop that heeds its context takes microseconds; the number is a guess at how long a machine can be busy with
// the ends of all the others.
const shutdownPatience = time.Second

// Drain lets go of the port and has the connections end in order, by the server's own graceful stop: shutdown is
// http.Server.Shutdown, a function that calls grpc.Server.GracefulStop, or the like. The port refuses first, when the clients
// that wait in the queue are accepted (as by Release); then shutdown is called, on a goroutine of its own. Drain returns when
// shutdown has returned and no connection is left, and the kernel has said what is left on the port.
//
// When ctx ends before that, what is left is reset as by Abort: connections in a handler that never returns, those that were
// taken over from the server (hijacked, WebSocket), and all others if shutdown itself does not return. Spread paces that. The
// error wraps that of ctx then, or [context.DeadlineExceeded] if it was a Spread that cut some before; it also wraps what
// shutdown returned, and those of the teardown as Abort returns them. Nil means that every connection ended in order.
//
// shutdown is given a context that ends with ctx, or when an Abort ends the drain. It may be nil, if the connections end
// by themselves. Without a deadline connections that do not come to an end are waited for without limit. A handler must not
// wait for the Drain that waits for it.
//
// A Drain that comes while another is at work waits for the same end, the context that ends first counts, and its shutdown is
// not called.
func (l *Listener) Drain(ctx context.Context, shutdown func(context.Context) error) (Report, error) {
	l.mu.Lock()
	ours := l.state == listenerServing || l.state == listenerReleased
	if ours {
		l.state = listenerDraining
		l.mode, l.began = ModeDrain, time.Now()
	}
	l.mu.Unlock()
	if !ours {
		select {
		case <-l.done:
		case <-ctx.Done():
			l.endDrain(ctx.Err())
		}
		return l.report, l.err
	}
	d := &drain{Listener: l, ctx: ctx}
	err := d.run(shutdown)
	return l.report, errors.Join(l.err, err)
}

// endDrain begins the teardown of a drain unless something else has, and waits for its end.
func (l *Listener) endDrain(because error) {
	l.mu.Lock()
	ours := l.state < listenerClosing
	if ours {
		l.closeLocked()
	}
	l.mu.Unlock()
	if ours {
		l.teardown(because)
	}
	<-l.done
}

// drain is a Drain at work. The goroutine that called it uses it.
type drain struct {
	*Listener
	ctx     context.Context
	stopped chan error // what the server's graceful stop returns; nil before it is called, and when it has returned
	stopErr error
	// called: the server's graceful stop was called.
	called bool
	// unacknowledged: a sweep takes something from a peer that it was sent.
	unacknowledged bool
}

// run goes through the timeline. What it returns comes beside the error of the teardown.
func (d *drain) run(shutdown func(context.Context) error) error {
	left := time.Duration(-1)
	if deadline, ok := d.ctx.Deadline(); ok {
		left = max(deadline.Sub(d.began), 0)
	}
	plan := d.config.Spread.timeline(left)
	since := func() time.Duration { return time.Since(d.began) }

	if left < 0 && plan.end >= 0 {
		var cancel context.CancelFunc
		d.ctx, cancel = context.WithTimeout(d.ctx, plan.end)
		defer cancel()
	}

	_ = d.letGo(d.ctx.Done()) // the teardown returns its error
	over := false
	if plan.idleEnd > 0 {
		over = d.wait(nil, d.pace(plan.idleEnd-since(), d.endIdle))
	}
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	d.stop(ctx, shutdown)
	if !over && d.config.Spread.Window > 0 {
		begin := time.NewTimer(plan.cutBegin - since())
		over = d.wait(begin.C, nil)
		begin.Stop()
		if !over {
			over = d.wait(nil, d.pace(plan.end-since(), d.endNow))
		}
	}
	if !over {
		d.wait(nil, nil)
	}

	d.awaitAcknowledged()
	d.endDrain(d.because())
	cancel()
	return d.awaitStop()
}

// because is why the drain did not end by itself, if it did not.
func (d *drain) because() error {
	if !d.over() || d.unacknowledged {
		return d.ctx.Err() // nil if it was an Abort
	}
	d.pacing.Lock()
	defer d.pacing.Unlock()
	if d.cut.Aborted.Total() > 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// ackInterval is how often the kernel is asked whether peers have acknowledged what they were sent.
const ackInterval = 10 * time.Millisecond

// awaitAcknowledged keeps a sweep that is to come from what is still on its way, for as long as there is time.
func (d *drain) awaitAcknowledged() {
	if d.residue == nil || !d.over() || !d.residue.unacknowledged(d.tcp.Port()) {
		return
	}
	ticker := time.NewTicker(ackInterval)
	defer ticker.Stop()
	d.unacknowledged = true
	for d.unacknowledged {
		select {
		case <-d.ctx.Done():
			return
		case <-d.closing:
			return
		case <-ticker.C:
			d.unacknowledged = d.residue.unacknowledged(d.tcp.Port())
		}
	}
}

// stop calls the server's graceful stop.
func (d *drain) stop(ctx context.Context, shutdown func(context.Context) error) {
	d.called = true
	if shutdown == nil {
		return
	}
	stopped := make(chan error, 1)
	d.stopped = stopped
	go func() {
		defer close(stopped) // if it ends its goroutine, too
		stopped <- shutdown(ctx)
	}()
}

// awaitStop gives the server's graceful stop time to return, and returns what it did.
func (d *drain) awaitStop() error {
	if d.stopped != nil {
		patience := time.NewTimer(shutdownPatience)
		defer patience.Stop()
		select {
		case d.stopErr = <-d.stopped:
		case <-patience.C:
			return ErrShutdownRunning
		}
	}
	// That it was out of time is known.
	if err := d.ctx.Err(); d.stopErr == nil || err != nil && errors.Is(d.stopErr, err) {
		return nil
	}
	return fmt.Errorf("linger: the server's graceful stop: %w", d.stopErr)
}

// over reports whether everything has ended in order.
func (d *drain) over() bool { return d.called && d.stopped == nil && latch.IsClosed(d.empty) }

// wait waits until everything has ended in order, or ctx, or an Abort came, and returns true; or until the given time, or until
// p has had its way, and returns false.
func (d *drain) wait(until <-chan time.Time, p *pacing) bool {
	empty := d.empty
	for !d.over() {
		select {
		case <-d.ctx.Done():
			return true
		case <-d.closing:
			return true
		case <-empty:
			empty = nil
			if !d.called {
				return false
			}
		case d.stopErr = <-d.stopped:
			d.stopped = nil
		case <-until:
			return false
		case <-p.due():
			if !p.step() {
				return false
			}
		}
	}
	return true
}

// pacing is a pace.Pace that has connections and a clock.
type pacing struct {
	entries []*entry // in the order in which they end
	pace    *pace.Pace
	began   time.Time
	timer   *time.Timer
	end     func(*entry)
}

// pace begins a window in which end is called for each connection that exists.
func (l *Listener) pace(window time.Duration, end func(*entry)) *pacing {
	p := &pacing{entries: l.conns.snapshot(), began: time.Now(), end: end}
	rand.Shuffle(len(p.entries), func(i, k int) { p.entries[i], p.entries[k] = p.entries[k], p.entries[i] })
	p.pace = pace.New(len(p.entries), window)
	next, _ := p.pace.Next()
	p.timer = time.NewTimer(next)
	return p
}

// due is when step is to be called. It may be called on a nil pacing.
func (p *pacing) due() <-chan time.Time {
	if p == nil {
		return nil
	}
	return p.timer.C
}

// step ends what is due, and reports whether there will be more.
func (p *pacing) step() bool {
	n := p.pace.Due(time.Since(p.began))
	for _, e := range p.entries[:n] {
		p.end(e)
	}
	p.entries = p.entries[n:]
	next, more := p.pace.Next()
	if more {
		p.timer.Reset(next - time.Since(p.began))
	}
	return more
}

// endNow cuts the connection.
func (l *Listener) endNow(e *entry) { l.endCounted(e, &l.cut) }

// endIdle ends the connection if it is idle.
func (l *Listener) endIdle(e *entry) {
	if info, ok := e.info(); ok && info.RecvQueue+info.SendQueue == 0 && info.Idle() >= l.config.Spread.Idle {
		l.endCounted(e, &l.paced)
	}
}

func (l *Listener) endCounted(e *entry, into *Sweep) {
	l.pacing.Lock()
	defer l.pacing.Unlock()
	if r := newResetter(); e.abort(r) {
		into.count(r.fd, ended{Open, e.cookie}, r.err)
	}
}
