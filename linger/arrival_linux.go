//go:build linux

package linger

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// arrival is a connection that a drain gives the time to be begun. A server that is told to stop drops a request that it has only just
// read, as net/http does, so its stop is not to be called before it has gone on to do something with what was read. Nobody tells
// when that is. But a server that has read a request either answers it or reads on: to have the rest, or to learn when its client
// goes away. Both can be seen: what was sent by asking the kernel, and that it reads by entry.reads.
type arrival struct {
	*entry
	looked bool
	reads  uint32 // entry.reads, as it was at the first look
	sent   uint32 // traffic.sent likewise
}

// The parts of entry.reads.
const (
	oneRead     = 1 << 8
	runningMask = oneRead - 1
)

// The values of entry.first: nothing was read yet, or any other byte than that of tlsFirst with somethingFirst.
const (
	somethingFirst = 1 << 8
	tlsFirst       = somethingFirst | 0x16 // a handshake record (RFC 8446, section 5.1)
)

func (e *entry) beginRead() { e.reads.Add(oneRead + 1) }

// endRead notes what was read, if it is known. In this order: who finds that something was read, and a Read running, knows that it is
// another one.
func (e *entry) endRead(b []byte) {
	e.reads.Add(^uint32(0))
	if len(b) > 0 && e.first.Load() == 0 {
		e.first.Store(somethingFirst | uint32(b[0]))
	}
}

// awaitBegun waits until what was accepted is begun, for so long as ListenConfig.Queue says, and returns as wait does.
func (d *drain) awaitBegun() bool {
	if d.config.Queue < 0 {
		return false
	}
	began := time.Now()
	var arriving []arrival
	for _, e := range d.conns.snapshot() {
		if a := (arrival{entry: e}); a.pending(d.config.Queue) {
			arriving = append(arriving, a)
		}
	}
	for took := time.Since(began); len(arriving) > 0; {
		left := d.config.Queue - time.Since(began)
		if left <= 0 {
			break
		}
		// To look takes some microseconds each, so it is not done all of the time.
		if d.waitFor(min(max(arrivalInterval, 4*took), left)) {
			return true
		}
		look := time.Now()
		arriving = slices.DeleteFunc(arriving, func(a arrival) bool { return !a.pending(d.config.Queue) })
		took = time.Since(look)
	}
	return false
}

// arrivalInterval is the least time between two looks at what has not been begun.
const arrivalInterval = time.Millisecond

// pending reports whether the connection is likely to be begun soon, and is not yet.
func (a *arrival) pending(queue time.Duration) bool {
	reads, first := a.entry.reads.Load(), a.first.Load() // first: what the kernel says next is not older
	unread, ok := a.unread()
	if !ok {
		return false // it has ended
	}
	young := time.Since(time.Unix(0, a.accepted)) < queue
	waits := reads&runningMask > 0 && unread == 0 // for the client
	another := !a.looked || reads/oneRead != a.reads
	handshake := first == tlsFirst && young // as far as can be seen
	if waits && first != 0 && another && !handshake {
		return false
	}
	t, ok := a.traffic()
	if !ok {
		return false
	}
	answered := a.looked && t.sent != a.sent
	if !a.looked {
		a.looked, a.reads, a.sent = true, reads/oneRead, t.sent
	}
	switch {
	case !t.tcp:
		return young
	case handshake:
		// It is the client's turn, who has its request ready when it is through.
		return !waits || t.Idle() < max(queue/5, 2*t.roundTrip)
	case t.received == 0:
		return t.sent == 0 && young
	case answered, t.sent > 0 && reads&runningMask == 0:
		return false
	}
	return t.SinceReceived < queue
}

// unread is how much has come that the server has not read. ok is false when the connection has ended.
func (e *entry) unread() (n int, ok bool) {
	if e.state.Load() != phaseLive {
		return 0, false
	}
	raw, err := reach(e.below)
	if err != nil {
		return 0, false
	}
	err = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	return n, err == nil
}

// isSilent reports whether nothing has gone over the connection ever, and the server waits for the client to begin.
func (e *entry) isSilent() bool {
	if e.first.Load() != 0 || e.reads.Load()&runningMask == 0 {
		return false
	}
	t, ok := e.traffic()
	return ok && t.tcp && t.received == 0 && t.sent == 0
}

// isIdle reports whether the last that has gone over the connection came from the server, so long ago.
func (e *entry) isIdle(long time.Duration) bool {
	t, ok := e.traffic()
	return ok && t.tcp && t.RecvQueue+t.SendQueue == 0 && t.Idle() >= long && (t.received == 0 || t.sent > 0 && t.SinceSent <= t.SinceReceived)
}
