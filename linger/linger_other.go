//go:build !linux

package linger

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
)

// What there is on Linux alone is here so that programs which use it can be compiled, and developed, elsewhere. It says that it
// has done nothing.

var errElsewhere = fmt.Errorf("linger: on %s connections are not reset, and the kernel is not asked: %w", runtime.GOOS, errors.ErrUnsupported)

// ErrNotTCP is for listeners that are not of TCP.
var ErrNotTCP = errors.New("linger: not a TCP listener: its connections were closed, there is no RST")

// ErrShutdownRunning is wrapped by the error of [Listener.Drain] when the server's graceful stop had not returned when its context ended.
var ErrShutdownRunning = errors.New("linger: the server's graceful stop has not returned")

// The functions for one descriptor fail with an error that wraps [errors.ErrUnsupported].

func Arm(fd int) error              { return errElsewhere }
func Disarm(fd int) error           { return errElsewhere }
func Armed(fd int) (bool, error)    { return false, errElsewhere }
func Abort(fd int) error            { return errElsewhere }
func Cookie(fd int) (uint64, error) { return 0, errElsewhere }
func Inode(fd int) (uint32, error)  { return 0, errElsewhere }

func closeRange(int, int) {}

// CheckFree fails with an error that wraps [errors.ErrUnsupported], as do TryBind, Verify and CheckGivenUp.
func CheckFree(addr netip.AddrPort) error { return errElsewhere }

func TryBind(addr netip.AddrPort) error { return errElsewhere }
func Verify(e Ending) (Left, error)     { return Left{}, errElsewhere }
func CheckGivenUp(e Ending) error       { return errElsewhere }

// Residue remembers nothing, and Destroy says so.
type Residue struct{ _ byte }

func (r *Residue) Closed(cookie uint64)     {}
func (r *Residue) Note(addr netip.AddrPort) {}
func (r *Residue) Destroy(port uint16, ended []uint64) Swept {
	return Swept{Reason: errElsewhere.Error()}
}
