//go:build linux

// Package processors keeps goroutines on different processors.
package processors

import (
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Set keeps the loops of a server on different processors while they reset their connections. The scheduler alone
// often leaves two of them on one: each reset wakes its client up, and a client on the same machine has taken the other
// processor by the time that the second loop is about to run. Then the loops take turns and every client is
// served before the port is free. The zero value is ready to use; any goroutine may call Take.
type Set struct {
	mu    sync.Mutex
	taken unix.CPUSet
}

// Take binds the calling goroutine to one processor that no other goroutine has taken, and that is the one it runs on
// already if possible, until it calls giveBack. Where there are too few processors, or the kernel does not let us choose, it
// runs where the scheduler has it run.
func (p *Set) Take() (giveBack func()) {
	runtime.LockOSThread()
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return runtime.UnlockOSThread // a machine of more than 1,024 processors, or a sandbox
	}
	p.mu.Lock()
	cpu, ok := choose(&allowed, &p.taken, processor())
	if ok {
		p.taken.Set(cpu)
	}
	p.mu.Unlock()
	if !ok {
		return runtime.UnlockOSThread
	}
	var one unix.CPUSet
	one.Set(cpu)
	err := unix.SchedSetaffinity(0, &one)
	return func() {
		p.mu.Lock()
		p.taken.Clear(cpu)
		p.mu.Unlock()
		if err != nil || unix.SchedSetaffinity(0, &allowed) == nil {
			runtime.UnlockOSThread()
		}
		// Otherwise the thread must not serve other goroutines: it ends with this one.
	}
}

// choose returns current, if it is allowed and not taken, and else the first processor that is. A goroutine that is alone on
// its machine has nothing to choose.
func choose(allowed, taken *unix.CPUSet, current int) (cpu int, ok bool) {
	if allowed.Count() < 2 {
		return 0, false
	}
	free := func(cpu int) bool { return allowed.IsSet(cpu) && !taken.IsSet(cpu) }
	if free(current) {
		return current, true
	}
	for cpu := range int(unsafe.Sizeof(*allowed)) * 8 {
		if free(cpu) {
			return cpu, true
		}
	}
	return 0, false
}

// processor is the number of the one that the calling thread runs on, -1 if the kernel does not tell.
func processor() int {
	var cpu uint32
	if _, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); errno != 0 {
		return -1
	}
	return int(cpu)
}
