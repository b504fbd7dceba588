package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"

	"rstserver/linger"
	"rstserver/poller"
)

// life is one server from its start to its exit code, and all that decides about it.
type life struct {
	serve  func() error // as Server.Serve, as are the next two
	close  func() error
	report func() linger.Report

	signals <-chan os.Signal
	over    <-chan struct{} // closed at the end of the countdown
	log     *slog.Logger
	print   func(linger.Report)
}

// run serves until a signal or the countdown ends it. A signal during the teardown ends run at once.
func (l *life) run() error {
	served := make(chan error, 1)
	go func() { served <- l.serve() }()
	over := l.over
	var closed chan error // nil: no teardown was asked for
	abort := func(why string) {
		closed = make(chan error, 1)
		go func() { closed <- l.close() }()
		l.log.Info("aborting", "reason", why)
	}
	for {
		select {
		case sig := <-l.signals:
			switch {
			case closed == nil:
				abort(signalName(sig))
			case len(served) == 0: // what is complete needs no haste
				return fmt.Errorf("%s during the teardown: exiting at once", signalName(sig))
			}
		case <-over:
			over = nil
			if closed == nil {
				abort("countdown")
			}
		case err := <-served:
			rep := l.report()
			if rep.Mode != linger.ModeNone { // otherwise it had not begun to serve
				l.print(rep)
			}
			if !errors.Is(err, poller.ErrServerClosed) {
				return err // the server gave up by itself
			}
			if rep.Mode == linger.ModeNone {
				return nil
			}
			return outcome(rep, <-closed, l.log)
		}
	}
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

// signalName is the name by which a signal is sent.
func signalName(sig os.Signal) string {
	switch sig {
	case syscall.SIGTERM:
		return "SIGTERM"
	case syscall.SIGINT:
		return "SIGINT"
	}
	return sig.String()
}
