//go:build linux

package poller

import (
	"net/netip"
	"sync"
	"time"
)

// clients bounds what one client address has: connections at a time, and new ones in a second. It is nil where there is no such bound. Any
// goroutine may call its methods.
//
// The rate is a bucket of tokens for each address that fills evenly, and holds what comes in a second: a client that had none of late can
// have so many connections at once. An address is forgotten when it has no connection and its bucket is full.
type clients struct {
	most int64
	rate float64 // per second; 0: any
	all  [clientShards]clientShard
}

// Loops accept from different clients at the same time, which should not wait for each other.
const clientShards = 64

type clientShard struct {
	mu    sync.Mutex // guards what follows
	of    map[netip.Addr]clientLoad
	swept time.Duration // when those without a connection were looked through
	_     [32]byte
}

// clientLoad is one address.
type clientLoad struct {
	conns  int64
	tokens float64
	at     time.Duration // when tokens was right, since epoch
}

func newClients(most int, rate int) *clients {
	if most == 0 && rate == 0 {
		return nil
	}
	return &clients{most: int64(most), rate: float64(rate)}
}

func (c *clients) shard(a netip.Addr) *clientShard {
	b := a.As16()
	h := uint32(2166136261) // FNV-1a
	for _, v := range b {
		h = (h ^ uint32(v)) * 16777619
	}
	return &c.all[h%clientShards]
}

// enter counts a new connection of a's, unless that is one too many; then it says which bound was met.
func (c *clients) enter(a netip.Addr, now time.Duration) (why Refusal, ok bool) {
	a = a.Unmap().WithZone("")
	s := c.shard(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = make(map[netip.Addr]clientLoad)
	}
	s.sweep(c, now)
	one, known := s.of[a]
	if !known {
		one.tokens, one.at = c.rate, now
	}
	if c.most > 0 && one.conns >= c.most {
		return RefusedConns, false
	}
	if c.rate > 0 {
		one.fill(c.rate, now)
		if one.tokens < 1 {
			s.of[a] = one
			return RefusedRate, false
		}
		one.tokens--
	}
	one.conns++
	s.of[a] = one
	return 0, true
}

func (c *clientLoad) fill(rate float64, now time.Duration) {
	if now > c.at {
		c.tokens = min(rate, c.tokens+rate*(now-c.at).Seconds())
		c.at = now
	}
}

// leave counts a connection off that was entered.
func (c *clients) leave(a netip.Addr) {
	a = a.Unmap().WithZone("")
	s := c.shard(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.of[a]
	if one.conns--; one.conns <= 0 && c.rate == 0 {
		delete(s.of, a)
		return
	}
	s.of[a] = one
}

// sweep forgets those whose bucket is full, once in a second.
func (s *clientShard) sweep(c *clients, now time.Duration) {
	if c.rate == 0 || now-s.swept < time.Second {
		return
	}
	s.swept = now
	for a, one := range s.of {
		if one.conns <= 0 && now-one.at > time.Second {
			delete(s.of, a)
		}
	}
}

// refuse resets a connection that is not let in. On its loop.
func (c *conn) turnAway(why Refusal) {
	c.loop.counts.refused[why].Add(1)
	c.end = EndRefused
	c.abort()
}

// enterClient counts the connection for its client, and reports whether it may stay. If not, it has been reset.
func (c *conn) enterClient() bool {
	all := c.loop.run.clients
	if all == nil {
		return true
	}
	why, ok := all.enter(c.sock.RemoteAddr().Addr(), c.loop.clock.now)
	if !ok {
		c.turnAway(why)
	}
	c.entered = ok
	return ok
}
