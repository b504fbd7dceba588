package main

import (
	"bufio"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// fullPipe returns the writing end of a pipe that takes nothing more, and that nobody reads.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[0]) })
	for _, size := range []int{4096, 1} {
		for {
			if _, err := unix.Write(fds[1], make([]byte, size)); err != nil {
				break
			}
		}
	}
	if err := unix.SetNonblock(fds[1], false); err != nil {
		t.Fatal(err)
	}
	w := os.NewFile(uintptr(fds[1]), "full pipe")
	t.Cleanup(func() { w.Close() })
	return w
}

// A log collector that has stalled holds up neither the clients nor the teardown.
func TestStalledStderr(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(binary, "--addr", "127.0.0.1:0", "--log-conns")
	cmd.Stderr = fullPipe(t)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	out := bufio.NewReader(stdout)
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(strings.TrimPrefix(strings.TrimSpace(line), "listening on http://"))
	for range 500 {
		c := dial(t, addr)
		c.expectHello()
		c.Close()
	}
	kept := dial(t, addr)
	kept.expectHello()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	kept.expectReset()
	rest, err := io.ReadAll(out)
	if err != nil || !strings.Contains(string(rest), "by abort") {
		t.Errorf("stdout got %q, %v, want the report", rest, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the process ended with %v, want exit code 0", err)
	}
}

// What cannot be written to stdout is not lost without a word.
func TestFullStdout(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	cmd := exec.Command(binary, "--addr", "127.0.0.1:0", "--shutdown-after", "1ns")
	cmd.Stdout = full
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("the process ended with %v, want exit code 0", err)
	}
	for _, want := range []string{"stdout cannot be written to", "no space left", "listening on", "by abort"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("stderr does not say %q:\n%s", want, &stderr)
		}
	}
}
