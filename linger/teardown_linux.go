//go:build linux

package linger

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrNotTCP is returned by [Listener.Abort], and by [Listener.Drain] when it has cut connections, where the listener is not one
// of TCP: connections of a unix socket cannot be reset, so they were closed. The peer reads an end of the stream, or
// ECONNRESET if it had sent what was not read.
var ErrNotTCP = errors.New("linger: not a TCP listener: its connections were closed, there is no RST")

// Abort lets go of the port at once: it refuses new connections, resets those that wait in the queue and every one that
// exists, and has the kernel say what is left. It returns when the teardown is complete, with what it did. During a Drain
// or after a Release it ends what they have left; the Report of a Drain that is cut short is the Drain's.
//
// Nothing is needed from the server. Its goroutines find their reads and writes failing, Accept returns an error that wraps
// [net.ErrClosed], and the descriptors are closed as the server closes its connections; no port depends on that. A server
// that is closed itself beforehand (as by http.Server.Close) ends its connections in order, with TIME_WAIT; so it is to be
// closed afterwards, or not at all.
//
// One client can be missed: when its handshake comes to its end in the very microseconds in which the socket is closed, Linux may drop
// the last segment of it without an answer. That client believes that it is connected until it sends something, and is told
// then. The Report has a SYN_RECV among its residue, which goes by itself within a second or so.
//
// The error says that the listener could not be closed, that connections outlived the teardown or sockets are held that nobody
// knows (see [Left]), or that it could not be verified; or it is [ErrNotTCP].
func (l *Listener) Abort() (Report, error) {
	l.mu.Lock()
	ours := l.state < listenerClosing
	if ours {
		if l.state != listenerDraining {
			l.mode, l.began = ModeAbort, time.Now()
		}
		l.closeLocked()
	}
	l.mu.Unlock()
	if ours {
		l.teardown(nil)
	}
	<-l.done
	return l.report, l.err
}

// closeLocked makes the caller the one who is to call teardown.
func (l *Listener) closeLocked() {
	l.state = listenerClosing
	close(l.closing)
}

// teardown ends everything, once. because is why a drain came to its end, if it did not end by itself.
func (l *Listener) teardown(because error) {
	rep := l.newReport(l.mode, l.began) // they do not change any more
	errs := []error{because}
	if rep.Mode != ModeAbort {
		rep.Steps.Drained = time.Since(rep.Started)
	}

	// A Serve that returns may have its caller close the server, and with it the connections, by FIN. So Accept holds until
	// they are reset.
	l.holding.Store(true)
	errs = append(errs, l.refuse())
	// After a Release or a Close that came before, the port was given up before this began.
	rep.Steps.Refused = max(l.refusedAt.Sub(rep.Started), 1)

	sweep := l.conns.AbortAll(Open)
	l.pacing.Lock() // so that what a drain was ending just now is counted
	cut := l.cut
	cut.Add(sweep)
	all := l.paced
	l.pacing.Unlock()
	l.awaitAccepts(nil)
	l.awaitCloses()
	rep.Steps.PortFree = time.Since(rep.Started)
	cut.Add(l.conns.Late())
	all.Add(cut)
	rep.Connections, rep.Refused = all.Aborted, all.Refused
	rep.Closed = int(l.closedInOrder.Load())
	if rep.Mode == ModeDrain {
		rep.AtDeadline = cut.Aborted
	}

	if !l.tcp.IsValid() {
		rep.Unverified = "connections of a unix socket are closed, not reset, and there is no port"
		if rep.Mode == ModeAbort || cut.Aborted.Total() > 0 {
			errs = append(errs, ErrNotTCP)
		}
	} else {
		if l.residue != nil {
			swept := l.residue.Destroy(l.tcp.Port(), all.Cookies)
			rep.Swept, rep.Steps.PortFree = &swept, time.Since(rep.Started)
		}
		errs = append(errs, l.verify(&rep, all))
	}
	rep.Steps.Done = time.Since(rep.Started)

	l.mu.Lock()
	l.report, l.err = rep, errors.Join(errs...)
	l.state = listenerOver
	close(l.done)
	l.mu.Unlock()
	l.stopAccept()
}

// verify asks the kernel what is left.
func (l *Listener) verify(rep *Report, sweep Sweep) (err error) {
	rep.Left, err = Verify(l.tcp.Port(), append(sweep.Cookies, l.cookie), l.claim.End()...)
	rep.Steps.Verified = time.Since(rep.Started)
	if err != nil {
		rep.Unverified = strings.ReplaceAll(err.Error(), "\n", "; ")
		return fmt.Errorf("linger: verifying the teardown: %w", err)
	}
	return rep.Left.Failure(sweep.Err)
}
