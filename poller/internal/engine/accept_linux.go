//go:build linux

package engine

import (
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
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

func (acceptError) Error() string { return "engine: accept failed" }

// acceptFailed deals with a failure of accept. On the loop, within accept.
func (l *Loop) acceptFailed(err error) (passes bool) {
	if l.handler.AcceptFailed(err) {
		return true
	}
	// Accept would fail again at once, so the engine is to end after all.
	l.ending = true
	l.Post(func() {})
	return false
}
