//go:build linux

package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// What has the memory of its parent, until it executes its program, counts for nothing; its parent counts, and so does what has executed one.
func TestSharedMemory(t *testing.T) {
	program, err := exec.LookPath("sleep")
	lingertest.Must(t, err)
	content, err := os.ReadFile(program)
	lingertest.Must(t, err)
	program = filepath.Join(t.TempDir(), "sleep")
	lingertest.InstallProgram(t, program, content)
	// Who is to execute it waits for the end of a lease (fcntl(2)).
	held, err := os.Open(program)
	lingertest.Must(t, err)
	defer held.Close()
	_, err = unix.FcntlInt(held.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
	lingertest.Must(t, err)

	// A thread that waits for its child to execute (vfork(2)) cannot be stopped, and the collector stops all: the loop below would, too.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.GC()
	cmd := exec.Command(program, "1000")
	started := make(chan error)
	go func() { started <- cmd.Start() }()
	var pid int
	var k kin
	lingertest.Wait(t, "it is about to execute its program", func() bool {
		table, err := processTable()
		lingertest.Must(t, err)
		for pid, k = range table {
			if k.parent == os.Getpid() && k.forked {
				return true
			}
		}
		return false
	})
	self, err := readKin(os.Getpid())
	lingertest.Must(t, err)
	self.forked = true // as a server may be that its supervisor has forked
	alone, err := resident(map[int]kin{pid: k})
	if alone.Resident != 0 || err != nil {
		t.Errorf("%+v, %v, want none of its own", alone, err)
	}
	if both, err := resident(map[int]kin{pid: k, os.Getpid(): self}); both.Resident == 0 || err != nil {
		t.Errorf("%+v, %v, want those of its parent", both, err)
	}

	_, err = unix.FcntlInt(held.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	lingertest.Must(t, err)
	lingertest.Must(t, <-started)
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	k, err = readKin(pid)
	lingertest.Must(t, err)
	if n, err := resident(map[int]kin{pid: k}); n.Resident == 0 || err != nil || k.forked {
		t.Errorf("%d bytes resident, %v, of %+v", n, err, k)
	}
}

// What a process has written to counts as anonymous memory, page by page.
func TestAnonymous(t *testing.T) {
	const size = 8 << 20
	before, err := HeldBy(os.Getpid())
	lingertest.Must(t, err)
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	lingertest.Must(t, err)
	defer func() { lingertest.Must(t, unix.Munmap(b)) }()
	for i := 0; i < size; i += os.Getpagesize() {
		b[i] = 1
	}
	after, err := HeldBy(os.Getpid())
	lingertest.Must(t, err)
	if grown := after.Anonymous - before.Anonymous; grown < size*9/10 { // the collector can have given something back
		t.Errorf("%d bytes more after %d were written to", grown, size)
	}
}
