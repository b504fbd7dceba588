//go:build linux

package process

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/bench/internal/kernel"
	"rstserver/linger/sockdiag"
)

// strays are the processes that a server has started and outlives, or that have left it: orphans, which the kernel gives to
// this process. They are told by their process group, by a variable of their environment, or by having been seen before: one
// that has ended has no environment, and one with another session and environment was a descendant before it was an orphan.
type strays struct {
	mark string // NAME=VALUE

	mu     sync.Mutex     // guards what follows: some look while others take leave
	groups map[int]string // of the processes that were started, with kin.began of these, which lead them
	seen   map[int]string // kin.began of others, by number

	// Owned by whoever calls reap.
	used Times
	last time.Duration // that one has ended
}

const markVariable = "RSTSERVER_BENCH_RUN"

var (
	runs     atomic.Int64
	adopting = sync.OnceValue(func() error {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return os.NewSyscallError("prctl PR_SET_CHILD_SUBREAPER", err)
		}
		return nil
	})
)

func newStrays() (*strays, error) {
	return &strays{mark: fmt.Sprintf("%s=%d.%d", markVariable, os.Getpid(), runs.Add(1)), groups: make(map[int]string), seen: make(map[int]string)}, adopting()
}

// reap takes leave of the orphans that have ended, and returns how many have not.
func (s *strays) reap() (left int, err error) {
	processes, err := processTable()
	if err != nil {
		return 0, err
	}
	return s.reapOf(processes), nil
}

func (s *strays) reapOf(processes map[int]kin) (left int) {
	for _, pid := range s.orphansOf(processes) {
		var usage unix.Rusage
		switch got, err := unix.Wait4(pid, nil, unix.WNOHANG, &usage); {
		case err == nil && got == pid:
			s.used = s.used.add(timesOf(time.Duration(usage.Utime.Nano()), time.Duration(usage.Stime.Nano())))
			s.last = kernel.Now()
		case err == nil || err == unix.EINTR:
			left++
		}
	}
	return left
}

// kill ends the orphans, and those that they leave.
func (s *strays) kill() {
	const longest = time.Minute
	for deadline := time.Now().Add(longest); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		orphans, err := s.orphans()
		if err != nil || len(orphans) == 0 {
			return
		}
		for _, pid := range orphans {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		_, _ = s.reap()
	}
}

// orphans are the children of this process that are the server's and were not started by this process.
func (s *strays) orphans() ([]int, error) {
	processes, err := processTable()
	if err != nil {
		return nil, err
	}
	return s.orphansOf(processes), nil
}

func (s *strays) orphansOf(processes map[int]kin) (orphans []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retire(processes)
	for pid, p := range processes {
		_, leads := s.groups[pid]
		_, led := s.groups[p.group]
		if p.parent == os.Getpid() && !leads && (led || s.seen[pid] == p.began || s.marked(pid)) {
			s.seen[pid] = p.began
			orphans = append(orphans, pid)
		}
	}
	return orphans
}

// leads notes that a process leads its group.
func (s *strays) leads(one *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[one.cmd.Process.Pid] = one.began
}

// saw notes a process that may be an orphan later.
func (s *strays) saw(pid int, k kin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, leads := s.groups[pid]; !leads {
		s.seen[pid] = k.began
	}
}

// retire forgets the groups of which nobody is left: from then on the kernel may give the number of one to another. s.mu is held.
func (s *strays) retire(processes map[int]kin) {
	left := make(map[int]bool)
	for _, p := range processes {
		left[p.group] = true
	}
	for group, began := range s.groups {
		if leader, ok := processes[group]; !left[group] || ok && leader.began != began {
			delete(s.groups, group)
		}
	}
}

// names are those of the orphans, for an error.
func (s *strays) names() []string {
	orphans, _ := s.orphans()
	slices.Sort(orphans)
	var names []string
	for _, pid := range orphans {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		names = append(names, sockdiag.Process{PID: pid, Name: strings.TrimSpace(string(name))}.String())
	}
	return names
}

func (s *strays) marked(pid int) bool {
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && bytes.Contains(append([]byte{0}, environment...), []byte("\x00"+s.mark+"\x00"))
}

// kin is what a process has to do with others.
type kin struct {
	parent, group int
	forked        bool   // it runs what its parent did when it was forked
	exiting       bool   // the thread that it began with has ended or is about to
	began         string // in ticks of the machine's clock: with it, a number that was used again is no mistake
	children      Times  // that those of its children have run on processors that have ended, to a hundredth of a second
}

// processTable is every process of the machine (proc_pid_stat(5)).
func processTable() (map[int]kin, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	table := make(map[int]kin)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		switch k, err := readKin(pid); {
		case err == nil:
			table[pid] = k
		case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ESRCH): // it has just ended
		default:
			return nil, fmt.Errorf("bench: %w", err)
		}
	}
	return table, nil
}

// readKin reads /proc/PID/stat.
func readKin(pid int) (kin, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return kin{}, err
	}
	k, err := parseStat(string(stat))
	if err != nil {
		return kin{}, fmt.Errorf("/proc/%d/stat is %q, not as proc_pid_stat(5) has it: %w", pid, strings.TrimSpace(string(stat)), err)
	}
	return k, nil
}

// parseStat takes /proc/PID/stat apart.
func parseStat(stat string) (k kin, err error) {
	// The name in parentheses may hold anything; the state, which is the third field, comes behind it.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const third, parent, group, flags, userOfChildren, systemOfChildren, began = 3, 4, 5, 9, 16, 17, 22
	if len(fields) <= began-third {
		return k, errors.New("it has too few fields")
	}
	number := func(field int) int {
		n, failed := strconv.Atoi(fields[field-third])
		err = cmp.Or(err, failed)
		return n
	}
	k.parent, k.group = number(parent), number(group)
	set := number(flags)
	const tick = time.Second / 100 // USER_HZ
	k.children = timesOf(time.Duration(number(userOfChildren))*tick, time.Duration(number(systemOfChildren))*tick)
	if err != nil {
		return k, err
	}
	const exiting, forkNoExec = 0x4, 0x40 // PF_EXITING and PF_FORKNOEXEC of linux/sched.h
	k.exiting, k.forked = set&exiting != 0, set&forkNoExec != 0
	k.began = fields[began-third]
	return k, nil
}

// exiting reports whether a process has ended, or is about to: all its threads are past where they could do anything. The kernel
// notes that before it closes what the process has open, so whoever has seen that closed finds it here.
func exiting(pid int) bool {
	tasks := fmt.Sprintf("/proc/%d/task", pid)
	threads, err := os.ReadDir(tasks)
	for _, thread := range threads {
		stat, err := os.ReadFile(filepath.Join(tasks, thread.Name(), "stat"))
		if err != nil {
			continue // it has just ended
		}
		if k, err := parseStat(string(stat)); err != nil || !k.exiting {
			return false
		}
	}
	return err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
}
