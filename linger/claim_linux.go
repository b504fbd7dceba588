//go:build linux

package linger

import (
	"sync"

	"rstserver/linger/sockdiag"
)

// claims are what the live servers of this process have, by port.
var claims struct {
	mu sync.Mutex
	of map[uint16]map[*Claim]struct{}
}

// Claim is a live server's word for what it has on a port, by which its sockets are told from those that this process holds and
// nobody knows any more. Any goroutine may call its methods.
type Claim struct {
	port    uint16
	sockets func() (cookies []uint64, more bool)
	before  map[uint64]bool // cookies of what this process had on the port before
}

// NewClaim makes a claim. sockets returns the cookies of the server's sockets on the port at the time, its listening socket among
// them (see [Cookie]), and whether it may have others that it does not know yet; any goroutine may call it. What this process
// has on the port besides is that of others, who need not claim it.
func NewClaim(port uint16, sockets func() (cookies []uint64, more bool)) *Claim {
	c := &Claim{port: port, sockets: sockets, before: heldOn(port)}
	own, _ := sockets()
	for _, cookie := range own {
		delete(c.before, cookie)
	}
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

// heldOn returns the cookies of the sockets on a port that this process holds, if there is more than one.
func heldOn(port uint16) map[uint64]bool {
	c := census{port: port}
	if _, err := sockdiag.Each(port, func(s *sockdiag.Socket) bool {
		if s.Inode != 0 {
			c.unclear = append(c.unclear, held{s.Inode, s.State})
		}
		return true
	}); err != nil || len(c.unclear) < 2 {
		return nil
	}
	cookies, _ := c.cookies()
	before := make(map[uint64]bool)
	for _, cookie := range cookies {
		before[cookie] = true
	}
	return before
}

// Verify ends the claim, and is the function [Verify] for the server that has made it: what this process had on the port before is
// others' too.
func (c *Claim) Verify(ended []uint64) (Left, error) {
	c.Drop()
	return verifyUntilClear(c.port, ended, c.before)
}

// Drop ends the claim. A second call does nothing.
func (c *Claim) Drop() {
	claims.mu.Lock()
	defer claims.mu.Unlock()
	if delete(claims.of[c.port], c); len(claims.of[c.port]) == 0 {
		delete(claims.of, c.port)
	}
}

// claimed returns the cookies of all that is claimed on a port, and whether there may be more.
func claimed(port uint16) (cookies map[uint64]bool, more bool) {
	claims.mu.Lock()
	var on []*Claim
	for c := range claims.of[port] {
		on = append(on, c)
	}
	claims.mu.Unlock()
	cookies = make(map[uint64]bool)
	for _, c := range on {
		own, others := c.sockets()
		more = more || others
		for _, cookie := range own {
			cookies[cookie] = true
		}
	}
	return cookies, more
}
