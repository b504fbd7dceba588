//go:build linux

package poller

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"rstserver/internal/latch"
	"rstserver/internal/tcpsock"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
	"rstserver/poller/internal/engine"
)

// Close lets go of the port at once: it refuses new connections, resets every one that exists, and asks the kernel what
// is left; see [Server.Report]. It returns when the teardown is complete. It may be called from any goroutine, repeatedly
// and concurrently: all calls return when the one teardown is complete, with its error. During a Shutdown or after a Release
// it ends what they have left. A Server that does not serve yet will not: Serve then returns ErrServerClosed.
//
// Close waits for loops, but not for handlers. Those of Handler find their contexts cancelled and their reads and writes
// failing; the Report counts those that have not returned. A call by a Handler itself, on its own goroutine, first completes
// the answer as it stands, so that the client gets it. A LoopHandler has to say `go srv.Close()`. The connections of a loop
// that a LoopHandler has blocked for Server.StuckGrace are reset from outside, and the error names the loop, which ends when
// the handler returns.
func (s *Server) Close() error {
	s.sayLastWords()
	s.mu.Lock()
	done := s.doneLocked(true)
	switch s.state.Load() {
	case stateServing, stateReleased, stateDraining:
		s.teardownLocked(linger.ModeAbort)
	}
	s.mu.Unlock()
	<-done
	return s.closeErr
}

// Report says what the teardown did, once it is complete; before that, what is served. Any goroutine may call it.
func (s *Server) Report() linger.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	rep := s.report
	if s.run == nil || s.state.Load() == stateClosed {
		return rep
	}
	rep.Mode, rep.Started = s.mode, s.began
	rep.Connections = s.run.table.Live()
	rep.Connections[linger.Hijacked] = s.run.hijacked.Len()
	rep.Connections[linger.HTTP2] = s.run.h2.conns.Len()
	rep.Streams = int(s.run.h2.streams.Load())
	rep.HandlersRunning = s.run.pool.handlers()
	rep.Memory = s.run.memory.report()
	rep.Closed = int(s.run.closedInOrder.Load())
	if s.mode != linger.ModeNone && latch.IsClosed(s.run.refused) {
		rep.Steps.Refused = max(s.run.refusedAt.Sub(s.began), 1)
	}
	return rep
}

// teardown runs once, on a goroutine of its own, so that nobody who calls Close is part of it.
// cut is ModeAbort where that cuts a drain short.
func (s *Server) teardown(mode, cut linger.Mode, began time.Time) {
	r := s.run
	rep := linger.Report{Mode: mode, Address: r.listener.addr.String(), Started: began}
	var errs []error
	if mode != linger.ModeAbort {
		rep.Steps.Drained = time.Since(began)
	}

	errs = append(errs, r.refuse())
	// After a Release that came before, the port was given up before this began.
	rep.Steps.Refused = max(r.refusedAt.Sub(began), 1)

	rep.Streams = int(r.h2.streams.Load())
	sweep, errsOutside := r.abortAll(&rep)
	errs = append(errs, errsOutside...)
	rep.Steps.PortFree = r.freeSince(rep.Started)
	exits := r.exits
	if !exits {
		close(r.aborted)
	}
	// The handlers of a stuck loop have to be told by others, too, and those that have hijacked their connections, which no loop has.
	r.tellHandlers()
	switch {
	case !mode.Drains():
	case cut == linger.ModeAbort:
		rep.ByAbort = sweep.Aborted
	default:
		rep.AtDeadline = sweep.Aborted
	}
	for _, l := range r.loops {
		if !l.stuck {
			sweep.Add(l.drained)
		}
	}
	sweep.Add(r.h2.drained())

	r.awaitShed()
	// The loops close the descriptors meanwhile, unless that has been done.
	if rep.Swept = r.destroyResidue(sweep.Cookies); rep.Swept != nil {
		rep.Steps.PortFree = time.Since(rep.Started)
	}
	r.awaitFINs()
	ending := r.listener.ending()
	ending.Connections, ending.Others = sweep.Cookies, r.claim.End()
	left, err := linger.Verify(ending)
	if err != nil || left.Outlived.Total() > 0 {
		// What the kernel refused to reset in place goes with its descriptor.
		if exits {
			exits = false
			close(r.aborted)
		}
		_ = r.waitLoops()
		left, err = linger.Verify(ending)
	}
	rep.Steps.Verified = time.Since(rep.Started)
	if err != nil {
		rep.Unverified = strings.ReplaceAll(err.Error(), "\n", "; ")
		errs = append(errs, fmt.Errorf("poller: verifying the teardown: %w", err))
	}
	rep.Left = left
	if n := r.queuedStill; n != tcpsock.LongQueue && !left.ListenerHeld {
		rep.Queued = n
	}
	errs = append(errs, left.Failure(sweep.Err))

	var hanging []*loop
	if !exits {
		hanging = r.waitLoops()
	}
	for _, l := range hanging {
		l.stuck = true
		errs = append(errs, fmt.Errorf("poller: event loop %d has reset its connections, but was stuck for more than %s in a "+
			"connection hook or in the Close of an answer's content", l.index, r.cfg.stuckGrace))
	}
	r.tellHandlers()
	r.pool.stop()
	r.handshakes.stop()
	r.admission.stop()
	r.watcher.Close()
	late := r.hijacked.Late()
	late.Add(r.h2.conns.Late())
	sweep.Add(late)
	rep.HandlersRunning = r.pool.handlers()
	var still []*loop
	for _, l := range r.loops {
		if l.stuck && !latch.IsClosed(l.ended) {
			still = append(still, l)
		}
	}
	rep.HandlersRunning += len(still)
	closePort := func() {
		for _, l := range still { // which need it when they end
			<-l.ended
		}
		r.port.Close()
	}
	if len(still) == 0 {
		closePort()
	} else {
		go closePort()
	}
	rep.Connections, rep.Refused = sweep.Aborted, sweep.Refused
	rep.Memory = r.memory.report()
	rep.Closed = int(r.closedInOrder.Load())
	rep.Undelivered = int(r.unsent.Load())
	rep.Steps.Done = time.Since(rep.Started)

	s.mu.Lock()
	s.report, s.closeErr = rep, errors.Join(errs...)
	s.state.Store(stateClosed)
	close(s.done)
	s.mu.Unlock()
}

