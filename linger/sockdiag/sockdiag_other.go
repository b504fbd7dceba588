//go:build !linux

package sockdiag

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
)

// What there is on Linux alone is here so that programs which use it can be compiled, and developed, elsewhere.

// errElsewhere is what everything returns.
var errElsewhere = fmt.Errorf("sockdiag: on %s the kernel is not asked: %w", runtime.GOOS, errors.ErrUnsupported)

// The errors of Linux, which nothing returns here.
var (
	ErrInterrupted  = errors.New("sockdiag: dump interrupted")
	ErrHoldsPort    = errors.New("sockdiag: a socket that listens or is only bound is never destroyed, as its descriptor would keep the port")
	ErrNoCookie     = errors.New("sockdiag: the socket has no cookie, without which another one could be hit")
	ErrNotPermitted = fmt.Errorf("sockdiag: destroying a socket needs CAP_NET_ADMIN: %w", syscall.EPERM)
	ErrNotSupported = fmt.Errorf("sockdiag: the kernel was built without CONFIG_INET_DIAG_DESTROY: %w", errors.ErrUnsupported)
	ErrTimeWait     = fmt.Errorf("sockdiag: a kernel before Linux 6.0 does not destroy a socket in TIME_WAIT: %w", errors.ErrUnsupported)
)

// Destruction says what Destroy has done.
type Destruction struct {
	Destroyed int
	Gone      int
	Refused   []Refusal
}

// Refusal is a socket that was not destroyed, and why.
type Refusal struct {
	Socket Socket
	Err    error
}

// Namespace is a network namespace that has something on a port.
type Namespace struct {
	PID     int
	Name    string
	Sockets []Socket
	Holders []Process
}

// The functions of Linux fail with an error that wraps [errors.ErrUnsupported].

func Port(uint16) (Dump, error)                                    { return Dump{}, errElsewhere }
func UDP(uint16) (Dump, error)                                     { return Dump{}, errElsewhere }
func Inspect(uint16) (Dump, error)                                 { return Dump{}, errElsewhere }
func Count(uint16) (Counts, Source, error)                         { return Counts{}, "", errElsewhere }
func Each(uint16, func(*Socket) bool) (Source, error)              { return "", errElsewhere }
func EachOf([]uint16, func(*Socket) bool) (Source, error)          { return "", errElsewhere }
func Destroy([]Socket) (Destruction, error)                        { return Destruction{}, errElsewhere }
func CanDestroy() error                                            { return errElsewhere }
func Elsewhere(uint16) ([]Namespace, error)                        { return nil, errElsewhere }
func Holders(uint16) (holders []Process, complete bool, err error) { return nil, false, errElsewhere }
func (d Dump) Holders() (holders []Process, complete bool, err error) {
	return nil, false, errElsewhere
}

// StillHolds reports false.
func (p Process) StillHolds() bool { return false }
