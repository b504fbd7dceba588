//go:build linux

package poller

import (
	"context"
	"errors"
	"time"

	"rstserver/internal/tcpsock"
	"rstserver/linger"
)

// Shutdown drains. A Handler that writes for as long as its client is there, as one of an event stream does, is waited for, and learns by
// [linger.Turn] that it is to come to its end:
//
//	select {
//	case event := <-events:
//		fmt.Fprintf(w, "data: %s\n\n", event)
//	case <-linger.Turn(r.Context()).Done():
//		return
//	}
//
// Streams and WebSockets of the packages sse and websocket are told by themselves.
//
// Shutdown gives up the port, lets clients that have sent a request have their answers, with "Connection: close",
// and resets idle connections. Clients that wait in the accept queue are taken in first,
// beyond Server.MaxConns too, as far as there are descriptors. Server.Delay, Queue, LameDuck and Spread say how long each part of that
// takes. It returns when the teardown is complete; see [Server.Report].
//
// When ctx ends before that, what is left is reset as by Close, and the result is ctx's error, or wraps it beside those of the
// teardown. Without that a connection that does not come to an end, such as a hijacked one, is waited for without limit; see
// RegisterOnShutdown. Handlers that go on without their connection are not waited for.
//
// It may be called from any goroutine, repeatedly and concurrently: the context that ends first counts. A call by a Handler
// itself, on its own goroutine, completes the answer as it stands, since Shutdown waits for it. A Server that does not serve
// yet will not.
func (s *Server) Shutdown(ctx context.Context) error { return s.drain(ctx, linger.ModeDrain) }

// HandOver is the Shutdown of a Server whose listening socket a successor accepts from by now (see [rstserver/linger/handover]). There
// is no Delay, since nobody is refused, and a LameDuck of zero is [DefaultLameDuck]: for that time idle connections are kept, each for one
// request and an answer that says "Connection: close", after which its client comes to the successor. Its errors are those of Shutdown.
func (s *Server) HandOver(ctx context.Context) error { return s.drain(ctx, linger.ModeHandover) }

// drain is Shutdown and HandOver.
func (s *Server) drain(ctx context.Context, mode linger.Mode) error {
	s.mu.Lock()
	done := s.doneLocked(true)
	switch s.state.Load() {
	case stateServing, stateReleased:
		s.drainLocked(mode)
	}
	s.mu.Unlock()
	if x, o := s.completeCaller(ctx); x != nil && ctx.Err() == nil {
		x.giveBack(o)
	}
	select {
	case <-done:
		return s.closeErr
	case <-ctx.Done():
	}
	s.mu.Lock()
	if s.state.Load() < stateClosing {
		s.teardownLocked(mode)
	}
	s.mu.Unlock()
	<-done
	if s.closeErr == nil {
		return ctx.Err()
	}
	return errors.Join(ctx.Err(), s.closeErr)
}

// Release gives up the port and keeps the connections that exist: they are served as before until they end, each by itself,
// and then Serve returns. Clients that wait in the accept queue are taken in first, as by Shutdown. A successor can listen on the
// port as soon as Release has returned; it needs SO_REUSEADDR while connections are left, which Go's and this package's listeners have.
//
// It may be called from any goroutine and by handlers, repeatedly and concurrently, and followed by Shutdown or Close. While
// one of these is under way, or over, Release only waits until the port has been given up. A Server that does not serve yet
// will not. The error says that a loop could not let go of the listener, or who holds the listening socket all the same, so that the
// port is not given up (see Server.Shared).
func (s *Server) Release() error {
	s.mu.Lock()
	s.doneLocked(true)
	if s.state.Load() == stateServing {
		s.mode, s.began = linger.ModeRelease, time.Now()
		s.state.Store(stateReleased)
		go s.letGo(0)
	}
	r := s.run
	s.mu.Unlock()
	if r == nil {
		return nil
	}
	<-r.refused
	return errors.Join(r.refusal, linger.CheckGivenUp(r.listener.ending()))
}

// drainLocked begins the drain of a server that serves or has released its port.
func (s *Server) drainLocked(mode linger.Mode) {
	released := s.state.Load() == stateReleased
	s.run.handsOver.Store(mode == linger.ModeHandover)
	s.state.Store(stateDraining)
	s.mode, s.began = mode, time.Now()
	delay, lameDuck := s.run.cfg.delay, s.run.cfg.lameDuck
	if mode == linger.ModeHandover {
		delay, lameDuck = 0, or(lameDuck, DefaultLameDuck)
	}
	for _, f := range s.onShutdown {
		go f()
	}
	if !released {
		go s.letGo(delay)
	}
	go s.run.drain(lameDuck)
}

