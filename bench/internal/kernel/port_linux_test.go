//go:build linux

package kernel

import (
	"testing"

	"rstserver/linger"
)

// The port that a server is given is free, and none that the kernel gives a client meanwhile.
func TestFreePort(t *testing.T) {
	low, high := ephemeralPorts()
	if low >= high {
		t.Fatalf("clients get ports from %d to %d", low, high)
	}
	for range 20 {
		addr, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if port := int(addr.Port()); port < firstPort || port > lastPort || low <= port && port <= high {
			t.Errorf("got port %d, which clients may get: %d to %d", port, low, high)
		}
		if err := linger.CheckFree(addr); err != nil {
			t.Error(err)
		}
	}
}
