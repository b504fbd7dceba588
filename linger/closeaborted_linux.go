//go:build linux

package linger

import "golang.org/x/sys/unix"

// CloseAborted closes the descriptors of connections that were reset through the table while they did what which is true of: of those from a
// number to one below another. It takes them out of the table; those that follow each other are closed by one system call (close_range(2),
// where the kernel has it). Their owners must have nothing to do with them any more. Several goroutines may call it at once, for different numbers.
func (t *Table) CloseAborted(from, to int, which func(Activity) bool) {
	to = min(to, int(t.top.Load()))
	for fd := max(from, 0); fd < to; fd++ {
		first := fd
		for fd < to && t.takeAborted(fd, which) {
			fd++
		}
		if fd > first {
			closeRange(first, fd-1)
		}
	}
}

// takeAborted takes fd out of the table if it was reset and is to be closed.
func (t *Table) takeAborted(fd int, which func(Activity) bool) bool {
	s := t.slot(fd)
	if s == nil {
		return false
	}
	old := s.state.Load()
	return old&phaseMask == phaseAborted && which(Activity(old&activityMask>>2)) && s.state.CompareAndSwap(old, phaseFree)
}

// closeRange closes descriptors. It does not tell Go's scheduler: sockets that were reset have nothing to wait for.
func closeRange(first, last int) {
	if _, _, errno := unix.RawSyscall(unix.SYS_CLOSE_RANGE, uintptr(first), uintptr(last), 0); errno == 0 {
		return
	}
	for fd := first; fd <= last; fd++ { // a kernel before 5.9
		_ = unix.Close(fd)
	}
}
