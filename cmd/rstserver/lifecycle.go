package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"

	"rstserver/internal/latch"
	"rstserver/linger"
	"rstserver/poller"
)

// life is one server from its start to its exit code, and all that decides about it.
type life struct {
	serve    func() error // as Server.Serve, as are the next four
	release  func() error
	shutdown func(context.Context) error
	close    func() error
	report   func() linger.Report
	handOver func(context.Context) error // as Server.HandOver

	succession *succession     // nil where there can be no successor; the next two too
	exit, lost <-chan struct{} // as Handover.Exit and Lost, from the start of this server on

	drainTimeout time.Duration // 0: none
	termDrains   bool          // SIGTERM and SIGINT drain first
	signals      <-chan os.Signal
	orders       <-chan order    // nil: none
	over         <-chan struct{} // closed at the end of the countdown
	log          *slog.Logger
	print        func(linger.Report)
}

// succession is what a process hands over by.
type succession struct {
	start  func() error // starts a successor, as Handover.HandOver
	close  func() error // as Handover.Close
	notify func(state string)
	again  func(before *life) (*life, error) // has another server serve, as the successor is lost, while the one before comes to its end
}

// run serves until signals or the countdown have ended it; see phase.
func (l *life) run() error {
	served := make(chan error, 1)
	go func() { served <- l.serve() }()
	over := l.over
	now := serving
	calls := make(chan call, exiting) // those that have returned; each phase makes one at the most
	open := 0                         // those that have not been taken from it
	begin := func(p phase, why string) {
		now = p
		l.logBegin(p, why)
		open++
		go func() { calls <- call{p, l.enter(p)} }()
	}
	var errs []error
	end := func(err error) error {
		// What has called for the end has returned, or is about to.
		for rep := l.report(); open > 0 && errors.Is(err, poller.ErrServerClosed) && rep.Mode != linger.ModeNone; open-- {
			errs = append(errs, l.logEnd(<-calls))
		}
		return l.end(err, errs)
	}
	exit := l.exit
	var lost <-chan struct{} // not looked at before exit, since both can come at once
	successors := make(chan error, 1)
	starting := false      // a successor
	var handing chan error // who waits for it, beside the log
	startSuccessor := func(why string) {
		l.log.Info("starting a successor", "reason", why)
		starting = true
		go func() { successors <- l.succession.start() }()
	}
	for {
		select {
		case o := <-l.orders:
			if o.sig == syscall.SIGUSR2 {
				if l.succession == nil || now != serving || starting {
					o.answer <- fmt.Errorf("it has no effect during %s", doing(now, starting))
					continue
				}
				handing = o.answer
				startSuccessor(o.why)
				continue
			}
			next := now.after(o.sig, false)
			if next == now || next == exiting {
				o.answer <- fmt.Errorf("it has no effect during %s", doing(now, starting))
				continue
			}
			begin(next, o.why)
			o.answer <- nil
		case sig := <-l.signals:
			if sig == syscall.SIGUSR2 && l.succession != nil && now == serving && !starting {
				startSuccessor(signalName(sig))
				continue
			}
			switch next := now.after(sig, l.termDrains); {
			case next == exiting && len(served) == 0: // what is complete needs no haste
				return fmt.Errorf("%s during the teardown: exiting at once", signalName(sig))
			case next == exiting:
			case next == now:
				l.log.Info("signal without effect", "signal", signalName(sig), "during", doing(now, starting))
			default:
				begin(next, signalName(sig))
			}
		case <-over:
			over = nil
			if now < aborting {
				begin(aborting, "countdown")
			}
		case err := <-successors:
			starting = false
			if handing != nil {
				handing <- err
				handing = nil
			}
			if err != nil {
				l.log.Error("there is no successor, and this process goes on", "error", err)
			}
		case <-exit:
			exit = nil
			if now < leaving {
				begin(leaving, "successor")
				lost = l.lost
			}
		case <-lost:
			lost = nil
			if now == leaving {
				return l.serveAgain(func() error { return end(<-served) })
			}
		case c := <-calls:
			open--
			errs = append(errs, l.logEnd(c))
		case err := <-served:
			if now == leaving && latch.IsClosed(l.lost) { // both have come at once
				return l.serveAgain(func() error { return end(err) })
			}
			return end(err)
		}
	}
}

// serveAgain is what follows the loss of a successor. rest is the end of this life, which it waits for.
func (l *life) serveAgain(rest func() error) error {
	l.log.Warn("the successor has died: serving again")
	left := make(chan error, 1)
	go func() { left <- rest() }()
	return l.goOn(left)
}

