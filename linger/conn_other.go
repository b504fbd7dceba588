//go:build !linux

package linger

import (
	"context"
	"net"
	"sync"
	"time"
)

// Conn is a TCP connection of a [Conns].
type Conn struct {
	*net.TCPConn
	set    *Conns
	closed func(aborted bool)
	once   sync.Once
	remote net.Addr // nil: that of the socket
}

// RemoteAddr is the client's address.
func (c *Conn) RemoteAddr() net.Addr {
	if c.remote != nil {
		return c.remote
	}
	return c.TCPConn.RemoteAddr()
}

// NetConn returns the connection below.
func (c *Conn) NetConn() net.Conn { return c.TCPConn }

// SetLinger is that of net.TCPConn.
func (c *Conn) SetLinger(seconds int) error { return c.TCPConn.SetLinger(seconds) }

// Turn never ends.
func (c *Conn) Turn() context.Context { return context.Background() }

// Close closes the connection.
func (c *Conn) Close() error {
	err := c.TCPConn.Close()
	c.over(false)
	return err
}

// Abort closes the connection with SO_LINGER of zero, which resets it where the system knows that.
func (c *Conn) Abort() error {
	_ = c.SetLinger(0)
	_ = c.TCPConn.Close()
	c.over(true)
	return nil
}

func (c *Conn) over(aborted bool) {
	c.once.Do(func() {
		c.set.mu.Lock()
		delete(c.set.conns, c)
		c.set.mu.Unlock()
		if c.closed != nil {
			c.closed(aborted)
		}
	})
}

// InfoOf knows nothing here.
func InfoOf(fd int) (info ConnInfo, ok bool) { return ConnInfo{}, false }

// Conns is a set of TCP connections.
type Conns struct {
	Armed   bool
	Residue *Residue

	mu    sync.Mutex // guards what follows
	conns map[*Conn]bool
	ended bool
	late  Sweep
}

// Add enters c. After the first AbortAll it aborts it and returns false.
func (s *Conns) Add(c *net.TCPConn, closed func(aborted bool)) (*Conn, bool) {
	conn := &Conn{TCPConn: c, set: s, closed: closed}
	s.mu.Lock()
	ended := s.ended
	if ended {
		s.late.Aborted[New]++
	} else {
		if s.conns == nil {
			s.conns = make(map[*Conn]bool)
		}
		s.conns[conn] = true
	}
	s.mu.Unlock()
	if ended {
		_ = conn.Abort()
	}
	return conn, !ended
}

// AddFrom is Add for a connection whose RemoteAddr is to be another.
func (s *Conns) AddFrom(c *net.TCPConn, remote net.Addr, closed func(aborted bool)) (*Conn, bool) {
	conn, ok := s.Add(c, closed)
	conn.remote = remote
	return conn, ok
}

// AbortAll aborts all, now and from now on.
func (s *Conns) AbortAll(a Activity) (sweep Sweep) {
	s.mu.Lock()
	s.ended = true
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	for c := range conns {
		_ = c.Abort()
		sweep.Aborted[a]++
	}
	return sweep
}

// Late counts those that came after the first AbortAll.
func (s *Conns) Late() Sweep {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.late
}

// TellTurns gives no turn: the connections of such a system have none.
func (s *Conns) TellTurns(window time.Duration, stop <-chan struct{}) {}

// Len is the number of connections.
func (s *Conns) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// CloseIdle closes nothing, as nobody says what is idle.
func (s *Conns) CloseIdle(since time.Duration) int { return 0 }

// Cookies returns none.
func (s *Conns) Cookies() []uint64 { return nil }
