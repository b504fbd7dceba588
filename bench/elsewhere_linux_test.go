//go:build linux

package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// elsewhereVariable holds the name of the test that a process is to run, and that finds itself where it is to be.
const elsewhereVariable = "RSTSERVER_BENCH_ELSEWHERE"

// elsewhere tells whether this process is the one that a test is to be carried out in. If not, it starts that, behind the words of
// wrap, from a thread that prepare has had its way with, and passes on what comes of it.
func elsewhere(t *testing.T, prepare func() error, wrap ...string) bool {
	t.Helper()
	if os.Getenv(elsewhereVariable) == t.Name() {
		return true
	}
	_ = peerProgram() // once for both
	args := append(wrap, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m", fmt.Sprintf("-test.short=%t", testing.Short()))
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), elsewhereVariable+"="+t.Name())
	var out []byte
	var prepared, err error
	lingertest.OnThread(func() {
		if prepared = prepare(); prepared == nil {
			out, err = cmd.CombinedOutput()
		}
	})
	switch {
	case prepared != nil:
		t.Skipf("needs root: %v", prepared)
	case err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())):
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}

func nothing() error { return nil }

// network puts the thread into a network namespace of its own, with sysctls as given.
func network(sysctls map[string]string) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return os.NewSyscallError("ioctl SIOCSIFFLAGS", err)
	}
	for name, value := range sysctls {
		if err := os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0); err != nil {
			return fmt.Errorf("sysctl: %w", err)
		}
	}
	return nil
}

// unprivileged takes CAP_NET_ADMIN from what the thread executes.
func unprivileged() error {
	return os.NewSyscallError("prctl PR_CAPBSET_DROP", unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_NET_ADMIN, 0, 0, 0))
}

// Whatever signals the caller ignores, programs that tests start meet the default action of each.
func TestChildrenIgnoreNoSignal(t *testing.T) {
	if !elsewhere(t, nothing, "sh", "-c", `trap "" HUP INT QUIT USR1 TERM && exec "$@"`, "sh") {
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
