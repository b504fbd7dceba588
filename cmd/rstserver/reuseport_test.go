package main

import (
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/linger/sockdiag"
)

// TestReuseport starts two processes that serve one port. The end of one is nothing to the other.
func TestReuseport(t *testing.T) {
	args := []string{"--reuseport", "--log-conns", "--log-format", "json"}
	leaving := start(t, args...)
	staying := start(t, append(args, "--addr", leaving.addr.String())...)
	var left, stayed []*client
	for len(left) < 5 || len(stayed) < 5 {
		c := dial(t, leaving.addr)
		c.expectHello()
		// Whichever of them has it has logged so by now, or is about to.
		lingertest.Wait(t, "one of the two logs the connection", func() bool {
			switch name := c.LocalAddr().String(); {
			case leaving.stderr.count(name) == 1:
				left = append(left, c)
			case staying.stderr.count(name) == 1:
				stayed = append(stayed, c)
			default:
				return false
			}
			return true
		})
	}
	leaving.stop()
	for _, c := range left {
		c.expectReset()
	}
	for _, c := range stayed {
		c.expectHello()
	}
	rep := leaving.report()
	if rep.Connections["idle"] != len(left) {
		t.Errorf("connections = %v, want %d idle", rep.Connections, len(left))
	}
	if others := rep.Left.Others; others[sockdiag.Listen] != 1 || others[sockdiag.Established] != len(stayed) {
		t.Errorf("others = %s, want LISTEN 1, ESTABLISHED %d", others, len(stayed))
	}
	if rep.Left.Outlived.Total() != 0 {
		t.Errorf("outlived = %s, want none", rep.Left.Outlived)
	}
	// A third takes the place of the first.
	successor := start(t, append(args, "--addr", staying.addr.String())...)
	for successor.stderr.count("opened") == 0 {
		dial(t, staying.addr).expectHello()
	}
	successor.stop()
	staying.stop()
	expectFree(t, staying.addr)
}
