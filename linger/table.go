package linger

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// Table holds one small atomic state for each descriptor of the process that is a live connection, so that any goroutine
// can abort connections that others own. Slots are indexed by descriptor and allocated in chunks; there is no lock on the
// path of a connection.
//
// A slot goes through these states. "Owner" is the one goroutine that may close the descriptor.
//
//	free ──Open──▶ live ──────────────────Close──▶ free      (owner; Close returns before the number may be closed)
//	               live ──Abort──▶ aborting ─▶ aborted        (any goroutine)
//	                               aborting, aborted ──Close──▶ free
//
// Close waits while a slot is aborting, which is one system call. That wait is the whole proof that a number is never
// aborted after it was closed and handed to somebody else.
//
// The zero value is an empty table. All methods may be called from any goroutine, save where they name the owner.
type Table struct {
	chunks [maxChunks]atomic.Pointer[chunk]
	grow   sync.Mutex   // serialises the allocation of chunks
	top    atomic.Int64 // 1 + the highest descriptor ever opened
}

const (
	chunkBits = 11
	chunkSize = 1 << chunkBits
	// 8 million descriptors, beyond fs.nr_open of common systems (1,048,576). What an empty table takes of the heap has the garbage collector
	// run more often in a small process.
	maxChunks = 1 << 12
)

type chunk [chunkSize]slot

type slot struct {
	// state packs, from the lowest bit: the phase (2 bits), the Activity (6), the owner (24).
	state atomic.Uint32
	// cookie is the socket's; written by Open before the slot becomes live, read by whoever aborts it.
	cookie atomic.Uint64
}

const (
	phaseFree uint32 = iota
	phaseLive
	phaseAborting
	phaseAborted

	phaseMask    = 3
	activityBits = 6
	activityMask = (1<<activityBits - 1) << 2
	ownerShift   = 2 + activityBits
	// MaxOwner is the highest owner that a Table can tell apart.
	MaxOwner = 1<<(32-ownerShift) - 1
)

// ErrTableRange is returned by [Table.Open] for a descriptor that no table has room for.
var ErrTableRange = errors.New("linger: descriptor is out of the table's range")

func (t *Table) slot(fd int) *slot {
	if fd < 0 || fd >= maxChunks<<chunkBits {
		return nil
	}
	c := t.chunks[fd>>chunkBits].Load()
	if c == nil {
		return nil
	}
	return &c[fd&(chunkSize-1)]
}

// Open enters fd as a live connection of owner (0 to [MaxOwner], a number of the caller's choice) whose activity is [New].
// From here on other goroutines may abort it. The owner calls it once the descriptor is open; afterwards it looks whether a
// teardown has begun meanwhile (publish, then look), since that teardown may have missed the slot.
//
// The error wraps [ErrTableRange], or says that fd is in the table already, which means that an owner closed it without
// [Table.Close]; nothing has changed then.
func (t *Table) Open(fd, owner int) error {
	if fd < 0 || fd >= maxChunks<<chunkBits || owner < 0 || owner > MaxOwner {
		return fmt.Errorf("%w: descriptor %d, owner %d", ErrTableRange, fd, owner)
	}
	s := t.slot(fd)
	if s == nil {
		t.addChunk(fd >> chunkBits)
		s = t.slot(fd)
	}
	if s.state.Load()&phaseMask != phaseFree {
		return fmt.Errorf("linger: descriptor %d is in the table already", fd)
	}
	for {
		top := t.top.Load()
		if int64(fd) < top || t.top.CompareAndSwap(top, int64(fd)+1) {
			break
		}
	}
	// Without cookies (kernels before 4.6) Verify takes what the process still holds for what was to end.
	cookie, _ := Cookie(fd)
	s.cookie.Store(cookie)
	s.state.Store(phaseLive | uint32(owner)<<ownerShift)
	return nil
}

