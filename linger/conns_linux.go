//go:build linux

package linger

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
)

// Conns is a set of live TCP connections that other code owns and closes when it likes, such as the user of a hijacked
// connection or a server of another make. It reaches them through a [syscall.RawConn], whose Control holds the descriptor
// open for as long as the abort takes. So a number is never aborted after it was closed and handed to somebody else,
// whatever the owner does and forgets; [Table], which is faster, has to be told of each close beforehand.
//
// The zero value is an empty set. All methods of Conns and [Entry] may be called from any goroutine. There is no goroutine
// of its own.
type Conns struct {
	live atomic.Int64

	mu sync.Mutex // guards what follows, and the index of all entries
	// entries are in no order. From the first AbortAll on the slice does not change, so that each AbortAll can walk along it
	// without the lock, while the owners of what it resets wake up and call Remove.
	entries []*Entry
	// ended: AbortAll has begun. Add reads it under the lock under which it enters, so AbortAll misses nothing.
	ended    bool
	activity Activity // of the first AbortAll
	late     Sweep
}

// Entry is one connection of a [Conns].
//
//	live ──Remove──────────────────────────────▶ out
//	live ──Abort, AbortAll──▶ aborting ─▶ aborted
//	                          aborting ─▶ out      (its user had closed it)
type Entry struct {
	set *Conns
	raw syscall.RawConn // whoever takes the entry out of the state live alone uses it to abort, and drops it
	// of is the connection, where a Listener has accepted it; nil otherwise. Immutable.
	of     *tracked
	cookie uint64        // immutable once entered; 0 where sockets have none (kernels before 4.6)
	index  int           // in set.entries
	state  atomic.Uint32 // a phase, as in Table; out is phaseFree
}

// Add enters a connection; from here on others may abort it. Its owner calls Remove in the end. raw has to be like those of
// package net: Control fails when the connection is closed, and a close waits for Control.
//
// After the first [Conns.AbortAll] the set takes nothing more: Add resets the connection before it returns, counts it for
// [Conns.Late], and returns false. The Entry is of use then too; its Remove returns true, unless the user had closed the
// connection even before Add.
func (s *Conns) Add(raw syscall.RawConn) (*Entry, bool) {
	e := &Entry{raw: raw}
	return e, s.enter(e)
}

// enter is Add for an entry that is part of something else and has its raw.
func (s *Conns) enter(e *Entry) bool {
	e.set = s
	// An error says that it is closed. Without cookies Verify takes what the process still holds for what was to end.
	_ = e.raw.Control(func(fd uintptr) { e.cookie, _ = Cookie(int(fd)) })
	e.state.Store(phaseLive)
	s.live.Add(1)
	s.mu.Lock()
	if !s.ended {
		e.index = len(s.entries)
		s.entries = append(s.entries, e)
		s.mu.Unlock()
		return true
	}
	activity := s.activity
	s.mu.Unlock()

	var late Sweep
	if r := newResetter(); e.claim() && e.reset(r) {
		late.count(r.fd, ended{activity, e.cookie}, r.err)
	}
	s.mu.Lock()
	s.late.Add(late)
	s.mu.Unlock()
	return false
}

// Remove takes the connection out of the set and tells whether the set has aborted it, however often it is called. It waits
// for an abort that is under way, which is two system calls. The owner calls it when it closes the connection. After the
// close is better, as there is no moment then at which an AbortAll would miss a connection that is still open; an owner that
// calls [Disarm] for its close calls Remove before both, and leaves a connection that was aborted armed: where the kernel
// refused to reset it in place, the close is the abort.
func (e *Entry) Remove() (aborted bool) {
	if e.claimAs(phaseFree) {
		e.raw = nil
		e.set.live.Add(-1)
		e.set.unlink(e)
		return false
	}
	return e.settled() == phaseAborted
}

// Abort resets the connection and tells whether it did: not when it was removed, aborted before, or closed by its user, which
// is no error. When Abort returns, no abort of the connection is under way. A refusal of the kernel is returned as [Abort]
// returns it; the connection counts as aborted then too, since its close will abort. It is counted in no [Sweep].
func (e *Entry) Abort() (did bool, err error) {
	r := newResetter()
	return e.abort(r), r.err
}

