//go:build linux

package poller

import (
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"rstserver/internal/tcpsock"
	"rstserver/poller/internal/onloop"
)

// outQueue is output that the kernel has not taken. It exists while there is some.
type outQueue struct {
	pieces [][]byte
	own    []byte // memory for what is copied, of which the last piece is the end, if open
	open   bool
	bytes  int     // in pieces
	passed int     // bytes that the kernel has taken since the queue began
	ends   []int   // of messages, counted as passed is
	blocks []block // memory that pieces are in, beside own, in the order in which it is given back
	full   int     // bytes of blocks that nobody shares
}

// block is memory that is kept until the kernel has taken all that is in it.
type block struct {
	end    int // counted as outQueue.passed is
	size   int
	shared *onloop.Shared // nil: it was outQueue.own
}

const (
	// shareFrom is the size from which on what is shared is not copied.
	shareFrom = 1 << 10
	// collected is how much output is collected before it is sent, and how much is copied for one system call.
	collected = 64 << 10
	// keptQueue bounds the memory that a queue has when it is kept for another connection.
	keptQueue = 16 << 10
)

var outQueues = sync.Pool{New: func() any { return new(outQueue) }}

// add appends what there is of o behind its first n bytes. account is that of what is shared.
func (q *outQueue) add(o onloop.Output, n int, account onloop.Account) {
	skip := min(n, len(o.Head))
	for _, b := range [...][]byte{o.Head[skip:], o.Body[n-skip:]} {
		if o.Shared == nil || len(b) < shareFrom {
			q.append(b)
			continue
		}
		q.bytes += len(b)
		q.pieces, q.open = append(q.pieces, b), false
		size := len(o.Head) + len(o.Body)
		o.Shared.Hold(size, account)
		q.blocks = append(q.blocks, block{q.passed + q.bytes, size, o.Shared})
	}
	if o.Message {
		q.ends = append(q.ends, q.passed+q.bytes)
	}
}

// append appends a copy of b.
func (q *outQueue) append(b []byte) {
	if len(b) == 0 {
		return
	}
	if room := cap(q.own) - len(q.own); room < len(b) {
		if len(q.own) > 0 && q.bytes > 0 {
			q.blocks = append(q.blocks, block{q.passed + q.bytes, cap(q.own), nil})
			q.full += cap(q.own)
		}
		q.own, q.open = make([]byte, 0, max(min(2*cap(q.own), collected), len(b), 512)), false
	}
	q.bytes += len(b)
	start := len(q.own)
	q.own = append(q.own, b...)
	if q.open {
		last := &q.pieces[len(q.pieces)-1]
		*last = q.own[start-len(*last):]
		return
	}
	q.pieces, q.open = append(q.pieces, q.own[start:]), true
}

// take removes what the kernel has taken, and returns how many messages have gone out with it.
func (q *outQueue) take(n int) (messages int) {
	q.bytes -= n
	q.passed += n
	for n > 0 {
		m := min(n, len(q.pieces[0]))
		n -= m
		if q.pieces[0] = q.pieces[0][m:]; len(q.pieces[0]) == 0 {
			q.pieces = slices.Delete(q.pieces, 0, 1)
			q.open = q.open && len(q.pieces) > 0
		}
	}
	for messages < len(q.ends) && q.ends[messages] <= q.passed {
		messages++
	}
	q.ends = slices.Delete(q.ends, 0, messages)
	free := 0
	for free < len(q.blocks) && q.blocks[free].end <= q.passed {
		q.free(q.blocks[free])
		free++
	}
	q.blocks = slices.Delete(q.blocks, 0, free)
	return messages
}

func (q *outQueue) free(b block) {
	if b.shared != nil {
		b.shared.Release()
	} else {
		q.full -= b.size
	}
}

// weight is how many bytes of memory the queue has, by capacity, but for what is shared.
func (q *outQueue) weight() int {
	if q == nil {
		return 0
	}
	return cap(q.own) + q.full + cap(q.pieces)*int(unsafe.Sizeof(q.pieces[0])) + cap(q.ends)*int(unsafe.Sizeof(q.ends[0])) +
		cap(q.blocks)*int(unsafe.Sizeof(q.blocks[0]))
}

// part is how much falls to the queue of what is shared.
func (q *outQueue) part() (n int) {
	if q == nil {
		return 0
	}
	for _, b := range q.blocks {
		if b.shared != nil {
			n += b.shared.Part()
		}
	}
	return n
}

// Send implements onloop.Conn.
func (u *upgrade) Send(o onloop.Output) (waits bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.sealed:
		return false, onloop.ErrOver
	case o.Bound > 0 && u.queuedLocked() >= o.Bound:
		return true, onloop.ErrFull
	}
	u.sealed = o.Last
	head, body, n := o.Head, o.Body, 0
	total := len(head) + len(body)
	if total == 0 {
		return u.queue != nil, nil
	}
	if u.queue == nil && !u.corked && (o.Shared != nil || total > collected) && u.c.tls == nil {
		// As it is.
		if n, err = u.writeTwo(head, body); err != nil {
			u.abortLocked()
			return false, onloop.ErrOver
		}
		if n == total {
			return false, nil
		}
	}
	q := u.queue
	if q == nil {
		q = outQueues.Get().(*outQueue)
		u.queue = q
	}
	q.add(o, n, u.c.loop.run.memory)
	if o.Message {
		u.c.loop.run.unsent.Add(1)
	}
	if u.held || u.corked && q.bytes < collected {
		return false, nil
	}
	if n == 0 {
		if err = u.flushLocked(); err != nil {
			return false, err
		}
	}
	if u.queue != nil && !u.corked {
		u.c.loop.turn(u.c) // for the watcher to say when to go on
	}
	return u.queue != nil, nil
}

