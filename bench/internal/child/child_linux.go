//go:build linux

// Package child starts programs that end with this process, however it ends, and not before.
package child

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Start starts cmd in a process group of its own, so that a Ctrl-C is not for it, and then has wait called on another goroutine. wait
// has to come to its end with cmd.Wait. The kernel kills what was started when this process ends.
//
// That is Pdeathsig, which is about the thread that has forked and not about its process (prctl(2)): Go ends a thread when a goroutine
// that is locked to it ends, and the child with it. So the goroutine that forks keeps its thread until the child has ended. cmd.Wait
// needs one for as long in any case.
func Start(cmd *exec.Cmd, wait func()) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			wait()
		}
	}()
	return <-started
}
