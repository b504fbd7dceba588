//go:build linux

package poller

import (
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"rstserver/poller/internal/onloop"
)

// outQueue is output that the kernel has not taken. It exists while there is some.
type outQueue struct {
	pieces [][]byte
	own    []byte // memory for what is copied, of which the last piece is the end, if open
	open   bool
	bytes  int   // in pieces
	passed int   // bytes that the kernel has taken since the queue began
	ends   []int // of messages, counted as passed is
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

func (q *outQueue) append(b []byte, shared bool) {
	if len(b) == 0 {
		return
	}
	q.bytes += len(b)
	if shared && len(b) >= shareFrom {
		q.pieces, q.open = append(q.pieces, b), false
		return
	}
	if room := cap(q.own) - len(q.own); room < len(b) {
		q.own, q.open = make([]byte, 0, max(min(2*cap(q.own), collected), len(b), 512)), false
	}
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
	return messages
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
	if u.queue == nil && !u.corked && (o.Shared || total > collected) && u.c.tls == nil {
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
	skip := min(n, len(head))
	q.append(head[skip:], o.Shared)
	q.append(body[n-skip:], o.Shared)
	if o.Message {
		q.ends = append(q.ends, q.passed+q.bytes)
		u.c.loop.run.unsent.Add(1)
	}
	if u.corked && q.bytes < collected {
		return false, nil
	}
	if n == 0 {
		if err = u.flushLocked(); err != nil {
			return false, err
		}
	}
	if u.queue != nil && !u.corked {
		u.c.loop.turn(u.c) // to have the watcher say when to go on
	}
	return u.queue != nil, nil
}

// writeTwo writes what the kernel takes.
func (u *upgrade) writeTwo(head, body []byte) (n int, err error) {
	for {
		if len(body) == 0 {
			n, err = unix.Write(u.c.sock.FD, head)
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

// flushLocked has the kernel take what it takes.
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
		n, err = unix.Write(u.c.sock.FD, pieces[0])
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
	if cap(q.own) <= keptQueue {
		clear(q.pieces)
		*q = outQueue{pieces: q.pieces[:0], own: q.own[:0], ends: q.ends[:0]}
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

// roomWait is somebody who waits for room in the queue.
type roomWait struct {
	below int
	ready chan struct{}
}

// Room implements onloop.Conn.
func (u *upgrade) Room(bound int) <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	ready := make(chan struct{})
	u.room = append(u.room, roomWait{bound, ready})
	u.tellRoomLocked()
	return ready
}

// tellRoomLocked tells those for whom there is room, or who wait in vain.
func (u *upgrade) tellRoomLocked() {
	if len(u.room) == 0 {
		return
	}
	queued := u.queuedLocked()
	u.room = slices.DeleteFunc(u.room, func(w roomWait) bool {
		ready := u.over || u.sealed || queued < w.below
		if ready {
			close(w.ready)
		}
		return ready
	})
}

// cork has output collected, so that it leaves together.
func (u *upgrade) cork() {
	u.mu.Lock()
	u.corked = true
	u.mu.Unlock()
}

// uncork sends what was collected, and has the connection wait, if the kernel does not take all of it, or go on. On the loop.
func (u *upgrade) uncork() {
	c := u.c
	u.mu.Lock()
	u.corked = false
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

// watch has the watcher say when the kernel takes output again.
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
