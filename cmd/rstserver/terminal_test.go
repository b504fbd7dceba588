package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// onTerminal starts the command on a pseudo-terminal (pty(7)) of its own. What it prints there is in p.stdout; keys writes what
// the user types.
func onTerminal(t *testing.T, cmd *exec.Cmd) (p *process, keys io.Writer) {
	t.Helper()
	return onTerminalOf(t, cmd, 0)
}

// onTerminalOf is onTerminal with so many columns, 0 for a terminal that does not know. A stdout that cmd has is left to it.
func onTerminalOf(t *testing.T, cmd *exec.Cmd, columns uint16) (p *process, keys io.Writer) {
	t.Helper()
	ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("needs pseudo-terminals (/dev/ptmx, mount -t devpts): %v", err)
	}
	t.Cleanup(func() { ptmx.Close() })
	n, err := unix.IoctlGetInt(int(ptmx.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(ptmx.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	if columns > 0 {
		if err := unix.IoctlSetWinsize(int(ptmx.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 25, Col: columns}); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Stdin, cmd.Stderr = tty, tty
	if cmd.Stdout == nil {
		cmd.Stdout = tty
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true
	p = launch(t, cmd)
	read := make(chan struct{})
	go func() {
		defer close(read)
		// It fails with EIO once nobody has the terminal open any more.
		_, _ = io.Copy(&p.stdout, ptmx)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read
	})
	p.read = read
	return p, ptmx
}

// text is what the terminal shows, with the ends of lines as programs write them.
func (p *process) text() string { return strings.ReplaceAll(p.stdout.String(), "\r\n", "\n") }

// asks waits for the question.
func (p *process) asks() {
	p.t.Helper()
	lingertest.Wait(p.t, "the question", func() bool { return strings.HasSuffix(p.stdout.String(), "? [y/N] ") })
}

// exitOnTerminal expects the exit code want, and waits for the last word.
func (p *process) exitOnTerminal(want int) {
	p.t.Helper()
	p.exit(want)
	<-p.read
}
