//go:build linux

package linger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rstserver/internal/latch"
	"rstserver/internal/tcpsock"
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
// The error says that the listener could not be closed, that connections outlived the teardown, that sockets are held that nobody
// knows, and by whom (see [Left]), as the listening socket by a File that was not closed or by a child that has inherited it, or that it could
// not be verified; or it is [ErrNotTCP]. Where others hold the listening socket by intent, ListenConfig.Shared says so.
func (l *Listener) Abort() (Report, error) {
	if l.beginAbort() {
		l.teardown(nil)
	}
	<-l.done
	return l.report, l.err
}

// AbortAll is [Listener.Abort] of several Listeners, for a process that has many: the kernel, which looks through the sockets of the
// whole machine to say what is left, is asked once about all of them. The Reports are in the order of the Listeners; the error
// joins those of each, with its address before it. Any goroutine may call it.
func AbortAll(listeners ...*Listener) ([]Report, error) {
	var ours []*teardown
	for _, l := range listeners {
		if l.beginAbort() {
			ours = append(ours, &teardown{Listener: l})
		}
	}
	tearDown(ours...)
	reports := make([]Report, len(listeners))
	var errs []error
	for i, l := range listeners {
		<-l.done
		reports[i] = l.report
		if l.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.Addr(), l.err))
		}
	}
	return reports, errors.Join(errs...)
}

// beginAbort reports whether the caller is the one who is to tear l down.
func (l *Listener) beginAbort() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state >= listenerClosing {
		return false
	}
	if l.aborted = l.state == listenerDraining; !l.aborted {
		l.mode, l.began = ModeAbort, time.Now()
	}
	l.closeLocked()
	return true
}

// closeLocked makes the caller the one who is to call teardown.
func (l *Listener) closeLocked() {
	l.state = listenerClosing
	close(l.closing)
}

// teardown ends everything, once. because is why a drain came to its end, if it did not end by itself.
func (l *Listener) teardown(because error) { tearDown(&teardown{Listener: l, errs: []error{because}}) }

// teardown is one at work. The goroutine that began it uses it.
type teardown struct {
	*Listener
	rep      Report
	errs     []error
	all, cut Sweep // all that was reset, and what of it was not idle
}

// tearDown ends everything of several Listeners, each once, and has the kernel asked about all at the same time.
func tearDown(all ...*teardown) {
	noteAll(all)
	for _, t := range all {
		t.reset()
	}
	if len(all) > 0 {
		all[0].pollUntil(nil, func() bool { return !slices.ContainsFunc(all, (*teardown).isBusy) })
	}
	for _, t := range all {
		t.count()
	}
	sweepAll(all)
	var endings []Ending
	var asked []*teardown
	for _, t := range all {
		if t.tcp.IsValid() {
			endings = append(endings, t.ending())
			asked = append(asked, t)
		}
	}
	if len(asked) > 0 {
		left, err := verifyAll(endings)
		at := time.Now()
		for i, t := range asked {
			t.rep.Steps.Verified = at.Sub(t.rep.Started)
			if err == nil {
				t.rep.Left = left[i]
			}
			t.verified(err)
		}
	}
	for _, t := range all {
		t.finish()
	}
}

// reset gives up the port and resets the connections.
func (t *teardown) reset() {
	t.rep = t.newReport(t.mode, t.began) // they do not change any more
	if t.rep.Mode != ModeAbort {
		t.rep.Steps.Drained = time.Since(t.rep.Started)
	}

	// A Serve that returns may have its caller close the server, and with it the connections, by FIN. So Accept holds until
	// they are reset.
	t.holding.Store(true)
	t.errs = append(t.errs, t.refuse())
	// After a Release or a Close that came before, the port was given up before this began.
	t.rep.Steps.Refused = max(t.refusedAt.Sub(t.rep.Started), 1)

	t.cut = t.conns.AbortAll(Open)
	t.pacing.Lock() // so that what a drain was ending just now is counted
	t.all = t.paced
	t.pacing.Unlock()
}

