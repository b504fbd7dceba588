//go:build linux

package kernel

import (
	"net"
	"testing"
)

func TestSince(t *testing.T) {
	got := Since(map[string]int64{"A": 1, "B": 5}, map[string]int64{"A": 4, "B": 5, "C": 2})
	if len(got) != 2 || got["A"] != 3 || got["C"] != 2 {
		t.Errorf("got %v, want A to have risen by 3 and C by 2", got)
	}
}

// The counters are the kernel's: a reset that is sent is one more.
func TestCounters(t *testing.T) {
	before, err := Counters()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{Overflow, Dropped} {
		if _, ok := before[name]; !ok {
			t.Errorf("there is no %s: %v", name, before)
		}
	}
	addr := serve(t).String()
	for range 10 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	after, err := Counters()
	if err != nil {
		t.Fatal(err)
	}
	if got := Since(before, after)[Resets]; got < 10 {
		t.Errorf("%d resets were sent, want 10 at least", got)
	}
}
