//go:build linux

package linger

import (
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"rstserver/internal/pace"
)

// Conns is a set of live TCP connections that other code owns and closes when it likes, such as the user of a hijacked
// connection. In place of each its user is given a [Conn]. The set reaches what is below by a [syscall.RawConn], whose Control holds the
// descriptor open for as long as the abort takes. So a number is never aborted after it was closed and handed to somebody else,
// whatever the user does and forgets; [Table], which is faster, has to be told of each close beforehand.
//
// The zero value is an empty set. The exported fields must not change once a connection was added. All methods may be called from any
// goroutine. There is no goroutine of its own, save one for the moment in which a forgotten connection is closed.
type Conns struct {
	// Armed says that the connections are armed when they come (see [Arm]). Each is disarmed before it is closed.
	Armed bool
	// Residue is told of the connections that are closed in order, if it is not nil.
	Residue *Residue

	fewer func() // called when one connection is live no more, if not nil
	// inherits: the connections come with the SO_LINGER of a listening socket. They may have been born before it was armed, and
	// others who share it can arm and disarm it; so each is made as Armed says.
	inherits bool
	live     atomic.Int64 // entries
	closing  atomic.Int32 // entries that were live when their close began, which has not come to its end

	mu sync.Mutex // guards what follows, and the index of all entries
	// entries are in no order. From the first AbortAll on the slice does not change, so that each AbortAll can walk along it
	// without the lock, while the owners of what it resets wake up and call remove.
	entries []*entry
	// ended: AbortAll has begun. enter reads it under the lock under which it enters, so AbortAll misses nothing.
	ended    bool
	activity Activity // of the first AbortAll
	late     Sweep
}

// Add enters c and returns the connection to give to its user; from here on others may abort it. c is the set's then, and nobody else may
// use it or keep it. closed, if it is not nil, is called once, on any goroutine, when the user has closed the connection, or when the
// garbage collector has found it forgotten; aborted reports whether the set had reset it before.
//
// After the first [Conns.AbortAll] the set takes nothing more: Add resets the connection before it returns, counts it for
// [Conns.Late], and returns false. The Conn has to be closed then too.
func (s *Conns) Add(c *net.TCPConn, closed func(aborted bool)) (*Conn, bool) {
	return s.AddFrom(c, nil, closed)
}

// AddFrom is Add for a connection whose RemoteAddr is to be another, as a proxy has told who its client is.
func (s *Conns) AddFrom(c *net.TCPConn, remote net.Addr, closed func(aborted bool)) (*Conn, bool) {
	e := &entry{closed: closed, remote: remote}
	conn := e.giveTCP(c)
	return conn, s.enter(e)
}

// entry is one connection of a [Conns]. It keeps what is below open, and nothing of it leads to what the user was given, so that the
// garbage collector finds out when the user has forgotten that.
//
//	live ──remove──────────────────────────────▶ out
//	live ──abort, AbortAll──▶ aborting ─▶ aborted
//	                          aborting ─▶ out      (its user had closed it)
type entry struct {
	set *Conns
	raw syscall.RawConn // whoever takes the entry out of the state live alone uses it to abort, and drops it

	below    net.Conn           // immutable, as are the next four
	tcp      net.TCPConn        // below itself, where it is one of TCP
	closed   func(aborted bool) // may be nil
	remote   net.Addr           // of the user's; nil: that of below
	accepted int64              // when, in nanoseconds of Unix time

	cookie uint64        // immutable once entered; 0 where sockets have none (kernels before 4.6)
	index  int           // in set.entries
	state  atomic.Uint32 // a phase, as in Table; out is phaseFree

	reads atomic.Uint32        // calls of Read and the like: those that run in the lowest bits, those that have begun in the others
	first atomic.Uint32        // what Read has read first: see arrival
	turn  atomic.Pointer[turn] // nil: nobody has asked, and it has not come

	keepLinger atomic.Bool // the user has set SO_LINGER
	shared     atomic.Bool // the user was given what is below, too
	wasClosed  atomic.Bool // by whoever has set this
}

// enter takes e in, whose raw is set, as Add does.
func (s *Conns) enter(e *entry) bool {
	e.set = s
	// An error says that it is closed. Without cookies Verify takes what the process still holds for what was to end.
	_ = e.raw.Control(func(fd uintptr) {
		e.cookie, _ = Cookie(int(fd))
		switch {
		case !s.inherits:
		case s.Armed:
			_ = Arm(int(fd))
		default:
			_ = Disarm(int(fd))
		}
	})
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

// remove takes the connection out of the set and reports whether the set has aborted it, however often it is called. It waits
// for an abort that is under way, which is two system calls. The owner calls it when the connection is closed, as there is no moment
// then at which an AbortAll would miss one that is still open.
func (e *entry) remove() (aborted bool) {
	if e.claimAs(phaseFree) {
		e.raw = nil
		e.set.live.Add(-1)
		e.set.unlink(e)
		return false
	}
	return e.settled() == phaseAborted
}

// abort resets the connection and reports whether it did: not when it was removed, aborted before, or closed by its user, which
// is no error. When it returns, no abort of the connection is under way. r has a refusal of the kernel as [Abort] returns it; the
// connection counts as aborted then too, since its close will abort. It is counted in no [Sweep].
func (e *entry) abort(r *resetter) (did bool) {
	if !e.claim() {
		e.settled()
		return false
	}
	did = e.reset(r)
	e.set.unlink(e)
	e.set.tellFewer()
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
	var elsewhere []*entry // being reset by another goroutine
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

// TellTurns gives every connection its turn (see [Conn]), one after the other in random order, at an even rate over the window. It
// returns when all have had theirs, or stop is closed.
func (s *Conns) TellTurns(window time.Duration, stop <-chan struct{}) {
	entries := s.snapshot()
	rand.Shuffle(len(entries), func(i, k int) { entries[i], entries[k] = entries[k], entries[i] })
	pace.New(len(entries), window).Run(stop, func() {
		entries[0].tellTurn()
		entries = entries[1:]
	})
}

// snapshot returns the entries of this moment.
func (s *Conns) snapshot() []*entry {
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

func (s *Conns) tellFewer() {
	if s.fewer != nil {
		s.fewer()
	}
}

// unlink takes e out of entries.
func (s *Conns) unlink(e *entry) {
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
func (e *entry) claim() bool { return e.claimAs(phaseAborting) }

func (e *entry) claimAs(phase uint32) bool { return e.state.CompareAndSwap(phaseLive, phase) }

// reset aborts the connection and reports whether it was still there; r says more. The caller has claimed e.
func (e *entry) reset(r *resetter) bool {
	r.reached, r.err = false, nil
	_ = e.raw.Control(r.control) // it fails without a call when the user has closed the connection
	e.raw = nil
	e.set.live.Add(-1)
	if !r.reached {
		e.state.Store(phaseFree)
		return false
	}
	e.state.Store(phaseAborted)
	if r.err != nil && e.below != nil {
		// It is armed now, and its user may never close it. Not before the state says so, since this waits for a Close of the
		// user's that waits for the state.
		_ = e.below.Close()
	}
	return true
}

// settled waits while e is aborting, and returns its phase.
func (e *entry) settled() uint32 {
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