// isBusy reports whether something was on its way when the connections were reset: an Accept that can come back with one, or a close.
func (t *teardown) isBusy() bool { return t.accepting.Load() > 0 || t.conns.closing.Load() > 0 }

// count counts the connections.
func (t *teardown) count() {
	t.rep.Steps.PortFree = time.Since(t.rep.Started)
	t.cut.Add(t.conns.Late())
	t.all.Add(t.cut)
	t.rep.Connections, t.rep.Refused = t.all.Aborted, t.all.Refused
	t.rep.Closed = int(t.closedInOrder.Load())
	switch {
	case !t.rep.Mode.Drains():
	case t.aborted:
		t.rep.ByAbort = t.cut.Aborted
	default:
		t.rep.AtDeadline = t.cut.Aborted
	}
	if !t.tcp.IsValid() {
		t.rep.Unverified = "connections of a unix socket are closed, not reset, and there is no port"
		if t.rep.Mode == ModeAbort || t.cut.Aborted.Total() > 0 {
			t.errs = append(t.errs, ErrNotTCP)
		}
	}
}

// sweeps reports whether what ordinary closes have left is to be destroyed.
func (t *teardown) sweeps() bool { return t.residue != nil && t.tcp.IsValid() }

// noteAll looks for what ordinary closes have left while the Listeners still listen, as far as they do.
func noteAll(all []*teardown) {
	var noted []*noting
	var of []*teardown
	for _, t := range all {
		if t.sweeps() && !latch.IsClosed(t.refused) {
			noted = append(noted, &noting{addr: t.tcp})
			of = append(of, t)
		}
	}
	if len(of) == 0 {
		return
	}
	lookForResidue(noted...)
	for i, t := range of {
		t.refusing.Lock()
		if !latch.IsClosed(t.refused) { // or somebody else may listen there by now
			t.residue.note(noted[i])
			t.noted = true
		}
		t.refusing.Unlock()
	}
}

// sweepAll destroys that.
func sweepAll(all []*teardown) {
	var sweeps []*destroying
	var of []*teardown
	for _, t := range all {
		if t.sweeps() {
			sweeps = append(sweeps, &destroying{residue: t.residue, port: t.tcp.Port(), ended: t.all.Cookies})
			of = append(of, t)
		}
	}
	if len(of) == 0 {
		return
	}
	destroyAll(sweeps...)
	at := time.Now()
	for i, t := range of {
		swept := sweeps[i].swept
		t.rep.Swept, t.rep.Steps.PortFree = &swept, at.Sub(t.rep.Started)
	}
}

// ending is what the kernel is asked about.
func (t *teardown) ending() Ending {
	e := t.Listener.ending()
	e.Connections, e.Others = t.all.Cookies, t.claim.End()
	return e
}

// ending is the listening socket that was given up.
func (l *Listener) ending() Ending {
	return Ending{Port: l.tcp.Port(), Listener: l.inode, Shared: l.config.Shared}
}

// verified is called when the kernel has said what is left, or could not be asked.
func (t *teardown) verified(err error) {
	if t.queued != tcpsock.LongQueue && !t.rep.Left.ListenerHeld {
		t.rep.Queued = t.queued
	}
	if err != nil {
		t.rep.Unverified = strings.ReplaceAll(err.Error(), "\n", "; ")
		t.errs = append(t.errs, fmt.Errorf("linger: verifying the teardown: %w", err))
		return
	}
	t.errs = append(t.errs, t.rep.Left.Failure(t.all.Err))
}

// finish publishes what has come of it.
func (t *teardown) finish() {
	l := t.Listener
	t.rep.Steps.Done = time.Since(t.rep.Started)
	l.mu.Lock()
	l.report, l.err = t.rep, errors.Join(t.errs...)
	l.state = listenerOver
	close(l.done)
	l.mu.Unlock()
	l.stopAccept()
}
