//go:build linux

// Package kernel is what the benchmark asks of the kernel: what is on a port and whether it can be bound, the addresses that clients
// come from, counters, the clock, the machine. It touches sockets of its own that look at the port, and those that a server has left,
// which it destroys. It knows of no process and of no client.
package kernel

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now is the time since the machine was started (CLOCK_MONOTONIC), which is the same in every process.
func Now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // clock_gettime(2) knows no reason
	}
	return time.Duration(ts.Nano())
}
