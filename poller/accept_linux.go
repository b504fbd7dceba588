//go:build linux

package poller

import (
	"errors"
	"fmt"

	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"golang.org/x/sys/unix"
)

// A gnet engine whose accept fails ends, and takes its connections with it: its loop compares what accept returned with
// gneterrors.ErrAcceptSocket. But too few descriptors are something that passes, and no reason to lose anybody. gnet offers
// no way to say so, but that error is a variable, and errors.Is finds no value equal to one that cannot be compared. With such
// a value the loop goes on, as it does after any other error, and it has logged the cause by then, in the middle of accept
// and on its own goroutine: that is where acceptFailed is called from. For other engines of gnet in the process a failing
// accept is no end any more either.
func init() { gneterrors.ErrAcceptSocket = acceptError{causes: nil} }

// acceptError cannot be compared.
type acceptError struct{ causes []error }

func (acceptError) Error() string { return "poller: accept failed" }

// acceptFailed deals with a failure of accept. On the loop, within accept.
func (l *loop) acceptFailed(err error) (passes bool) {
	switch {
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOMEM), errors.Is(err, unix.ENOBUFS):
		// The client waits in the kernel's queue, until the probe finds that there is room.
		l.run.admission.exhausted(err)
		return true
	}
	// The listener is no good. As accept would fail again at once, the engine is to end after all.
	l.execute(func() error { return gneterrors.ErrEngineShutdown })
	return false
}

// exhausted pauses accepting since there was no descriptor, or no memory, for the next connection.
func (a *admission) exhausted(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shortLocked(fmt.Errorf("accept: %w", err))
	a.pauseLocked()
}