// goOn serves again while what is left of this life comes to its end, of which rest tells, and as often as a successor dies.
func (l *life) goOn(rest <-chan error) error {
	next, err := l.succession.again(l)
	if err != nil {
		return errors.Join(<-rest, err)
	}
	err = next.run()
	for {
		var lost <-chan struct{}
		if latch.IsClosed(next.exit) {
			lost = next.lost
		}
		select {
		case left := <-rest:
			return errors.Join(left, err)
		case sig := <-l.signals:
			if draining.after(sig, l.termDrains) == draining {
				l.log.Info("signal without effect", "signal", signalName(sig), "during", leaving)
				continue
			}
			l.log.Info("what is left is aborted", "reason", signalName(sig))
			err = errors.Join(err, l.enter(aborting))
		case o := <-l.orders:
			if o.sig != syscall.SIGTERM {
				o.answer <- fmt.Errorf("it has no effect during %s", leaving)
				continue
			}
			l.log.Info("what is left is aborted", "reason", o.why)
			o.answer <- nil
			err = errors.Join(err, l.enter(aborting))
		case <-lost:
			l.log.Warn("the successor has died: serving again")
			again, failed := l.succession.again(next)
			if failed != nil {
				return errors.Join(<-rest, err, failed)
			}
			next = again
			err = errors.Join(err, next.run())
		}
	}
}

// end prints the report, and returns what the server's end has come to. served is what Serve has returned, errs are failures of the
// teardown.
func (l *life) end(served error, errs []error) error {
	rep := l.report()
	if rep.Mode != linger.ModeNone { // otherwise it had not begun to serve
		l.print(rep)
	}
	switch {
	case errors.Is(served, poller.ErrServerClosed) && rep.Mode != linger.ModeNone:
		return outcome(rep, errors.Join(errs...), l.log)
	case errors.Is(served, poller.ErrServerClosed):
		return nil
	}
	return served // the server gave up by itself
}

// doing is what a process does that something has no effect on.
func doing(now phase, starting bool) string {
	if starting {
		return "the start of a successor"
	}
	return now.String()
}

// call is what the method that a phase began with has returned.
type call struct {
	phase phase
	err   error
}

// enter begins a phase of the server.
func (l *life) enter(p phase) error {
	if l.succession != nil && p != leaving {
		if p != releasing && !latch.IsClosed(l.exit) { // or the unit is a successor's
			l.succession.notify("STOPPING=1")
		}
		_ = l.succession.close() // from here on the port is the server's alone, or a successor's
	}
	switch p {
	case releasing:
		return l.release()
	case leaving, draining:
		ctx := context.Background()
		if l.drainTimeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, l.drainTimeout)
			defer cancel()
		}
		if p == leaving {
			return l.handOver(ctx)
		}
		return l.shutdown(ctx)
	default:
		return l.close()
	}
}

func (l *life) logBegin(p phase, why string) {
	switch p {
	case releasing:
		l.log.Info("releasing the port", "reason", why)
	case leaving:
		l.log.Info("handed over: a successor serves, and this process ends with its last connection", "timeout", orUnlimited(l.drainTimeout))
	case draining:
		l.log.Info("draining", "reason", why, "timeout", orUnlimited(l.drainTimeout))
	default:
		l.log.Info("aborting", "reason", why)
	}
}

// logEnd returns what is a failure of the teardown, and logs what is not.
func (l *life) logEnd(c call) error {
	switch {
	case c.phase == releasing && c.err == nil:
		l.log.Info("released: others can listen on the port, with SO_REUSEADDR while connections are left, and this process ends with its last one")
	case c.phase == releasing:
		// The process lives on, so it is said now.
		l.log.Error("the port was not released in order", "error", c.err)
	case (c.phase == leaving || c.phase == draining) && errors.Is(c.err, context.DeadlineExceeded):
		l.log.Warn("the drain reached its timeout: what was left has been aborted", "timeout", l.drainTimeout)
		if c.err != context.DeadlineExceeded {
			return c.err // there is more to it
		}
	default:
		return c.err
	}
	return nil
}

// orUnlimited is how a timeout is logged.
func orUnlimited(d time.Duration) any {
	if d == 0 {
		return "none"
	}
	return d
}

// outcome is what the exit code follows: whether all that the server held is gone, and verified to be.
func outcome(rep linger.Report, err error, log *slog.Logger) error {
	if !rep.Complete() {
		return errors.Join(errors.New("the teardown is not complete"), err)
	}
	if err != nil {
		log.Error("the teardown met with errors", "error", err)
	}
	return nil
}
