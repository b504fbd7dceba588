//go:build linux

package lingertest

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// OnThread runs f on a thread of its own that ends with it, whatever f does to it, and returns when f has.
func OnThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked
		if unix.Gettid() == unix.Getpid() {
			// The runtime keeps the main thread, and /proc/self is about it.
			defer runtime.UnlockOSThread()
			OnThread(f)
			return
		}
		f()
	}()
	<-done
}

// AsNobody runs f on a thread of another user, who has no privileges. It skips the test where that cannot be had. f must not end the
// test's goroutine, as t.Fatal does, for it is not on it.
func AsNobody(t testing.TB, f func()) {
	t.Helper()
	const nobody = 65534
	if unix.Geteuid() == nobody {
		t.Skip("needs root: what nobody has is not another user's to nobody")
	}
	var errno unix.Errno
	OnThread(func() {
		// The bare system call changes this thread alone. It clears the effective capabilities too.
		if _, _, errno = unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno == 0 {
			f()
		}
	})
	if errno != 0 {
		t.Skipf("needs root, whose privilege it gives up: setresuid: %v", errno)
	}
}

// InNewNetwork runs f on a thread in a network namespace of its own, which has no interface that is up. What f starts there is
// there too. It skips the test where that cannot be had. f must not end the test's goroutine, for it is not on it.
func InNewNetwork(t testing.TB, f func()) {
	t.Helper()
	var err error
	OnThread(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			f()
		}
	})
	if err != nil {
		t.Skipf("needs root (CAP_SYS_ADMIN), to make a network namespace: unshare: %v", err)
	}
}

// OnOneProcessor keeps the calling goroutine on one processor until done is called. What it sends over the loopback interface arrives
// in the order in which it was sent. A client's acknowledgement that comes after its FIN, by way of another processor, meets a
// TIME_WAIT and ends it (RFC 1337).
func OnOneProcessor(t testing.TB) (done func()) {
	t.Helper()
	runtime.LockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if before.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.SchedSetaffinity(0, &before); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	}
}