// abort is Abort; r says more.
func (e *Entry) abort(r *resetter) (did bool) {
	if !e.claim() {
		e.settled()
		return false
	}
	did = e.reset(r)
	e.set.unlink(e)
	return did
}

// AbortAll resets every connection of the set, now and from now on (see [Conns.Add]). The Sweep counts those that this call
// has reset under activity a (under [New] if that is none), with their cookies for [Verify]; one that its user had closed is
// gone and not counted. Calls at the same time share the work: each connection is reset once and counted once, and each
// call returns when all are reset, save those whose Add has not returned yet.
func (s *Conns) AbortAll(a Activity) Sweep {
	if a >= activities {
		a = New
	}
	s.mu.Lock()
	if !s.ended {
		s.ended, s.activity = true, a
	}
	entries := s.entries
	s.mu.Unlock()

	var sweep Sweep
	var elsewhere []*Entry // being reset by another goroutine
	r := newResetter()
	for _, e := range slices.Backward(entries) {
		if e.claim() {
			if e.reset(r) {
				sweep.count(r.fd, ended{a, e.cookie}, r.err)
			}
		} else if e.state.Load() == phaseAborting {
			elsewhere = append(elsewhere, e)
		}
	}
	for _, e := range elsewhere {
		e.settled()
	}
	s.mu.Lock()
	s.entries = nil // for the garbage collector: none of them is live
	s.mu.Unlock()
	return sweep
}

// Late counts the connections that came after the first [Conns.AbortAll], under its activity, from then until now. It is
// complete when no Add is under way any more.
func (s *Conns) Late() Sweep {
	s.mu.Lock()
	defer s.mu.Unlock()
	var late Sweep
	late.Add(s.late) // with cookies of its own
	return late
}

// snapshot returns the entries of this moment.
func (s *Conns) snapshot() []*Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.entries)
}

// Cookies returns those of the connections that are live (see [Cookie]).
func (s *Conns) Cookies() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	cookies := make([]uint64, 0, len(s.entries))
	for _, e := range s.entries {
		if e.state.Load() == phaseLive {
			cookies = append(cookies, e.cookie)
		}
	}
	return cookies
}

// Len is the number of live connections: entered, and neither removed nor aborted. One that was closed and not removed
// counts until an abort finds it gone.
func (s *Conns) Len() int { return int(s.live.Load()) }

// unlink takes e out of entries.
func (s *Conns) unlink(e *Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return // an AbortAll may be walking along them
	}
	last := s.entries[len(s.entries)-1]
	s.entries[e.index], last.index = last, e.index
	s.entries[len(s.entries)-1] = nil
	s.entries = s.entries[:len(s.entries)-1]
}

// claim makes the caller the one who resets e. It is to call reset next.
func (e *Entry) claim() bool { return e.claimAs(phaseAborting) }

func (e *Entry) claimAs(phase uint32) bool { return e.state.CompareAndSwap(phaseLive, phase) }

// reset aborts the connection and tells whether it was still there; r says more. The caller has claimed e.
func (e *Entry) reset(r *resetter) bool {
	r.reached, r.err = false, nil
	_ = e.raw.Control(r.control) // it fails without a call when the user has closed the connection
	e.raw = nil
	e.set.live.Add(-1)
	if !r.reached {
		e.state.Store(phaseFree)
		return false
	}
	e.state.Store(phaseAborted)
	if r.err != nil && e.of != nil {
		// It is armed now, and its server may never close it. Not before the state says so, since this waits for a Close of the
		// server's that waits for the state.
		_ = e.of.below.Close()
	}
	return true
}

// settled waits while e is aborting, and returns its phase.
func (e *Entry) settled() uint32 {
	for {
		if phase := e.state.Load(); phase != phaseAborting {
			return phase
		}
		runtime.Gosched()
	}
}

// resetter aborts one connection after the other. One goroutine uses it.
type resetter struct {
	control func(fd uintptr) // made once: as a closure of each connection it would be an allocation for each
	// Of the last connection:
	reached bool // it was open
	fd      int
	err     error // the kernel refused
}

func newResetter() *resetter {
	r := new(resetter)
	r.control = func(fd uintptr) {
		r.reached, r.fd = true, int(fd)
		r.err = Abort(r.fd)
	}
	return r
}
