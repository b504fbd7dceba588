//go:build linux

package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is how long all processes have run on processors so far, and what they hold in memory, in bytes. Who of them becomes an orphan
// later is known from then on.
func (p *Family) Usage() (time.Duration, int64, error) {
	if _, err := p.strays.reap(); err != nil {
		return 0, 0, err
	}
	members, err := p.members()
	if err != nil {
		return 0, 0, err
	}
	bytes, err := resident(members)
	if err != nil {
		return 0, 0, err
	}
	used, err := cpu(members)
	return used + p.strays.used, bytes, err
}

// members are all processes and those that descend from them, also those that have become orphans.
func (p *Family) members() (map[int]kin, error) {
	orphans, err := p.strays.orphans()
	if err != nil {
		return nil, err
	}
	table, err := processTable()
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	for pid, k := range table {
		children[k.parent] = append(children[k.parent], pid)
	}
	pids := orphans
	for _, one := range p.started {
		pids = append(pids, one.cmd.Process.Pid)
	}
	family := make(map[int]kin)
	for i := 0; i < len(pids); i++ {
		pid := pids[i]
		k, ok := table[pid]
		if !ok {
			continue // it has ended
		}
		family[pid] = k
		if !p.strays.groups[pid] {
			p.strays.seen[pid] = k.began
		}
		pids = append(pids, children[pid]...)
	}
	return family, nil
}

// cpu is how long the processes of a family, and those of their children that have ended, have run on processors so far.
func cpu(family map[int]kin) (time.Duration, error) {
	var total time.Duration
	for pid, k := range family {
		// The clock of another process, as clock_getcpuclockid(3) makes it, with CPUCLOCK_SCHED: to the nanosecond.
		const sched = 2
		var ts unix.Timespec
		switch err := unix.ClockGettime(int32(^pid)<<3|sched, &ts); err {
		case nil:
			total += time.Duration(ts.Nano()) + k.children
		case unix.EINVAL, unix.ESRCH: // it has ended
		default:
			return 0, fmt.Errorf("bench: processor time of process %d: %w", pid, os.NewSyscallError("clock_gettime", err))
		}
	}
	return total, nil
}

// Used is how long the processes, which have ended, and their descendants have run on processors.
func (p *Family) Used() time.Duration {
	total := p.strays.used
	for _, one := range p.started {
		if state := one.cmd.ProcessState; state != nil {
			total += state.UserTime() + state.SystemTime()
		}
	}
	return total
}

// resident is what the processes of a family hold in memory, in bytes.
func resident(family map[int]kin) (int64, error) {
	var total int64
	for pid := range family {
		switch n, err := Memory(pid, "VmRSS"); {
		case err == nil:
			total += n
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH), errors.Is(err, errNoFigure): // it has ended
		default:
			return 0, err
		}
	}
	return total, nil
}

// errNoFigure is returned by Memory for a process that has ended, and that nobody has waited for.
var errNoFigure = errors.New("there is no such figure")

// Memory is a figure of /proc/PID/status (proc_pid_status(5)) in bytes: VmRSS, or VmHWM for the most that it has been.
func Memory(pid int, name string) (int64, error) {
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
	return 0, fmt.Errorf("bench: %s in /proc/%d/status: %w", name, pid, errNoFigure)
}
