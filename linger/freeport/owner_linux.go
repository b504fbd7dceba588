//go:build linux

package freeport

import (
	"cmp"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/linger/sockdiag"
)

// Stopped is what became of a process that was to be stopped.
type Stopped struct {
	Process
	Circumstance // before that
	// Signalled: it was sent the signal.
	Signalled bool `json:"signalled"`
	// LetGo: it has nothing on the port any more, whether it lives or not.
	LetGo bool `json:"let_go"`
	// Reason says why it was not sent the signal, or, where it has not let go, that it has not; it is empty otherwise.
	Reason string `json:"reason,omitempty"`
}

// owner is a process that is being stopped.
type owner struct {
	Stopped
	pidfd  int             // -1 where the kernel has none (before Linux 5.3)
	inodes map[uint32]bool // what it had on the port
}

// stopOwners sends SIGTERM to the owners and waits until they have let go of everything on the port, for at most Wait: one
// that finishes its answers first is left to do so. It returns what the port has then.
func (p *Plan) stopOwners(v *view) ([]Stopped, *view, error) {
	found, _ := v.owners()
	owners := make([]*owner, 0, len(found))
	defer func() {
		for _, o := range owners {
			o.close()
		}
	}()
	for _, process := range found {
		o := p.signal(process)
		o.inodes = v.inodesOf(process.PID)
		owners = append(owners, o)
	}
	wait := p.Wait
	if wait == 0 {
		wait = DefaultWait
	}
	after, err := p.awaitOwners(owners, time.Now().Add(wait))
	stopped := make([]Stopped, 0, len(owners))
	for _, o := range owners {
		if o.Signalled && !o.LetGo {
			o.Reason = "it has not let go of the port in " + wait.String()
		}
		stopped = append(stopped, o.Stopped)
	}
	return stopped, after, err
}

// awaitOwners waits for the owners until the deadline, and looks at the port after that.
func (p *Plan) awaitOwners(owners []*owner, deadline time.Time) (*view, error) {
	interval := 5 * time.Millisecond
	for waits := true; ; {
		v, err := p.look()
		if err != nil {
			return nil, err
		}
		open := 0
		for _, o := range owners {
			o.LetGo = len(v.inodesOf(o.PID)) == 0 && !v.closing(o.inodes)
			if o.Signalled && !o.LetGo {
				open++
			}
		}
		if open == 0 || !waits {
			return v, nil
		}
		waits = time.Now().Add(interval).Before(deadline)
		awaitEnd(owners, min(interval, time.Until(deadline)))
		interval = min(2*interval, 100*time.Millisecond)
	}
}

// inodesOf returns what the process has on the port at the plan's addresses.
func (v *view) inodesOf(pid int) map[uint32]bool {
	inodes := make(map[uint32]bool)
	for i := range v.sockets {
		s := &v.sockets[i]
		if v.concerned(s) && slices.ContainsFunc(v.holders[s.Inode], func(p sockdiag.Process) bool { return p.PID == pid }) {
			inodes[s.Inode] = true
		}
	}
	return inodes
}

// closing reports whether one of the sockets is there that nobody has open: a process that ends, or closes a descriptor, does
// not have it any more in /proc before the kernel has closed what it stood for.
func (v *view) closing(inodes map[uint32]bool) bool {
	return slices.ContainsFunc(v.sockets, func(s sockdiag.Socket) bool {
		return inodes[s.Inode] && len(v.holders[s.Inode]) == 0
	})
}

// signal sends the plan's signal to the process, if it is one that may be stopped.
func (plan *Plan) signal(p sockdiag.Process) *owner {
	o := &owner{Stopped: Stopped{Process: Process{p.PID, p.Name}, Circumstance: circumstanceOf(p.PID)}, pidfd: -1}
	signal := cmp.Or(plan.Signal, unix.SIGTERM)
	switch p.PID {
	case 1:
		// systemd listens for the services that it starts (systemd.socket(5)); in a container it ends all of it.
		o.Reason = "process 1 is not stopped by this: stop what it listens for (systemctl stop NAME.socket)"
		return o
	case os.Getpid():
		o.Reason = "it is this very program, which was handed the socket when it was started"
		return o
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err == nil {
		o.pidfd = fd
	}
	// The number may have been given to another process since. From here on it cannot be: it is the pidfd's.
	if !p.StillHolds() {
		return o
	}
	switch {
	case o.pidfd >= 0:
		err = unix.PidfdSendSignal(o.pidfd, signal, nil, 0)
	case signal == unix.SIGKILL:
		o.Reason = "SIGKILL is sent through a pidfd alone, which this kernel does not give (Linux 5.3): " + err.Error()
		return o
	default:
		err = unix.Kill(p.PID, signal)
	}
	switch {
	case err == nil:
		o.Signalled = true
	case errors.Is(err, unix.ESRCH):
	case errors.Is(err, unix.EPERM):
		o.Reason = "no right to send it a signal: it is another user's"
	default:
		o.Reason = strings.TrimPrefix(err.Error(), "os: ")
	}
	return o
}

func (o *owner) close() {
	if o.pidfd >= 0 {
		_ = unix.Close(o.pidfd)
	}
}

// awaitEnd waits until one of the owners that still have something has ended, or for so long.
func awaitEnd(owners []*owner, limit time.Duration) {
	var fds []unix.PollFd
	for _, o := range owners {
		if o.pidfd >= 0 && o.Signalled && !o.LetGo {
			fds = append(fds, unix.PollFd{Fd: int32(o.pidfd), Events: unix.POLLIN})
		}
	}
	// Cut short by a signal of Go's scheduler, it only looks early.
	_, _ = unix.Poll(fds, int(max(limit.Milliseconds(), 1)))
}
