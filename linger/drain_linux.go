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
// that wait in the queue are accepted (as by Release) and what they have sent is begun; then shutdown is called, on a goroutine of
// its own. [ListenConfig] says what else there is on the way, and can give each part a time. Drain returns when shutdown has returned and no
// connection is left, and the kernel has said what is left on the port.
//
// What never ends by itself, as event streams and WebSockets do not, would hold it up until ctx ends, and be reset then. It has to
// be told that it is its turn: with net/http, set
//
//	srv := &http.Server{Handler: mux, ConnContext: linger.ConnContext}
//
// and have the handler of an event stream return when the [Turn] of its request comes,
//
//	select {
//	case event := <-events:
//		fmt.Fprintf(w, "data: %s\n\n", event)
//	case <-linger.Turn(r.Context()).Done():
//		return // browsers come back by themselves, to whoever listens on the port then
//	}
//
// and that of a WebSocket of any library send its close frame, 1001 (going away) or 1012 (service restart),
//
//	stop := context.AfterFunc(linger.Turn(r.Context()), func() { c.Close(websocket.StatusGoingAway, "") })
//	defer stop()
//
// With a Spread they have their turns one after the other. Whoever has the connection asks it itself: see [Conn].
//
// When ctx ends before that, what is left is reset as by Abort: connections in a handler that never returns, those that were
// taken over from the server (hijacked), and all others if shutdown itself does not return. The
// error wraps that of ctx then; it also wraps what shutdown returned, and those of the teardown as Abort returns them. Nil means that
// every connection ended in order, or was idle when it was reset: one that has never carried anything, or whose turn came in a Spread.
//
// shutdown is given a context that ends with ctx, or when an Abort ends the drain. It may be nil, if the connections end
// by themselves. Without a deadline connections that do not come to an end are waited for without limit. A handler must not
// wait for the Drain that waits for it.
//
// A Drain that comes while another is at work waits for the same end, the context that ends first counts, and its shutdown is
// not called.
func (l *Listener) Drain(ctx context.Context, shutdown func(context.Context) error) (Report, error) {
	return l.drainBy(ctx, ModeDrain, shutdown)
}

// HandOver is the Drain of a Listener whose socket a successor accepts from by now (see [rstserver/linger/handover]). There is no Delay,
// since nobody is refused; a LameDuck of zero is [DefaultLameDuck], in which the server says in its answers that they are the last of their
// connections, as the handler of package handover does; and when that is over, idle connections are reset, as in a Spread. The Report and the error are
// those of a Drain.
func (l *Listener) HandOver(ctx context.Context, shutdown func(context.Context) error) (Report, error) {
	return l.drainBy(ctx, ModeHandover, shutdown)
}

// drainBy is Drain and HandOver.
func (l *Listener) drainBy(ctx context.Context, mode Mode, shutdown func(context.Context) error) (Report, error) {
	l.mu.Lock()
	ours := l.state == listenerServing || l.state == listenerReleased
	if ours {
		l.state = listenerDraining
		l.mode, l.began = mode, time.Now()
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
	d := &drain{Listener: l, ctx: ctx, delay: l.config.Delay, lameDuck: l.config.LameDuck}
	if mode == ModeHandover {
		d.delay, d.endsIdle = 0, true
		if d.lameDuck == 0 {
			d.lameDuck = DefaultLameDuck
		}
	}
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
	ctx      context.Context
	delay    time.Duration
	lameDuck time.Duration
	endsIdle bool       // in turns without a time, too
	stopped  chan error // what the server's graceful stop returns; nil before it is called, and when it has returned
	stopErr  error
	// called: the server's graceful stop was called.
	called bool
	// unacknowledged: a sweep takes something from a peer that it was sent.
	unacknowledged bool
}

// run goes through the parts that [ListenConfig] names. What it returns comes beside the error of the teardown.
func (d *drain) run(shutdown func(context.Context) error) error {
	d.letting.Store(true)
	over := d.waitFor(d.delay)
	_ = d.letGo(d.ctx.Done()) // the teardown returns its error
	over = over || d.awaitBegun() || d.waitFor(d.lameDuck) || d.wait(nil, d.pace())
	if d.endsIdle {
		over = over || d.awaitBegun() // what came at the last moment
	}

	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	d.stop(ctx, shutdown)
	if !over {
		d.wait(nil, nil)
	}

	d.awaitAcknowledged()
	var because error
	if !d.over() || d.unacknowledged {
		because = d.ctx.Err() // nil if it was an Abort
	}
	d.endDrain(because)
	cancel()
	return d.awaitStop()
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

// waitFor is wait for so long.
func (d *drain) waitFor(long time.Duration) bool {
	if long <= 0 {
		return false
	}
	timer := time.NewTimer(long)
	defer timer.Stop()
	return d.wait(timer.C, nil)
}

// wait waits until ctx has ended, an Abort came, or, once the server's graceful stop was called, everything has ended in order, and
// returns true; or until the given time, p has had its way, or no connection is left before that call, and returns false.
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
	entries []*entry // in the order in which they have their turn
	pace    *pace.Pace
	began   time.Time
	timer   *time.Timer
	turn    func(*entry)
}

// pace begins the spread, in which each connection that exists has its turn.
func (d *drain) pace() *pacing {
	p := &pacing{entries: d.conns.snapshot(), began: time.Now(), turn: d.takeTurn}
	rand.Shuffle(len(p.entries), func(i, k int) { p.entries[i], p.entries[k] = p.entries[k], p.entries[i] })
	p.pace = pace.New(len(p.entries), d.config.Spread)
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

// step gives those their turn who are due, and reports whether there will be more.
func (p *pacing) step() bool {
	n := p.pace.Due(time.Since(p.began))
	for _, e := range p.entries[:n] {
		p.turn(e)
	}
	p.entries = p.entries[n:]
	next, more := p.pace.Next()
	if more {
		p.timer.Reset(next - time.Since(p.began))
	}
	return more
}

// takeTurn tells whoever has asked for the turn of the connection, or ends it if it is idle.
func (d *drain) takeTurn(e *entry) {
	endsIdle := d.endsIdle || d.config.Spread > 0
	if e.tellTurn() || !e.isSilent() && !(endsIdle && e.isIdle(d.config.Idle)) {
		return
	}
	d.pacing.Lock()
	defer d.pacing.Unlock()
	if r := newResetter(); e.abort(r) {
		d.paced.count(r.fd, ended{Open, e.cookie}, r.err)
	}
}
