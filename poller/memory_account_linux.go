//go:build linux

package poller

import (
	"math"
	"sync/atomic"
)

// memory is the account of what all connections of a run have buffered, in bytes. Any goroutine may call its methods.
//
// A loop weighs a connection after each turn that it had (see [conn.weigh]) and charges the difference, so whatever a connection keeps from one
// turn to the next has to be in [conn.weight] and nowhere else: nothing can be charged twice, or be forgotten when it is given back. What
// somebody holds who is not the loop, as a handler that waits for its client, or several connections together, is charged by [exchange.hold] or
// [memory.add], and taken off by the same.
//
// Small requests that come whole, and whose answers the kernel takes, weigh nothing. Loops add up what they charge, and pass it on
// when it comes to a quantum: at those requests loops share no memory.
type memory struct {
	run      *run
	bound    atomic.Int64 // stored by setBound, as are the next two
	pressure atomic.Int64 // from here on large requests are refused
	quantum  atomic.Int64 // that a loop may have charged without passing it on

	held, peak       atomic.Int64
	refusals, resets atomic.Int64  // of requests, and of connections
	wake             chan struct{} // capacity 1; an element says that there is pressure, or that the bound is exceeded
}

const (
	// largeRequest is how much head or content a request may have before it is refused under pressure.
	largeRequest = 64 << 10
	maxQuantum   = 64 << 10
)

func newMemory(r *run) *memory {
	m := &memory{run: r, wake: make(chan struct{}, 1)}
	m.setBound(r.cfg.maxBufferedBytes)
	return m
}

// setBound sets the bound; 0 and less: none.
func (m *memory) setBound(bound int64) {
	if bound <= 0 {
		bound = math.MaxInt64
	}
	m.bound.Store(bound)
	m.pressure.Store(bound / 4 * 3)
	m.quantum.Store(min(bound/int64(64*m.run.cfg.loops), maxQuantum))
	select {
	case m.wake <- struct{}{}: // it may be exceeded now
	default:
	}
}

// add charges n bytes, or takes them off if it is negative.
func (m *memory) add(n int64) {
	held := m.held.Add(n)
	if n <= 0 {
		return
	}
	for peak := m.peak.Load(); held > peak && !m.peak.CompareAndSwap(peak, held); peak = m.peak.Load() {
	}
	if pressure := m.pressure.Load(); held > m.bound.Load() || held >= pressure && held-n < pressure {
		select {
		case m.wake <- struct{}{}:
		default:
		}
	}
}

// Charge implements onloop.Account.
func (m *memory) Charge(n int64) { m.add(n) }

// isShort reports whether large requests are to be refused.
func (m *memory) isShort() bool { return m.held.Load() >= m.pressure.Load() }

// charge charges what connections of the loop have come to weigh more, or less. On the loop.
func (l *loop) charge(n int64) {
	l.uncharged += n
	m := l.run.memory
	if quantum := m.quantum.Load(); l.uncharged >= quantum || l.uncharged <= -quantum {
		m.add(l.uncharged)
		l.uncharged = 0
	}
}

// weigh charges what the connection weighs by now. On the loop, whenever it is done with the connection for a while.
func (c *conn) weigh() {
	if w := c.weight(); w != c.charged {
		c.loop.charge(int64(w - c.charged))
		c.charged = w
	}
}

// weight is how many bytes the connection has buffered, by capacity: the memory that is taken. Of what a handler has at present it is what its
// exchange began with.
func (c *conn) weight() int {
	n := cap(c.in) + cap(c.out)
	if c.pending != nil {
		n += c.pending.weight()
	}
	if whole, ok := c.source.(*wholeContent); ok {
		n += whole.capacity
	}
	if c.lease != nil {
		return n + int(c.lent) // and tls is not the loop's
	}
	if c.upgrade != nil {
		return n + c.upgrade.weight()
	}
	return n + c.tls.weight()
}

// weight is that of what the protocol has of input and of output that waits, but for what connections share, which is charged once for all (see
// [onloop.Shared]), and of TLS.
func (u *upgrade) weight() int {
	input := u.protocol.Weight()
	u.mu.Lock()
	defer u.mu.Unlock()
	return input + u.queue.weight() + u.c.tls.weight()
}

// holds is weight, and what falls to the connection of what is shared, for whoever asks which connections are to give way.
func (c *conn) holds() int64 {
	n := int64(c.charged)
	if c.lease != nil {
		n += int64(c.lease.held.Load())
	}
	if u := c.upgrade; u != nil {
		u.mu.Lock()
		n += int64(u.queue.part())
		u.mu.Unlock()
	}
	return n
}

// weight is that of content that has not come whole.
func (p *pending) weight() int {
	n := cap(p.head)
	if !p.skip {
		n += cap(p.request.Body)
	}
	return n
}

// weight is that of content that has come with the head.
func (b *body) weight() int {
	if b.buf != nil {
		return cap(*b.buf)
	}
	return len(b.input)
}

// hold charges n bytes of the exchange's that the loop does not know of, or takes them off. Any goroutine may call it.
func (x *exchange) hold(n int32) {
	if n == 0 {
		return
	}
	x.held.Add(n)
	x.run.memory.add(int64(n))
}

// holdWaiting charges what a goroutine takes that waits for its client, and returns how much that is. What a handshake takes is charged.
func (x *exchange) holdWaiting() int32 {
	if x.shakes {
		return 0
	}
	n := int32(waitingBytes)
	if x.secure {
		x.mu.Lock()
		if x.tls != nil && x.tls.out != nil {
			n += int32(cap(*x.tls.out))
		}
		x.mu.Unlock()
	}
	x.hold(n)
	return n
}

const (
	// waitingBytes is what a goroutine takes that waits for its client: its stack, and the buffers of its worker.
	waitingBytes = 16 << 10
	// handshakeBytes is what a TLS handshake takes, its goroutine included.
	handshakeBytes = 24 << 10
	// hijackedBytes is what a hijacked connection takes: the buffers of its bufio.ReadWriter, and its entry.
	hijackedBytes = 2*contentBuffer + 1<<10
	// layerBytes is what a connection with TLS takes without a record of some size: of crypto/tls's own, mostly what its ClientHello has left.
	layerBytes = 5 << 10
)

// weight is that of TLS: records that wait to be taken, and what crypto/tls keeps, which is the memory of the longest record that has come. For
// whoever has the connection.
func (t *tlsLayer) weight() int {
	if t == nil {
		return 0
	}
	n := layerBytes + int(t.record.longest) + cap(t.in)
	if t.out != nil {
		n += cap(*t.out)
	}
	return n
}