func (t *Table) addChunk(i int) {
	t.grow.Lock()
	defer t.grow.Unlock()
	if t.chunks[i].Load() == nil {
		t.chunks[i].Store(new(chunk))
	}
}

// SetActivity notes what the connection is doing now; a value that is none of the activities changes nothing. Its owner
// calls it, or whoever helps out an owner that is stuck. A connection that is being aborted keeps the activity that it had.
func (t *Table) SetActivity(fd int, a Activity) {
	s := t.slot(fd)
	if s == nil || a >= activities {
		return
	}
	old := s.state.Load()
	if old&phaseMask == phaseLive {
		// Failing means that an abort came between.
		s.state.CompareAndSwap(old, old&^activityMask|uint32(a)<<2)
	}
}

// Close takes fd out of the table and reports whether it had been aborted through the table. Only its owner may call it, and
// must do so before it closes the descriptor. It waits for an abort that is under way. A descriptor that is not in the
// table is none of the table's business: Close returns false.
func (t *Table) Close(fd int) (aborted bool) {
	s := t.slot(fd)
	if s == nil {
		return false
	}
	for {
		switch old := s.state.Load(); old & phaseMask {
		case phaseFree:
			return false
		case phaseAborting:
			runtime.Gosched()
		case phaseAborted:
			s.state.Store(phaseFree)
			return true
		default:
			if s.state.CompareAndSwap(old, phaseFree) {
				return false
			}
		}
	}
}

// Abort resets the connection of fd, if it is live, and reports whether it did. A refusal of the kernel is returned as [Abort]
// returns it; the slot counts as aborted then too, since the owner's close will abort.
func (t *Table) Abort(fd int) (bool, error) {
	s := t.slot(fd)
	if s == nil {
		return false, nil
	}
	_, did, err := s.abort(fd, anyOwner)
	return did, err
}

// AbortInto is Abort for one who counts, as [Table.AbortOwned] does, what was reset.
func (t *Table) AbortInto(s *Sweep, fd int) {
	if of := t.slot(fd); of != nil {
		s.slot(of, fd, anyOwner)
	}
}

const anyOwner = -1

// abort claims the slot if it is live and owner's, and resets the connection.
func (s *slot) abort(fd, owner int) (e ended, did bool, err error) {
	for {
		old := s.state.Load()
		if old&phaseMask != phaseLive || owner != anyOwner && old>>ownerShift != uint32(owner) {
			return ended{}, false, nil
		}
		if !s.state.CompareAndSwap(old, old&^phaseMask|phaseAborting) {
			continue
		}
		// Only while the slot is aborting is the cookie sure to be this connection's.
		e = ended{Activity(old & activityMask >> 2), s.cookie.Load()}
		err = Abort(fd)
		s.state.Store(old&^phaseMask | phaseAborted)
		return e, true, err
	}
}

// AbortOwned resets every live connection of owner. It may run on the owner's goroutine, which is the fastest (nobody is
// woken up meanwhile), or on any other while the owner is stuck, or on both at once: each connection is reset once and
// counted once.
func (t *Table) AbortOwned(owner int) Sweep {
	sweep := t.newSweep(owner)
	for i := range t.usedChunks() {
		if c := t.chunks[i].Load(); c != nil {
			for k := range c {
				sweep.slot(&c[k], i<<chunkBits+k, owner)
			}
		}
	}
	return sweep
}

// HelpAbort does the same in the opposite order, so that a goroutine that is done with its own connections and an owner that
// is in AbortOwned meet in the middle.
func (t *Table) HelpAbort(owner int) Sweep {
	sweep := t.newSweep(owner)
	for i := t.usedChunks() - 1; i >= 0; i-- {
		if c := t.chunks[i].Load(); c != nil {
			for k := chunkSize - 1; k >= 0; k-- {
				sweep.slot(&c[k], i<<chunkBits+k, owner)
			}
		}
	}
	return sweep
}

