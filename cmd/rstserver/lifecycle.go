package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

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

	drainTimeout time.Duration // 0: none
	termDrains   bool          // SIGTERM and SIGINT drain first
	signals      <-chan os.Signal
	over         <-chan struct{} // closed at the end of the countdown
	log          *slog.Logger
	print        func(linger.Report)
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
	for {
		select {
		case sig := <-l.signals:
			switch next := now.after(sig, l.termDrains); {
			case next == exiting && len(served) == 0: // what is complete needs no haste
				return fmt.Errorf("%s during the teardown: exiting at once", signalName(sig))
			case next == exiting:
			case next == now:
				l.log.Info("signal without effect", "signal", signalName(sig), "during", now.String())
			default:
				begin(next, signalName(sig))
			}
		case <-over:
			over = nil
			if now < aborting {
				begin(aborting, "countdown")
			}
		case c := <-calls:
			open--
			errs = append(errs, l.logEnd(c))
		case err := <-served:
			rep := l.report()
			ended := errors.Is(err, poller.ErrServerClosed) && rep.Mode != linger.ModeNone
			for ; ended && open > 0; open-- {
				errs = append(errs, l.logEnd(<-calls))
			}
			if rep.Mode != linger.ModeNone { // otherwise it had not begun to serve
				l.print(rep)
			}
			switch {
			case ended:
				return outcome(rep, errors.Join(errs...), l.log)
			case errors.Is(err, poller.ErrServerClosed):
				return nil
			}
			return err // the server gave up by itself
		}
	}
}

// call is what the method that a phase began with has returned.
type call struct {
	phase phase
	err   error
}

// enter has the server enter a phase.
func (l *life) enter(p phase) error {
	switch p {
	case releasing:
		return l.release()
	case draining:
		ctx := context.Background()
		if l.drainTimeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, l.drainTimeout)
			defer cancel()
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
		l.log.Info("released: others can have the port, and this process ends with its last connection")
	case c.phase == releasing:
		// The process lives on, so it is said now.
		l.log.Error("the port was not released in order", "error", c.err)
	case c.phase == draining && errors.Is(c.err, context.DeadlineExceeded):
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
