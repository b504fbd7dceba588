//go:build linux

package lingertest

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { Main(m) }

// Whatever signals the caller ignores, programs that tests start meet the default action of each.
func TestChildrenIgnoreNoSignal(t *testing.T) {
	if !Elsewhere(t, func() error { return nil }, "sh", "-c", `trap "" HUP INT QUIT USR1 TERM && exec "$@"`, "sh") {
		return
	}
	out, err := exec.Command("grep", "SigIgn", "/proc/self/status").Output()
	if err != nil {
		t.Fatal(err)
	}
	// Those from 32 on are real-time signals, of which the first two are not a program's to change (signal(7)).
	const standard = 1<<31 - 1
	mask, err := strconv.ParseUint(strings.TrimSpace(strings.TrimPrefix(string(out), "SigIgn:")), 16, 64)
	if err != nil || mask&standard != 0 {
		t.Errorf("a child ignores %#x, %v, want no signal", mask, err)
	}
	if err := unix.Kill(os.Getpid(), unix.SIGHUP); err != nil { // as before
		t.Error(err)
	}
}