// newSweep returns a Sweep with room for what owner has. A slice that grows while connections are being reset leaves several
// times its length to the garbage collector, enough to call it in: it then stops all goroutines and takes a processor, and
// the connections wait.
func (t *Table) newSweep(owner int) Sweep {
	n := 0
	for i := range t.usedChunks() {
		c := t.chunks[i].Load()
		if c == nil {
			continue
		}
		for k := range c {
			if old := c[k].state.Load(); old&phaseMask == phaseLive && old>>ownerShift == uint32(owner) {
				n++
			}
		}
	}
	if n == 0 {
		return Sweep{}
	}
	return Sweep{Cookies: make([]uint64, 0, n)}
}

// Has reports whether fd is in the table: that it was opened and not closed, be it reset or not.
func (t *Table) Has(fd int) bool {
	s := t.slot(fd)
	return s != nil && s.state.Load()&phaseMask != phaseFree
}

// Len is one more than the highest descriptor that has been in the table.
func (t *Table) Len() int { return int(t.top.Load()) }

// usedChunks is how many chunks may hold something.
func (t *Table) usedChunks() int { return (int(t.top.Load()) + chunkSize - 1) >> chunkBits }

// slot resets the connection of fd, if it is live and owner's.
func (s *Sweep) slot(of *slot, fd, owner int) {
	if e, did, err := of.abort(fd, owner); did {
		s.count(fd, e, err)
	}
}

// CloseAborted closes the descriptors of connections that were reset through the table while they did what which is true of: of those from a
// number to one below another. It takes them out of the table; those that follow each other are closed by one system call (close_range(2),
// where the kernel has it). Their owners must have nothing to do with them any more. Several goroutines may call it at once, for different numbers.
func (t *Table) CloseAborted(from, to int, which func(Activity) bool) {
	to = min(to, int(t.top.Load()))
	for fd := max(from, 0); fd < to; fd++ {
		first := fd
		for fd < to && t.takeAborted(fd, which) {
			fd++
		}
		if fd > first {
			closeRange(first, fd-1)
		}
	}
}

// takeAborted takes fd out of the table if it was reset and is to be closed.
func (t *Table) takeAborted(fd int, which func(Activity) bool) bool {
	s := t.slot(fd)
	if s == nil {
		return false
	}
	old := s.state.Load()
	return old&phaseMask == phaseAborted && which(Activity(old&activityMask>>2)) && s.state.CompareAndSwap(old, phaseFree)
}

// Live counts the live connections by activity. The figure is a snapshot that other goroutines may be changing.
func (t *Table) Live() Tally {
	var tally Tally
	for i := range t.usedChunks() {
		c := t.chunks[i].Load()
		if c == nil {
			continue
		}
		for k := range c {
			if old := c[k].state.Load(); old&phaseMask == phaseLive {
				tally[old&activityMask>>2]++
			}
		}
	}
	return tally
}

// LiveByOwner counts likewise, for each of the first n owners.
func (t *Table) LiveByOwner(n int) []Tally {
	tallies := make([]Tally, n)
	for i := range t.usedChunks() {
		c := t.chunks[i].Load()
		if c == nil {
			continue
		}
		for k := range c {
			if old := c[k].state.Load(); old&phaseMask == phaseLive && int(old>>ownerShift) < n {
				tallies[old>>ownerShift][old&activityMask>>2]++
			}
		}
	}
	return tallies
}

// Cookies returns those of the connections that are in it (see [Cookie]). The list is a snapshot that other goroutines may be changing.
func (t *Table) Cookies() []uint64 {
	var cookies []uint64
	for i := range t.usedChunks() {
		c := t.chunks[i].Load()
		if c == nil {
			continue
		}
		for k := range c {
			if c[k].state.Load()&phaseMask != phaseFree {
				cookies = append(cookies, c[k].cookie.Load())
			}
		}
	}
	return cookies
}
