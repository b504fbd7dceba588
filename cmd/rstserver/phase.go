package main

import (
	"os"
	"syscall"
)

// phase is what a server has been told to do, by the force with which it ends connections:
//
//	            SIGUSR1      SIGQUIT     SIGTERM, SIGINT         a successor
//	serving     releasing    draining    aborting, or draining   leaving
//	releasing                draining    aborting, or draining
//	leaving                  draining    aborting, or draining
//	draining                             aborting
//	aborting                             exiting
//
// It only ever goes on to one of more force. What a signal is not listed for has been told already, or more has.
type phase int

const (
	serving   phase = iota
	releasing       // the port is given up, connections live on
	leaving         // a successor has the port, what is in flight is finished
	draining        // what is in flight is finished
	aborting        // everything is reset
	exiting         // nothing more is waited for
)

func (p phase) String() string {
	return [...]string{"serving", "release", "handover", "drain", "abort", "exit"}[p]
}

// after is the phase that sig leads to. termDrains says that SIGTERM and SIGINT drain first.
func (p phase) after(sig os.Signal, termDrains bool) phase {
	switch {
	case sig == syscall.SIGUSR2:
		return p // it leads to a successor first
	case sig == syscall.SIGUSR1:
		return max(p, releasing)
	case sig == syscall.SIGQUIT, termDrains && p < draining:
		return max(p, draining)
	case p < aborting:
		return aborting
	}
	return exiting
}

// lifeSignals are those that after knows.
var lifeSignals = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}

// signalName is the name by which a signal is sent.
func signalName(sig os.Signal) string {
	switch sig {
	case syscall.SIGTERM:
		return "SIGTERM"
	case syscall.SIGINT:
		return "SIGINT"
	case syscall.SIGQUIT:
		return "SIGQUIT"
	case syscall.SIGUSR1:
		return "SIGUSR1"
	case syscall.SIGUSR2:
		return "SIGUSR2"
	case syscall.SIGHUP:
		return "SIGHUP"
	}
	return sig.String()
}