// writeTwo writes what the kernel takes.
func (u *upgrade) writeTwo(head, body []byte) (n int, err error) {
	for {
		if len(body) == 0 {
			n, err = tcpsock.Send(u.c.sock.FD, head)
		} else {
			n, err = unix.Writev(u.c.sock.FD, [][]byte{head, body})
		}
		switch err {
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return n, err
		}
	}
}

// flushLocked gives the kernel what it takes.
func (u *upgrade) flushLocked() error {
	if u.queue == nil && !u.c.tls.blocked() {
		return nil
	}
	for u.queue != nil || u.c.tls.blocked() {
		n, err := u.writeLocked()
		if q := u.queue; q != nil && n > 0 {
			if sent := q.take(n); sent > 0 {
				u.c.loop.run.unsent.Add(int64(-sent))
			}
			if q.bytes == 0 {
				u.dropQueueLocked()
			}
		}
		switch err {
		case nil, unix.EINTR:
		case unix.EAGAIN:
			u.tellRoomLocked()
			return nil
		default:
			u.abortLocked()
			return onloop.ErrOver
		}
	}
	u.tellRoomLocked()
	return nil
}

func (u *upgrade) writeLocked() (n int, err error) {
	var pieces [][]byte
	if u.queue != nil {
		pieces = u.queue.pieces
	}
	switch {
	case u.c.tls != nil:
		return u.c.tls.write(gather(pieces))
	case len(pieces) == 1:
		n, err = tcpsock.Send(u.c.sock.FD, pieces[0])
	default:
		n, err = unix.Writev(u.c.sock.FD, pieces[:min(len(pieces), 64)])
	}
	return max(n, 0), err
}

// abortLocked resets a connection that cannot be written to: nothing that is sent can arrive any more. The loop finds out.
func (u *upgrade) abortLocked() {
	u.sealed = true
	if !u.over {
		_, _ = u.c.loop.run.table.Abort(u.c.sock.FD)
	}
}

// dropQueueLocked forgets what is left of the queue. What is not sent of a connection counts, for the Report, if the server is letting go.
func (u *upgrade) dropQueueLocked() {
	q := u.queue
	if q == nil {
		return
	}
	u.queue = nil
	if r := u.c.loop.run; len(q.ends) > 0 && !r.lettingGo() {
		r.unsent.Add(int64(-len(q.ends)))
	}
	q.release()
}

// release gives back what is shared, and keeps the queue's memory for another connection.
func (q *outQueue) release() {
	for _, b := range q.blocks {
		q.free(b)
	}
	if q.weight() <= keptQueue {
		clear(q.pieces)
		clear(q.blocks)
		*q = outQueue{pieces: q.pieces[:0], own: q.own[:0], ends: q.ends[:0], blocks: q.blocks[:0]}
		outQueues.Put(q)
	}
}

// Queued implements onloop.Conn.
func (u *upgrade) Queued() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.queuedLocked()
}

func (u *upgrade) queuedLocked() int {
	if u.queue == nil {
		return 0
	}
	return u.queue.bytes
}

// roomWaits are those who wait for room in a queue, each until fewer bytes than a bound are in it.
type roomWaits []roomWait

type roomWait struct {
	below int
	ready chan struct{}
}

func (r *roomWaits) add(below int) <-chan struct{} {
	ready := make(chan struct{})
	*r = append(*r, roomWait{below, ready})
	return ready
}

// tell tells those for whom there is room, or who wait in vain.
func (r *roomWaits) tell(queued int, over bool) {
	if len(*r) == 0 {
		return
	}
	*r = slices.DeleteFunc(*r, func(w roomWait) bool {
		ready := over || queued < w.below
		if ready {
			close(w.ready)
		}
		return ready
	})
}

// Room implements onloop.Conn.
func (u *upgrade) Room(bound int) <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	ready := u.room.add(bound)
	u.tellRoomLocked()
	return ready
}

func (u *upgrade) tellRoomLocked() { u.room.tell(u.queuedLocked(), u.over || u.sealed) }

// cork collects output, so that it leaves together.
func (u *upgrade) cork() {
	u.mu.Lock()
	u.corked = true
	u.mu.Unlock()
}

// uncork sends what was collected, and lets the connection wait, if the kernel does not take all of it, or go on. On the loop.
func (u *upgrade) uncork() {
	c := u.c
	u.mu.Lock()
	u.corked, u.held = false, false
	if u.over {
		u.mu.Unlock()
		return
	}
	_ = u.flushLocked() // the loop finds out
	blocked := u.queue != nil || c.tls.blocked()
	u.mu.Unlock()
	switch {
	case c.over():
	case blocked:
		u.blocked = true
		if c.state == upgraded {
			c.become(clogged)
			c.countUnacked()
		}
		u.watch()
	case u.ending:
		u.leave()
	case u.blocked:
		u.blocked = false
		if c.state == clogged {
			c.become(upgraded)
			u.await()
		}
		u.cork()
		u.protocol.Sent()
		u.uncork()
	}
}

// watch asks the watcher to say when the kernel takes output again.
func (u *upgrade) watch() {
	if u.watched {
		return
	}
	c := u.c
	if err := c.loop.run.watcher.Add(c.sock.FD, c, unix.EPOLLOUT); err != nil {
		if !c.loop.run.closing() {
			c.loop.log.Error("connection is aborted, as its output cannot be watched", "conn", c.id, "error", err)
		}
		c.abort()
		return
	}
	u.watched = true
}
