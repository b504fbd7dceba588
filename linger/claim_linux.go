//go:build linux

package linger

import "sync"

// claims are what the live servers of this process have, by port.
var claims struct {
	mu sync.Mutex
	of map[uint16]map[*Claim]struct{}
}

// Claim is a live server's word for what it has on a port, by which [Verify] tells its sockets from those that this process
// holds and nobody knows any more. Any goroutine may call its method.
type Claim struct {
	port    uint16
	cookies func() []uint64
}

// NewClaim makes a claim. cookies returns those of the server's sockets on the port at the time, its listening socket among
// them (see [Cookie]); any goroutine may call it.
func NewClaim(port uint16, cookies func() []uint64) *Claim {
	c := &Claim{port, cookies}
	claims.mu.Lock()
	defer claims.mu.Unlock()
	if claims.of == nil {
		claims.of = make(map[uint16]map[*Claim]struct{})
	}
	if claims.of[port] == nil {
		claims.of[port] = make(map[*Claim]struct{})
	}
	claims.of[port][c] = struct{}{}
	return c
}

// Drop ends the claim. A server drops it before it has its own teardown verified. A second call does nothing.
func (c *Claim) Drop() {
	claims.mu.Lock()
	defer claims.mu.Unlock()
	if delete(claims.of[c.port], c); len(claims.of[c.port]) == 0 {
		delete(claims.of, c.port)
	}
}

// claimed returns the cookies of all that is claimed on a port.
func claimed(port uint16) map[uint64]bool {
	claims.mu.Lock()
	var on []*Claim
	for c := range claims.of[port] {
		on = append(on, c)
	}
	claims.mu.Unlock()
	cookies := make(map[uint64]bool)
	for _, c := range on {
		for _, cookie := range c.cookies() {
			cookies[cookie] = true
		}
	}
	return cookies
}
