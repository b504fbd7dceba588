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

// Lead is how far the clock that the kernel stamps packets with (CLOCK_REALTIME) is ahead of [Now]. It changes when the clock is set.
func Lead() time.Duration {
	// Of several looks the one that was held up least.
	const looks = 10
	var lead, least time.Duration
	for i := range looks {
		before := Now()
		wall := time.Duration(time.Now().UnixNano())
		if took := Now() - before; i == 0 || took < least {
			lead, least = wall-before-took/2, took
		}
	}
	return lead
}
