//go:build linux

package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/bench/internal/kernel"
)

// Run runs a command that is to change something about the server, and waits for its end. What it has started, and runs on, is of the
// family.
func (p *Family) Run(ctx context.Context, command []string, stderr io.Writer) error {
	one, err := p.start(command, stderr)
	if err != nil {
		return fmt.Errorf("starting %s: %w", command[0], err)
	}
	one.errand = true
	select {
	case <-one.ended:
	case <-ctx.Done():
		_ = one.cmd.Process.Kill()
		<-one.ended
		return fmt.Errorf("%s has not come to its end: %w", command[0], context.Cause(ctx))
	}
	if one.cmd.ProcessState == nil || !one.cmd.ProcessState.Success() {
		return fmt.Errorf("%s has ended with %s%s", command[0], one.exit(), one.printed())
	}
	return nil
}

// Living are the processes of the server that have not ended, by number, and what each holds in memory, in bytes. Processes that Run has
// started are not among them.
func (p *Family) Living() (map[int]int64, error) {
	members, err := p.reapedMembers()
	if err != nil {
		return nil, err
	}
	living := make(map[int]int64)
	for pid, k := range members {
		if p.isErrand(pid, k) {
			continue
		}
		held, err := resident(map[int]kin{pid: k})
		if err != nil {
			return nil, err
		}
		if held.Resident > 0 { // otherwise it has ended, and nobody has waited for it
			living[pid] = held.Resident
		}
	}
	return living, nil
}

// isErrand reports whether Run has started a process.
func (p *Family) isErrand(pid int, k kin) bool {
	return slices.ContainsFunc(p.started, func(one *process) bool { return one.errand && one.is(pid, k) })
}

// Watch begins to watch a process and all that descend from it, of the server's, for their end. Close ends that.
func (p *Family) Watch(pid int) (*Death, error) {
	members, err := p.members()
	if err != nil {
		return nil, err
	}
	of := map[int]bool{pid: true}
	for grown := true; grown; {
		grown = false
		for child, k := range members {
			if !of[child] && of[k.parent] {
				of[child], grown = true, true
			}
		}
	}
	d := &Death{Of: of, fds: make(map[int]int), At: make(map[int]time.Duration)}
	for pid := range of {
		fd, err := unix.PidfdOpen(pid, 0)
		if err == unix.ESRCH {
			continue
		}
		if err != nil {
			d.Close()
			return nil, fmt.Errorf("bench: watching process %d: %w", pid, os.NewSyscallError("pidfd_open", err))
		}
		if k, err := readKin(pid); err != nil || k.began != members[pid].began { // its number has become another's
			_ = unix.Close(fd)
			continue
		}
		d.fds[pid] = fd
	}
	return d, nil
}

// Heir is the process among those of the server that was not there before and descends from no other such one. With several it is not
// known, and an error.
func (p *Family) Heir(before map[int]bool) (int, error) {
	members, err := p.members()
	if err != nil {
		return 0, err
	}
	var heirs []string
	heir := 0
	for pid, k := range members {
		parent, isNew := members[k.parent]
		if before[pid] || p.isErrand(pid, k) || isNew && !before[k.parent] && !p.isErrand(k.parent, parent) {
			continue
		}
		heir = pid
		heirs = append(heirs, fmt.Sprint(pid))
	}
	switch len(heirs) {
	case 0:
		return 0, errors.New("no process of it is left")
	case 1:
		return heir, nil
	}
	return 0, fmt.Errorf("which of the processes %s is the one to signal next is not known; pidfile= names the file that says so", strings.Join(heirs, ", "))
}

// Death is when processes end. It is one goroutine's.
type Death struct {
	Of  map[int]bool // those that are watched, by number
	At  map[int]time.Duration
	fds map[int]int // pidfds by number, of those that have not ended
}

// Look notes who has ended, in At, by the clock of kernel.Now.
func (d *Death) Look() {
	for pid, fd := range d.fds {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 0); err == nil && n > 0 {
			d.At[pid] = kernel.Now()
			_ = unix.Close(fd)
			delete(d.fds, pid)
		}
	}
}

// Signal sends sig to a process that is watched, and to no other that has got its number since. It is ESRCH if it has ended.
func (d *Death) Signal(pid int, sig unix.Signal) error {
	fd, ok := d.fds[pid]
	if !ok {
		return unix.ESRCH
	}
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}

// Lives reports whether a process that is watched has not ended.
func (d *Death) Lives(pid int) bool {
	_, ok := d.fds[pid]
	return ok
}

// Left is the number of those that have not.
func (d *Death) Left() int { return len(d.fds) }

// Close ends the watch.
func (d *Death) Close() {
	for _, fd := range d.fds {
		_ = unix.Close(fd)
	}
	clear(d.fds)
}

// Printed is the end of what the process has printed that was started last, for an error.
func (p *Family) Printed() string { return p.started[len(p.started)-1].printed() }
