package main

import (
	"bufio"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"rstserver/internal/lingertest"
)

// dynasty are commands of which each has started the next.
type dynasty struct {
	*process         // the first
	pidFile   string // has the number of the one that serves
	pids      []int  // that have served
	out, logs output // of all
}

// startDynasty starts the first, and waits until it serves.
func startDynasty(t testing.TB, args ...string) *dynasty {
	t.Helper()
	return startDynastyOf(t, exec.Command(binary), args...)
}

// startDynastyOf is startDynasty of a command that lacks nothing but the flags of serve.
func startDynastyOf(t testing.TB, cmd *exec.Cmd, args ...string) *dynasty {
	t.Helper()
	d := &dynasty{pidFile: filepath.Join(t.TempDir(), "pid")}
	cmd.Args = append(append(cmd.Args, args...), "--pid-file", d.pidFile, "--handover-timeout", lingertest.Patience.String(),
		"--min-body-rate", "0") // clients may stop within their content
	// Pipes that all of them have: the first is not waited for until the last has ended.
	var outputs [2]*os.File
	read := make(chan struct{}, 2)
	for i, to := range []*output{&d.out, &d.logs} {
		r, w, err := os.Pipe()
		lingertest.Must(t, err)
		outputs[i] = w
		go func() {
			defer func() { read <- struct{}{} }()
			defer r.Close()
			for lines := bufio.NewReader(r); ; {
				line, err := lines.ReadBytes('\n')
				_, _ = to.Write(line)
				if err != nil {
					return
				}
			}
		}()
	}
	cmd.Stdout, cmd.Stderr = outputs[0], outputs[1]
	t.Cleanup(func() {
		outputs[0].Close() // where the first has not started
		outputs[1].Close()
		if pid := d.read(); pid > 0 && len(d.pids) > 0 && pid != d.pids[0] {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		for _, pid := range d.pids[min(1, len(d.pids)):] {
			_ = syscall.Kill(pid, syscall.SIGKILL) // whoever has kept the pipes
		}
		<-read
		<-read
		if strings.Contains(d.logs.String(), "DATA RACE") {
			t.Error("the race detector found something")
		}
		if t.Failed() {
			t.Logf("stdout of all:\n%s\nstderr of all:\n%s", d.out.String(), d.logs.String())
		}
	})
	d.process = launch(t, cmd)
	outputs[0].Close()
	outputs[1].Close()
	lingertest.Wait(t, "the first serves", func() bool {
		for _, line := range d.out.lines() {
			if _, on, ok := strings.Cut(line, "://"); ok {
				d.addr, _ = netip.ParseAddrPort(strings.Trim(on, `"}`))
			}
		}
		return d.addr.IsValid()
	})
	d.pids = []int{d.awaitPID(0)}
	return d
}

// read returns the number in the PID file, 0 if there is none.
func (d *dynasty) read() int {
	b, _ := os.ReadFile(d.pidFile)
	n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return n
}

// awaitPID waits for another number than before.
func (d *dynasty) awaitPID(before int) (pid int) {
	d.t.Helper()
	lingertest.Wait(d.t, "another PID is in the file", func() bool {
		pid = d.read()
		return pid != 0 && pid != before
	})
	return pid
}

func (d *dynasty) last() int { return d.pids[len(d.pids)-1] }

// tell sends sig to the one that serves.
func (d *dynasty) tell(sig syscall.Signal) {
	d.t.Helper()
	lingertest.Must(d.t, syscall.Kill(d.last(), sig))
}

// handOver signals the one that serves to hand over, and waits until the next serves.
func (d *dynasty) handOver() {
	d.t.Helper()
	d.tell(syscall.SIGUSR2)
	d.pids = append(d.pids, d.awaitPID(d.last()))
}

// awaitEnd waits for the end of a process, which need not be a child of this one.
func (d *dynasty) awaitEnd(pid int) {
	d.t.Helper()
	lingertest.Wait(d.t, "process "+strconv.Itoa(pid)+" has ended", func() bool { return ended(pid) })
}

// ended reports whether a process has, though nobody may have waited for it.
func ended(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(rest, "Z")
}
