package freeport

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"rstserver/linger/sockdiag"
)

// DefaultWait is how long an owner of the port has to let go of it after SIGTERM, when Plan.Wait is zero.
const DefaultWait = 10 * time.Second

// Plan says what is to be freed, and how. It is not changed by its methods.
type Plan struct {
	// Select picks the sockets that are to be destroyed. LocalPort is the port, and must not be 0. Local and Processes pick
	// the owners that StopOwner stops too. In Local the address 0.0.0.0 stands for all of IPv4, and [::] for all of both
	// families, as they do to bind(2).
	Select sockdiag.Selector
	// StopOwner sends Signal to the processes that hold the port through a socket which listens, or is bound and not
	// connected. Never stopped are process 1 and the calling process.
	StopOwner bool
	// Signal is what StopOwner sends. Zero means SIGTERM, and less is an error. SIGKILL is sent through a pidfd alone, which no other process can be hit by.
	Signal syscall.Signal
	// Wait is how long StopOwner waits for them to let go of all that they have on the port. Zero means DefaultWait,
	// and less is an error.
	Wait time.Duration
}

// check returns an error that names the field that makes no sense.
func (p *Plan) check() error {
	switch {
	case p.Select.LocalPort == 0:
		return errors.New("freeport: Plan.Select.LocalPort is 0; it must be the port, from 1 to 65535")
	case p.Signal < 0:
		return fmt.Errorf("freeport: Plan.Signal is %d; it must be 0 (SIGTERM) or a signal", int(p.Signal))
	case p.Wait < 0:
		return fmt.Errorf("freeport: Plan.Wait is %s; it must be 0 (the default) or more", p.Wait)
	}
	return nil
}

// Process is a process as one calls it.
type Process struct {
	PID  int    `json:"pid"`
	Name string `json:"name"` // at most 15 bytes; empty where it cannot be read
}

// String is "nginx (pid 123)".
func (p Process) String() string { return sockdiag.Process{PID: p.PID, Name: p.Name}.String() }
