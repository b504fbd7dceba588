//go:build linux

// Package claims knows what the live servers of this process have on its ports, by which their sockets are told from those that the
// process holds and nobody knows any more.
package claims

import (
	"slices"
	"sync"

	"rstserver/internal/descriptors"
	"rstserver/linger/sockdiag"
)

// claims are by port.
var claims struct {
	mu sync.Mutex
	of map[uint16]map[*Claim]struct{}
}

// Claim is a live server's word for what it has on a port. Any goroutine may call its methods.
type Claim struct {
	port    uint16
	sockets func() (cookies []uint64, more bool)
	before  []uint64
}

// New makes a claim. sockets returns the cookies of the server's sockets on the port at the time, its listening socket among
// them, and whether it may have others that it does not know yet; any goroutine may call it. What this process has on the port besides
// is that of others, who need not claim it.
func New(port uint16, sockets func() (cookies []uint64, more bool)) *Claim {
	own, _ := sockets()
	before := slices.DeleteFunc(heldOn(port), func(cookie uint64) bool { return slices.Contains(own, cookie) })
	c := &Claim{port: port, sockets: sockets, before: before}
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
func heldOn(port uint16) (cookies []uint64) {
	inodes := make(map[uint32]bool)
	if _, err := sockdiag.Each(port, func(s *sockdiag.Socket) bool {
		if s.Inode != 0 {
			inodes[s.Inode] = true
		}
		return true
	}); err != nil || len(inodes) < 2 {
		return nil
	}
	held, _ := descriptors.Cookies(inodes)
	for _, cookie := range held {
		cookies = append(cookies, cookie)
	}
	return cookies
}

// End ends the claim, and returns the cookies of what this process had on the port before: others', for linger.Verify.
func (c *Claim) End() (others []uint64) {
	claims.mu.Lock()
	defer claims.mu.Unlock()
	if delete(claims.of[c.port], c); len(claims.of[c.port]) == 0 {
		delete(claims.of, c.port)
	}
	return c.before
}

// On returns the cookies of all that is claimed on a port, and whether there may be more. They are nil if there is no claim at all.
func On(port uint16) (cookies map[uint64]bool, more bool) {
	claims.mu.Lock()
	var on []*Claim
	for c := range claims.of[port] {
		on = append(on, c)
	}
	claims.mu.Unlock()
	if len(on) > 0 {
		cookies = make(map[uint64]bool)
	}
	for _, c := range on {
		own, others := c.sockets()
		more = more || others
		for _, cookie := range own {
			cookies[cookie] = true
		}
	}
	return cookies, more
}
