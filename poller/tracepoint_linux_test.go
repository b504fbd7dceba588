//go:build linux

package poller

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// countFailedAccepts counts the calls of accept4(2) of this process that find no connection (EAGAIN), from now on, by the
// kernel's tracepoint: nothing else sees them, and nothing else leaves their timing as it is. Threads that are started later
// count too.
func countFailedAccepts(t testing.TB) (count func() int) {
	t.Helper()
	var id uint64
	var err error
	lingertest.OnThread(func() { id, err = tracepoint("syscalls/sys_exit_accept4") })
	if err != nil {
		t.Skipf("needs root and a kernel with CONFIG_FTRACE_SYSCALLS, to count system calls: %v", err)
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	var fds []int
	for _, thread := range threads {
		tid, err := strconv.Atoi(thread.Name())
		if err != nil {
			t.Fatal(err)
		}
		attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Bits: unix.PerfBitInherit | unix.PerfBitDisabled}
		attr.Size = uint32(unsafe.Sizeof(attr))
		fd, err := unix.PerfEventOpen(&attr, tid, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err == unix.ESRCH {
			continue // it has ended
		}
		if err != nil {
			t.Skipf("needs CAP_PERFMON, to count system calls: perf_event_open: %v", err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		filter := append([]byte("ret == "+strconv.Itoa(-int(unix.EAGAIN))), 0)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.PERF_EVENT_IOC_SET_FILTER, uintptr(unsafe.Pointer(&filter[0]))); errno != 0 {
			t.Fatalf("ioctl PERF_EVENT_IOC_SET_FILTER: %v", errno)
		}
		if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_ENABLE, 0); err != nil {
			t.Fatalf("ioctl PERF_EVENT_IOC_ENABLE: %v", err)
		}
		fds = append(fds, fd)
	}
	return func() int {
		t.Helper()
		total := uint64(0)
		for _, fd := range fds {
			var b [8]byte
			if _, err := unix.Read(fd, b[:]); err != nil {
				t.Fatalf("reading a counter: %v", err)
			}
			total += binary.NativeEndian.Uint64(b[:])
		}
		return int(total)
	}
}

// tracepoint returns the number of an event, which tracefs has. It is mounted where only the calling thread sees it, which ends
// behind that.
func tracepoint(name string) (uint64, error) {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return 0, os.NewSyscallError("unshare", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return 0, os.NewSyscallError("mount", err)
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return 0, err
	}
	defer os.Remove(dir)
	if err := unix.Mount("tracefs", dir, "tracefs", 0, ""); err != nil {
		return 0, os.NewSyscallError("mount tracefs", err)
	}
	defer unix.Unmount(dir, 0)
	b, err := os.ReadFile(filepath.Join(dir, "events", name, "id"))
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
}
