//go:build linux

package memlimit

import (
	"runtime/debug"
	"testing"
)

func TestLeast(t *testing.T) {
	without := Least()
	if without <= 0 || without == Unlimited {
		t.Errorf("Least() = %d, want the machine's memory at the most", without)
	}
	const limit = 1 << 20
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(limit))
	if got := Least(); got != limit {
		t.Errorf("with a memory limit of %d: Least() = %d", limit, got)
	}
}
