//go:build linux

package lingertest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// elsewhereVariable holds the name of the test that a process is to run, and that finds itself where it is to be.
const elsewhereVariable = "RSTSERVER_TEST_ELSEWHERE"

// Elsewhere reports whether this process is the one that a test is to be carried out in. If not, it starts that, behind the words of
// wrap, from a thread that prepare has had its way with, and passes on what comes of it. It skips the test where prepare fails.
func Elsewhere(t *testing.T, prepare func() error, wrap ...string) bool {
	t.Helper()
	if os.Getenv(elsewhereVariable) == t.Name() {
		return true
	}
	args := append(wrap, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m", fmt.Sprintf("-test.short=%t", testing.Short()))
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), elsewhereVariable+"="+t.Name())
	var out []byte
	var prepared, err error
	OnThread(func() {
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

// Network puts the thread into a network namespace of its own, with a loopback interface, and with sysctls of net.ipv4 as given.
func Network(sysctls map[string]string) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if err := LoopbackUp(); err != nil {
		return err
	}
	for name, value := range sysctls {
		if err := os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0); err != nil {
			return fmt.Errorf("sysctl: %w", err)
		}
	}
	return nil
}

// LoopbackUp brings the loopback interface of the thread's network namespace up.
func LoopbackUp() error {
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
	return os.NewSyscallError("ioctl SIOCSIFFLAGS", unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo))
}

// Unprivileged takes CAP_NET_ADMIN, and other capabilities, from what the thread executes.
func Unprivileged(others ...uintptr) error {
	for _, c := range append(others, unix.CAP_NET_ADMIN) {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return os.NewSyscallError("prctl PR_CAPBSET_DROP", err)
		}
	}
	return nil
}