// letGo gives up the port, after the delay, and begins the teardown when no connection is left. It ends at the latest when the teardown
// begins.
func (s *Server) letGo(delay time.Duration) {
	r := s.run
	if !r.pause(delay) {
		return
	}
	r.acceptQueue()
	r.refuse()
	r.settleLoops()
	close(r.settled)
	for r.live.Load() > 0 {
		select {
		case <-r.noneLeft:
		case <-r.closingC:
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Load() < stateClosing {
		s.teardownLocked(s.mode)
	}
}

// teardownLocked begins the teardown. One that cuts a drain short is that drain's end.
func (s *Server) teardownLocked(mode linger.Mode) {
	s.state.Store(stateClosing)
	if s.mode != mode && !s.mode.Drains() {
		s.mode, s.began = mode, time.Now()
	}
	// A successor may be lost, and the process go on.
	s.run.exits = s.ExitAfterClose && s.mode != linger.ModeHandover
	close(s.run.closingC)
	go s.teardown(s.mode, mode, s.began)
}

// The accept queue is looked at every queueInterval. If it makes no progress for queuePatience, since descriptors have run out,
// or for Server.StuckGrace, since the loops are stuck, whoever is left in it is reset.
const (
	queueInterval = 200 * time.Microsecond
	queuePatience = 100 * time.Millisecond
)

// acceptQueue tells the loops to accept whoever waits by now, MaxConns or not: under a storm of clients the queue is never empty.
func (r *run) acceptQueue() {
	// The length first: who is accepted in between is counted twice otherwise.
	waiting := 0
	r.port.Control(func(fd int) { waiting = tcpsock.QueueLength(fd) })
	from := r.port.Accepts()
	enough := from + int64(waiting+len(r.loops)) // each loop may have taken one that it has not counted yet
	r.admission.lift()
	ticker := time.NewTicker(queueInterval)
	defer ticker.Stop()
	progress, at, roused := from, time.Now(), time.Now()
	for r.port.Waits() {
		accepts := r.port.Accepts()
		switch {
		case accepts >= enough:
			return
		case accepts > progress:
			progress, at, roused = accepts, time.Now(), time.Now()
		case time.Since(at) > r.cfg.stuckGrace, time.Since(at) > queuePatience && r.admission.short.Load():
			return
		case time.Since(roused) > leastLookout:
			_ = r.port.Rouse(len(r.loops)) // the loop that is to accept may be stuck
			roused = time.Now()
		}
		select {
		case <-ticker.C:
		case <-r.closingC:
			return
		}
	}
}

// settleLoops waits until each loop has dealt with what it accepted before the listener was taken away: such a connection is
// counted by then.
func (r *run) settleLoops() {
	r.onLoops(func(_ *loop, done chan<- struct{}) { close(done) })
}

// endIdle tells each loop to end what is idle, and all to wait for each other before they turn to what is left: if that is
// nothing, the teardown begins, and they need not close what they have reset one by one.
func (r *run) endIdle() {
	r.ending.Store(true)
	for _, x := range r.pool.busy() {
		x.lookAgain()
	}
	goesOn := make(chan struct{})
	r.onLoops(func(l *loop, done chan<- struct{}) {
		l.drainOwn()
		close(done)
		select {
		case <-goesOn:
		case <-r.sweeps: // which is the loop's next task
		case <-time.After(min(closerPatience, r.cfg.stuckGrace/2)): // another loop is stuck
		}
		l.closeSome()
	})
	if r.live.Load() > 0 {
		close(goesOn)
	}
}

// onLoops gives each loop f to do, and waits until all are done or have ended, or the teardown begins.
func (r *run) onLoops(f func(l *loop, done chan<- struct{})) {
	var all []chan struct{}
	for _, l := range r.loops {
		done := make(chan struct{})
		all = append(all, done)
		if !l.post(func() { f(l, done) }) {
			close(done) // it runs no engine, so it has no connection and will have none
		}
	}
	for i, l := range r.loops {
		select {
		case <-all[i]:
		case <-l.ended:
		case <-r.closingC:
			return
		}
	}
}

// drain goes through the parts of a drain that come when the port was given up. It ends at the latest when the teardown begins.
func (r *run) drain(lameDuck time.Duration) {
	select {
	case <-r.settled:
	case <-r.closingC:
		return
	}
	for deadline := time.Now().Add(r.cfg.queue); r.arriving() && time.Now().Before(deadline); {
		if !r.pause(arrivingInterval) {
			return
		}
	}
	r.h2.goAway()
	if !r.pause(lameDuck) {
		return
	}
	r.h2.endIdle(r.cfg.spread)
	go r.hijacked.TellTurns(r.cfg.spread, r.closingC)
	go r.turns.tell(r.cfg.spread, r.closingC)
	r.endIdle()
}

// arrivingInterval is how often is looked for clients that have connected and sent nothing yet.
const arrivingInterval = 2 * time.Millisecond

// arriving reports whether such clients have come of late. Nobody knows what a loop has that a handler blocks.
func (r *run) arriving() bool {
	arriving := make(chan bool, len(r.loops))
	asked := 0
	for _, l := range r.loops {
		if l.post(func() { arriving <- l.arriving() }) {
			asked++
		}
	}
	patience := time.NewTimer(r.cfg.queue)
	defer patience.Stop()
	for range asked {
		select {
		case yes := <-arriving:
			if yes {
				return true
			}
		case <-patience.C:
			return false
		case <-r.closingC:
			return false
		}
	}
	return false
}

// pause waits, and reports whether the teardown has not begun.
func (r *run) pause(long time.Duration) bool {
	if long <= 0 {
		return !r.closing()
	}
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.closingC:
		return false
	}
}

// ended counts a connection off that has ended as how says.
func (r *run) ended(c *counts, how End, aborted bool) {
	c.ended[how].Add(1)
	if r.lettingGo() && !aborted {
		r.closedInOrder.Add(1)
	}
	if r.live.Add(-1) == 0 {
		select {
		case r.noneLeft <- struct{}{}:
		default:
		}
	}
}