// partPatience is how long is waited for clients to acknowledge a FIN behind all that they were sent: no kernel holds that back for longer.
const partPatience = 250 * time.Millisecond

// awaitFINs waits until the kernel has let go of connections that have ended with FIN.
func (r *run) awaitFINs() {
	if !r.parted.Load() {
		return
	}
	for began := time.Now(); time.Since(began) < partPatience; time.Sleep(2 * time.Millisecond) {
		counts, _, err := sockdiag.Count(r.listener.addr.Port())
		if err != nil || counts[sockdiag.FinWait1] == 0 {
			return
		}
	}
}

// refuse gives up the port, once.
func (r *run) refuse() error {
	r.refusing.Lock()
	defer r.refusing.Unlock()
	if latch.IsClosed(r.refused) {
		return r.refusal
	}
	r.noteResidue()
	r.lookout.stop()
	if err := r.port.GiveUp(func(fd int) {
		r.watcher.Forget(fd)
		r.queuedStill = tcpsock.QueueLength(fd)
	}); err != nil {
		r.refusal = fmt.Errorf("poller: giving up the port: %w", err)
	}
	r.refusedAt = time.Now()
	close(r.refused)
	return r.refusal
}

// tellHandlers ends the time of handlers whose loops are stuck, and the contexts of those that have hijacked their connections.
func (r *run) tellHandlers() {
	for _, x := range append(r.pool.busy(), r.handshakes.busy()...) {
		if x.now() == hijacked {
			x.end(ErrServerClosed)
		} else if x.loop.stuck {
			x.revoke(ErrServerClosed)
		}
	}
}

// abortAll tells every loop to reset its own connections, which is the fastest: a goroutine beside them would compete for the
// processors with the loops that wake up for each hang-up. Loops that do not get to it within the grace are helped out.
func (r *run) abortAll(rep *linger.Report) (sweep linger.Sweep, errs []error) {
	for _, l := range r.loops {
		l.post(l.abortOwn)
	}
	close(r.sweeps)
	sweep = r.hijacked.AbortAll(linger.Hijacked)
	sweep.Add(r.h2.abortAll())
	grace := time.NewTimer(r.cfg.stuckGrace)
	defer grace.Stop()
	expired := make(chan struct{})
	for _, l := range r.loops {
		select {
		case <-l.swept:
		case <-l.ended:
		case <-grace.C:
			close(expired) // for the other loops too
		case <-expired:
		}
		if !latch.IsClosed(l.swept) && !latch.IsClosed(l.ended) && r.stillListens() {
			// It is not a handler that it is stuck in, but accept.
			r.port.Knock(func() bool {
				time.Sleep(queueInterval)
				return l.sweeping.Load()
			})
		}
		own, done := l.ownSweep()
		sweep.Add(own)
		if done {
			continue
		}
		if !l.sweeping.Load() {
			r.table.SetActivity(int(l.handling.Load()), linger.Handling)
		}
		helped := r.table.HelpAbort(l.index)
		sweep.Add(helped)
		// Each connection was counted by one of the two. A loop that begins later finds none.
		if l.sweeping.Load() {
			<-l.swept // it has many, or has come to itself after all
			sweep.Add(l.sweep)
			continue
		}
		if own, done := l.ownSweep(); done {
			sweep.Add(own)
			continue
		}
		l.stuck = true
		if !latch.IsClosed(r.stuck) {
			close(r.stuck)
		}
		n := helped.Aborted.Total()
		rep.AbortedOutside += n
		errs = append(errs, fmt.Errorf("poller: event loop %d was stuck in a handler for more than %s; its %d connections "+
			"were aborted from outside", l.index, r.cfg.stuckGrace, n))
	}
	return sweep, errs
}

