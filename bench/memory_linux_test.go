//go:build linux

package bench

import "testing"

// memoryMB is a figure of a process's memory in units of 10^6 bytes.
func memoryMB(t testing.TB, pid int, name string) float64 {
	t.Helper()
	n, err := memory(pid, name)
	if err != nil {
		t.Fatal(err)
	}
	return float64(n) / 1e6
}
