//go:build linux

package bench

import (
	"time"

	"golang.org/x/sys/unix"
)

// now is the time since the machine was started (CLOCK_MONOTONIC), which is the same in every process.
func now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // clock_gettime(2) knows no reason
	}
	return time.Duration(ts.Nano())
}
