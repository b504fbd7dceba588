package main

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
)

// process is a running command.
type process struct {
	t              testing.TB
	cmd            *exec.Cmd
	addr           netip.AddrPort // what it says that it serves
	stdout, stderr output
	ended          chan struct{}
	read           chan struct{} // closed when all that came over a pseudo-terminal is in stdout
}

// output collects what a process prints.
type output struct{ lingertest.Output }

// lines returns the complete lines so far.
func (o *output) lines() []string {
	s := o.String()
	return strings.Split(s[:strings.LastIndexByte(s, '\n')+1], "\n")
}

// count is the number of lines so far that contain every one of parts.
func (o *output) count(parts ...string) int {
	n := 0
	for _, line := range o.lines() {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) && line != "" {
			n++
		}
	}
	return n
}

// start starts the command and waits until it serves: 127.0.0.1 and a port of the test's own, if args have no --addr.
func start(t testing.TB, args ...string) *process {
	t.Helper()
	return startCommand(t, append([]string{binary}, args...)...)
}

// startLimited is start with a limit of open files, by way of a shell that sets it.
func startLimited(t testing.TB, files string, args ...string) *process {
	t.Helper()
	return startCommand(t, append([]string{"sh", "-c", `ulimit -n "$0" && exec "$@"`, files, binary}, args...)...)
}

func startCommand(t testing.TB, args ...string) *process {
	t.Helper()
	return startOnce(t, exec.Command(args[0], args[1:]...))
}

func startOnce(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := launch(t, cmd)
	lingertest.Wait(t, "the line that says what is served", func() bool {
		select {
		case <-p.ended:
			t.Fatalf("%q ended with %s\n%s", cmd.Args, cmd.ProcessState, p.stderr.String())
		default:
		}
		return len(p.stdout.lines()) > 1
	})
	line := p.stdout.lines()[0]
	var listening struct {
		On string `json:"listening_on"`
	}
	if json.Unmarshal([]byte(line), &listening) != nil {
		listening.On = strings.TrimPrefix(line, "listening on ")
	}
	scheme, on, _ := strings.Cut(listening.On, "://")
	addr, err := netip.ParseAddrPort(on)
	if err != nil || scheme != "http" && scheme != "https" {
		t.Fatalf("stdout begins with %q, want listening on http://ADDR or https://ADDR", line)
	}
	p.addr = addr
	return p
}

// launch starts cmd, which is killed at the end of the test if it still runs.
func launch(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, ended: make(chan struct{})}
	serves := !slices.ContainsFunc(cmd.Args, func(a string) bool {
		return strings.HasPrefix(a, "--addr") || a == "--help" || a == "free" || a == "bench" || a == "connections"
	})
	if serves {
		cmd.Args = append(cmd.Args, "--addr", sockdiagtest.OwnAddr(t, "127.0.0.1:0"))
	}
	if cmd.Stdout == nil {
		cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.ended
		if strings.Contains(p.stderr.String(), "DATA RACE") {
			t.Error("the race detector found something")
		}
		if t.Failed() {
			t.Logf("%q\nstdout:\n%s\nstderr:\n%s", cmd.Args, p.stdout.String(), p.stderr.String())
		}
	})
	return p
}

func (p *process) signal(sigs ...syscall.Signal) {
	p.t.Helper()
	for _, sig := range sigs {
		if err := p.cmd.Process.Signal(sig); err != nil {
			p.t.Fatal(err)
		}
	}
}

// wait waits for the end and returns the exit code, or -1 if a signal ended it.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(lingertest.Patience):
		_ = p.cmd.Process.Signal(os.Signal(syscall.SIGABRT)) // prints where it is
		<-p.ended
		p.t.Fatalf("did not end within %s", lingertest.Patience)
	}
	return p.cmd.ProcessState.ExitCode()
}

// exit expects the exit code want.
func (p *process) exit(want int) {
	p.t.Helper()
	if got := p.wait(); got != want {
		p.t.Errorf("exit code = %d, want %d", got, want)
	}
}

// stop sends SIGTERM and expects that all ends well.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	p.exit(0)
}

// runCommand runs the command to its end, in this process: what comes to its end by itself is no server, and takes nothing from its
// environment. TestExit is what is left of main.
func runCommand(args ...string) (stdout, stderr string, code int) {
	var out, err bytes.Buffer
	code = run(args, &out, &err)
	return out.String(), err.String(), code
}