// stillListens reports whether the listening socket is still there, although it was given up.
func (r *run) stillListens() bool {
	listens := false
	_, _ = sockdiag.Each(r.listener.addr.Port(), func(s *sockdiag.Socket) bool {
		listens = s.State == sockdiag.Listen && s.Inode == r.listener.inode
		return !listens
	})
	return listens
}

// ownSweep is what the loop has aborted itself, and whether it is done with that.
func (l *loop) ownSweep() (linger.Sweep, bool) {
	ended := latch.IsClosed(l.ended) // before swept, which comes first
	switch {
	case latch.IsClosed(l.swept):
		return l.sweep, true
	case ended:
		// Its engine ended by itself, and aborted what it had, or had none.
		return l.late, true
	}
	return linger.Sweep{}, false
}

// closerPatience is how long a loop leaves it to others to close first.
const closerPatience = 100 * time.Millisecond

// abortOwn is the loop's part of the teardown: it runs on the loop, and ends its engine, which closes the descriptors. A loop
// that is done with its own connections helps those that are not, and closes nothing before all are: that would take the
// processors from the loops that still have connections to reset.
func (l *loop) abortOwn() {
	r := l.run
	l.sweeping.Store(true)
	giveBack := r.processors.Take()
	if r.exits {
		_ = l.engine.PollNothing() // without that all is as well, and slower
	}
	l.sweep = r.table.AbortOwned(l.index)
	for _, other := range r.loops {
		if other != l && other.sweeping.Load() && !latch.IsClosed(other.swept) {
			l.sweep.Add(r.table.HelpAbort(other.index))
		}
	}
	l.sweep.Add(l.late)
	l.sweptAt = time.Now()
	close(l.swept)
	if r.exits {
		l.shed()
	}
	giveBack()
	<-r.aborted
	if r.exits {
		l.engine.Forget(func(s engine.Session) bool {
			c := s.(*conn)
			return c.state != opening && c.state != hijacked && !r.table.Has(c.sock.FD)
		})
	}
	select {
	case r.closers <- struct{}{}:
		l.isCloser = true
	case <-time.After(min(closerPatience, r.cfg.stuckGrace/2)):
		// Those before have a great many, or are stuck in a hook.
	}
	l.engine.End()
}

// freeSince is how long after began all connections were reset. Loops say when they had reset theirs, as nobody else may have had a processor then.
func (r *run) freeSince(began time.Time) time.Duration {
	var last time.Time
	for _, l := range r.loops {
		if l.stuck || !latch.IsClosed(l.swept) {
			return time.Since(began)
		}
		if l.sweptAt.After(last) {
			last = l.sweptAt
		}
	}
	return max(last.Sub(began), 1)
}

// shed closes, together with the other loops, the descriptors of connections that were reset and that loops alone have to do with. It takes all
// processors, as clients that have been told would else take them, and the process is not gone before its descriptors are. It closes none if
// a loop is stuck.
func (l *loop) shed() {
	defer close(l.hasShed)
	r := l.run
	for _, other := range r.loops {
		select {
		case <-other.swept:
		case <-other.ended:
		case <-r.stuck:
			return
		}
	}
	for from, to := range r.closes.Of(r.table.Len()) {
		r.table.CloseAborted(from, to, func(a linger.Activity) bool {
			switch a {
			case linger.New, linger.Receiving, linger.Sending, linger.Closing, linger.Idle:
				return true
			}
			return false // there may be a worker that uses it
		})
	}
}

// awaitShed waits until the loops are done with that.
func (r *run) awaitShed() {
	if !r.exits {
		return
	}
	for _, l := range r.loops {
		if l.stuck {
			continue
		}
		select {
		case <-l.hasShed:
		case <-l.ended:
		}
	}
}

// waitLoops waits until all loops but the stuck ones have ended, and returns those that make no progress with it for the
// grace.
func (r *run) waitLoops() (hanging []*loop) {
	for _, l := range r.loops {
		if l.stuck {
			continue
		}
		for closed := int64(-1); ; {
			select {
			case <-l.ended:
			case <-time.After(r.cfg.stuckGrace):
				if now := r.closed.Load(); now != closed {
					closed = now
					continue
				}
				hanging = append(hanging, l)
			}
			break
		}
	}
	return hanging
}
