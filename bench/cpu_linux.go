//go:build linux

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// cpu is how long the process has run on processors so far. Its threads know that to the nanosecond (proc(5), schedstat).
func (p *Process) cpu() (time.Duration, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.PID()))
	if err != nil || len(threads) == 0 {
		return 0, fmt.Errorf("bench: process %d has no /proc/PID/task/*/schedstat", p.PID())
	}
	var total time.Duration
	for _, name := range threads {
		b, err := os.ReadFile(name)
		if err != nil {
			return 0, fmt.Errorf("bench: %w", err)
		}
		var ran time.Duration
		if _, err := fmt.Sscan(string(b), &ran); err != nil {
			return 0, fmt.Errorf("bench: %s: %w", name, err)
		}
		total += ran
	}
	return total, nil
}

// cpuInAll is how long a process that has ended has run on processors.
func (p *Process) cpuInAll() time.Duration {
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}
