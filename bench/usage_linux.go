//go:build linux

package bench

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// family are the numbers of all processes and of those that descend from them.
func (p *Processes) family() ([]int, error) {
	table, err := processTable()
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	for pid, k := range table {
		children[k.parent] = append(children[k.parent], pid)
	}
	var family []int
	for _, one := range p.started {
		family = append(family, one.cmd.Process.Pid)
	}
	for i := 0; i < len(family); i++ {
		family = append(family, children[family[i]]...)
	}
	return family, nil
}

// cpu is how long the processes of a family have run on processors so far.
func cpu(family []int) (time.Duration, error) {
	var total time.Duration
	for _, pid := range family {
		// The clock of another process, as clock_getcpuclockid(3) makes it, with CPUCLOCK_SCHED: to the nanosecond.
		const sched = 2
		var ts unix.Timespec
		if err := unix.ClockGettime(int32(^pid)<<3|sched, &ts); err != nil {
			return 0, fmt.Errorf("bench: processor time of process %d: %w", pid, os.NewSyscallError("clock_gettime", err))
		}
		total += time.Duration(ts.Nano())
	}
	return total, nil
}

// used is how long the processes, which have ended, and their descendants have run on processors.
func (p *Processes) used() time.Duration {
	total := p.strays.used
	for _, one := range p.started {
		if state := one.cmd.ProcessState; state != nil {
			total += state.UserTime() + state.SystemTime()
		}
	}
	return total
}

// resident is what the processes of a family hold in memory, in bytes.
func resident(family []int) (int64, error) {
	var total int64
	for _, pid := range family {
		n, err := memory(pid, "VmRSS")
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// memory is a figure of /proc/PID/status (proc_pid_status(5)) in bytes: VmRSS, or VmHWM for the most that it has been.
func memory(pid int, name string) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		var kB int64
		if n, _ := fmt.Sscanf(line, name+": %d kB", &kB); n == 1 {
			return kB << 10, nil
		}
	}
	return 0, fmt.Errorf("bench: no %s in /proc/%d/status", name, pid)
}
