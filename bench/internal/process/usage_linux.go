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

// Times are how long processes have run on processors: in all, to the nanosecond, and of that in user mode, which the kernel shares out by
// what it finds at the ticks of its clock.
type Times struct{ Total, User time.Duration }

func (t Times) add(other Times) Times { return Times{t.Total + other.Total, t.User + other.User} }

// Since is what was added since then. The kernel may share the time out anew, but never has a part of it shrink.
func (t Times) Since(then Times) Times {
	total := max(t.Total-then.Total, 0)
	return Times{total, min(max(t.User-then.User, 0), total)}
}

// timesOf is what a process has taken that has ended, or some have.
func timesOf(user, system time.Duration) Times { return Times{user + system, user} }

// Usage is how long all processes have run on processors so far, and what they hold in memory. Who of them becomes an orphan later is known
// from then on.
func (p *Family) Usage() (Times, Held, error) {
	members, err := p.reapedMembers()
	if err != nil {
		return Times{}, Held{}, err
	}
	held, err := resident(members)
	if err != nil {
		return Times{}, Held{}, err
	}
	used, err := cpu(members)
	return used.add(p.strays.used), held, err
}

// members are all processes and those that descend from them, also those that have become orphans.
func (p *Family) members() (map[int]kin, error) {
	table, err := processTable()
	if err != nil {
		return nil, err
	}
	return p.membersOf(table), nil
}

// reapedMembers is members once leave was taken of the orphans that have ended, who are among them. It looks at all processes of the machine
// once, which is what takes its time.
func (p *Family) reapedMembers() (map[int]kin, error) {
	table, err := processTable()
	if err != nil {
		return nil, err
	}
	p.strays.reapOf(table)
	return p.membersOf(table), nil
}

func (p *Family) membersOf(table map[int]kin) map[int]kin {
	children := make(map[int][]int)
	for pid, k := range table {
		children[k.parent] = append(children[k.parent], pid)
	}
	pids := p.strays.orphansOf(table)
	for _, one := range p.started {
		if pid := one.cmd.Process.Pid; one.is(pid, table[pid]) {
			pids = append(pids, pid)
		}
	}
	family := make(map[int]kin)
	for i := 0; i < len(pids); i++ {
		pid := pids[i]
		k, ok := table[pid]
		if !ok {
			continue // it has ended
		}
		family[pid] = k
		p.strays.saw(pid, k)
		pids = append(pids, children[pid]...)
	}
	return family
}

// cpu is how long the processes of a family, and those of their children that have ended, have run on processors so far.
func cpu(family map[int]kin) (total Times, err error) {
	for pid, k := range family {
		switch used, err := timesSoFar(pid); err {
		case nil:
			total = total.add(used).add(k.children)
		case unix.EINVAL, unix.ESRCH: // it has ended
		default:
			return Times{}, fmt.Errorf("bench: processor time of process %d: %w", pid, os.NewSyscallError("clock_gettime", err))
		}
	}
	return total, nil
}

// timesSoFar reads the clocks of another process, as clock_getcpuclockid(3) makes them. The time that was accounted in full is shared out as
// the kernel does it when the process has ended (getrusage(2)): by the ticks.
func timesSoFar(pid int) (t Times, err error) {
	const ticks, userTicks, scheduled = 0, 1, 2 // CPUCLOCK_PROF, CPUCLOCK_VIRT, CPUCLOCK_SCHED
	var of [3]int64
	for _, clock := range []int{userTicks, ticks, scheduled} { // in this order, so that no part is more than the whole
		var ts unix.Timespec
		if err := unix.ClockGettime(int32(^pid)<<3|int32(clock), &ts); err != nil {
			return t, err
		}
		of[clock] = ts.Nano()
	}
	t.Total = time.Duration(of[scheduled])
	if of[ticks] > 0 {
		t.User = time.Duration(float64(of[scheduled]) * (float64(of[userTicks]) / float64(of[ticks])))
	}
	return t, nil
}

// Used is how long the processes, which have ended, and their descendants have run on processors.
func (p *Family) Used() Times {
	total := p.strays.used
	for _, one := range p.started {
		if state := one.cmd.ProcessState; state != nil {
			total = total.add(timesOf(state.UserTime(), state.SystemTime()))
		}
	}
	return total
}

// Held is memory of processes in bytes.
type Held struct {
	Resident  int64 // VmRSS of proc_pid_status(5): pages that several share count for each
	Anonymous int64 // RssAnon: of that what is no part of a file, such as a program
}

// HeldBy is the memory of some processes, without those that have ended.
func HeldBy(pids ...int) (total Held, err error) {
	for _, pid := range pids {
		one, err := heldBy(pid)
		switch {
		case err == nil:
			total.Resident += one.Resident
			total.Anonymous += one.Anonymous
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH), errors.Is(err, errNoFigure): // it has ended
		default:
			return Held{}, err
		}
	}
	return total, nil
}

func heldBy(pid int) (h Held, err error) {
	status, err := readStatus(pid)
	if err == nil {
		h.Resident, err = status.figure("VmRSS")
	}
	if err == nil {
		h.Anonymous, err = status.figure("RssAnon")
	}
	return h, err
}

// resident is what the processes of a family hold in memory. What one has forked that is to execute another program, as Go and
// posix_spawn(3) do, has the memory of its parent until then, and counts for nothing.
func resident(family map[int]kin) (Held, error) {
	var pids []int
	for pid, k := range family {
		if !k.forked || !sharesMemory(pid, k.parent) {
			pids = append(pids, pid)
		}
	}
	return HeldBy(pids...)
}

// sharesMemory reports whether two processes have one address space (kcmp(2)).
func sharesMemory(a, b int) bool {
	const vm = 1 // KCMP_VM of linux/kcmp.h
	same, _, err := unix.Syscall6(unix.SYS_KCMP, uintptr(a), uintptr(b), vm, 0, 0, 0)
	return err == 0 && same == 0
}

// errNoFigure is returned by Memory for a process that has ended, and that nobody has waited for.
var errNoFigure = errors.New("there is no such figure")

// Memory is a figure of /proc/PID/status (proc_pid_status(5)) in bytes: VmRSS, or VmHWM for the most that it has been.
func Memory(pid int, name string) (int64, error) {
	status, err := readStatus(pid)
	if err != nil {
		return 0, err
	}
	return status.figure(name)
}

// status is a file of proc_pid_status(5).
type status struct {
	pid     int
	content string
}

func readStatus(pid int) (status, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return status{}, fmt.Errorf("bench: %w", err)
	}
	return status{pid, string(content)}, nil
}

func (s status) figure(name string) (int64, error) {
	for line := range strings.Lines(s.content) {
		var kB int64
		if n, _ := fmt.Sscanf(line, name+": %d kB", &kB); n == 1 {
			return kB << 10, nil
		}
	}
	return 0, fmt.Errorf("bench: %s in /proc/%d/status: %w", name, s.pid, errNoFigure)
}
