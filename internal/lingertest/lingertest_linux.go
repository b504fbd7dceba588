//go:build linux

// Package lingertest holds what tests of servers that let go of their port have in common: that nothing leaks, what
// is left on a port, and how to wait for what the kernel does in its own time.
package lingertest

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Patience bounds every wait of a test: long enough for a busy machine under the race detector, and no measure of speed.
const Patience = 2 * time.Minute

// Main runs the tests of a package and exits. It fails them when goroutines or descriptors are left. Goroutines that a
// library starts for good are named by opts.
func Main(m *testing.M, opts ...goleak.Option) {
	takeSignals()
	before := Descriptors()
	code := m.Run()
	// What a test has told to end may take a moment to do so.
	for deadline := time.Now().Add(Patience); ; {
		goroutines, descriptors := goleak.Find(opts...), NewDescriptors(before)
		if goroutines == nil && len(descriptors) == 0 {
			break
		}
		if time.Now().After(deadline) {
			fmt.Fprintln(os.Stderr, "leaked goroutines:", goroutines)
			fmt.Fprintln(os.Stderr, "leaked descriptors:", descriptors)
			code = max(code, 1)
			break
		}
	}
	for _, f := range atExit {
		f()
	}
	os.Exit(code)
}

var atExit []func()

// AtExit registers f, which Main calls when all tests are over. Tests may call it, one at a time.
func AtExit(f func()) { atExit = append(atExit, f) }

// takeSignals gives programs that the tests start the default action of each signal, whatever the tests were started with: nohup
// ignores SIGHUP, and a shell SIGINT and SIGQUIT of what it puts in the background, and programs inherit that. A signal that is caught
// is reset by execve(2). This process goes on without it, as nobody reads what is caught.
func takeSignals() {
	nobody := make(chan os.Signal, 1)
	for sig := syscall.Signal(1); sig < 32; sig++ {
		if signal.Ignored(sig) {
			signal.Notify(nobody, sig)
		}
	}
}

// Keep keeps a descriptor that is the test's own until its end, and closes it then. [Descriptors] leaves it out.
func Keep(t testing.TB, fd int) {
	kept.Store(strconv.Itoa(fd), nil)
	t.Cleanup(func() {
		kept.Delete(strconv.Itoa(fd))
		_ = syscall.Close(fd)
	})
}

var kept sync.Map // numbers, as text

// Descriptors lists the open descriptors of the process, each as "number target", but for those of [Keep]. The Go runtime's own epoll, which
// comes with the first poll and stays, is opened first.
func Descriptors() []string {
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	const dir = "/proc/self/fd"
	f, err := os.Open(dir)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		panic(err)
	}
	var fds []string
	for _, name := range names {
		if _, ours := kept.Load(name); ours || name == strconv.Itoa(int(f.Fd())) {
			continue
		}
		if target, err := os.Readlink(dir + "/" + name); err == nil {
			fds = append(fds, name+" "+target)
		}
	}
	return fds
}

// NewDescriptors lists the open descriptors that are not in before.
func NewDescriptors(before []string) []string {
	return slices.DeleteFunc(Descriptors(), func(fd string) bool { return slices.Contains(before, fd) })
}

// Wait polls until ok returns true. It fails the test, naming what was waited for, when that takes longer than [Patience].
//
// What comes soon is seen at once, and what takes long is looked at less and less often: a look can be a walk through all sockets of
// the kernel, and tests that wait beside others would take the processors from what they wait for.
func Wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); {
		waited := time.Since(began)
		if waited > Patience {
			t.Fatalf("waited %s for this: %s", Patience, what)
		}
		time.Sleep(min(max(waited/8, time.Millisecond), 20*time.Millisecond))
	}
}

// Collect is Wait, with a run of the garbage collector before each look.
func Collect(t testing.TB, what string, ok func() bool) {
	t.Helper()
	Wait(t, what, func() bool {
		runtime.GC()
		return ok()
	})
}

// Leftover is the test's own reading of what is on a local port, for its failure messages: lines of /proc/net/tcp{,6}.
func Leftover(port uint16) string {
	var lines []string
	for _, name := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		b, _ := os.ReadFile(name)
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 3 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
	}
	return strings.Join(lines, "\n")
}
