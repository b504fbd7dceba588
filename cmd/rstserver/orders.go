package main

import (
	"errors"
	"fmt"
	"sync"
	"syscall"

	"rstserver/linger"
)

// order is what somebody asks for through the admin socket, in the place of a signal.
type order struct {
	sig    syscall.Signal // that has the same effect; SIGTERM aborts, whatever --on-term says
	why    string
	answer chan error // capacity 1: nil when it has begun, or what it has no effect for
}

// orders are those of a process, and what has come of them. Any goroutine may call the methods.
type orders struct {
	in   chan order
	over chan struct{} // closed when the process comes to its end

	mu   sync.Mutex // guards what follows
	rep  linger.Report
	exit int
}

func newOrders() *orders { return &orders{in: make(chan order), over: make(chan struct{})} }

var errEnding = errors.New("the process is about to end")

// give is an admin's Order.
func (o *orders) give(mode linger.Mode, who string) (<-chan struct{}, error) {
	sig := map[linger.Mode]syscall.Signal{
		linger.ModeDrain: syscall.SIGQUIT, linger.ModeRelease: syscall.SIGUSR1, linger.ModeAbort: syscall.SIGTERM, linger.ModeHandover: syscall.SIGUSR2,
	}[mode]
	asked := order{sig, who, make(chan error, 1)}
	select {
	case o.in <- asked:
	case <-o.over:
		return nil, errEnding
	}
	select {
	case err := <-asked.answer:
		if err != nil {
			return nil, fmt.Errorf("%s: %w", mode, err)
		}
		return o.over, nil
	case <-o.over:
		return nil, errEnding
	}
}

// end says what has come of them.
func (o *orders) end(rep linger.Report, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rep, o.exit = rep, exitCode(err)
	close(o.over)
}

// result is an admin's Result.
func (o *orders) result() (linger.Report, int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.rep, o.exit
}

// exitCode is that of a command that returns err.
func exitCode(err error) int {
	var exited *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exited):
		return exited.code
	}
	return exitFailed
}
