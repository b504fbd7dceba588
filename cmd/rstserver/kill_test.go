package main

import (
	"syscall"
	"testing"

	"rstserver/linger"
)

// TestKill ends the process without giving it a chance: as the connections were armed from birth, nothing is left of them.
func TestKill(t *testing.T) {
	t.Parallel()
	p := start(t, "--min-body-rate", "0")
	clients, _ := crowd(t, p)
	p.signal(syscall.SIGKILL)
	p.exit(-1)
	for _, c := range clients {
		c.expectReset()
	}
	expectFree(t, p.addr)
}

// TestKillUnarmed shows what arming is for.
func TestKillUnarmed(t *testing.T) {
	p := start(t, "--no-arm")
	var clients []*client
	for range 10 {
		c := dial(t, p.addr)
		c.expectHello()
		clients = append(clients, c)
	}
	p.signal(syscall.SIGKILL)
	p.exit(-1)
	for _, c := range clients {
		c.expectEnd()
	}
	if linger.CheckFree(p.addr) == nil {
		t.Error("the port is free, although the connections were not armed")
	}
}
