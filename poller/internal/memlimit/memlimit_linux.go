//go:build linux

package memlimit

import (
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// Least is the least of what limits the process: GOMEMLIMIT, or what debug.SetMemoryLimit has made of it; its memory cgroups; and the
// memory of the machine. In bytes.
func Least() int64 {
	least := min(debug.SetMemoryLimit(-1), cgroup(os.DirFS("/")))
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil {
		least = min(least, int64(uint64(info.Totalram)*uint64(info.Unit)))
	}
	return least
}
