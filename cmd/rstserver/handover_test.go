package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/debian"
	"rstserver/internal/lingertest"
	"rstserver/internal/restartload"
	"rstserver/linger"
)

// ownProgram returns a copy of the command, which a test can replace.
func ownProgram(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rstserver")
	installProgram(t, path)
	return path
}

// installProgram puts the command to path, whoever runs what is there.
func installProgram(t testing.TB, path string) {
	t.Helper()
	b, err := os.ReadFile(binary)
	lingertest.Must(t, err)
	lingertest.InstallProgram(t, path, b)
}

// installScript puts a script to path.
func installScript(t testing.TB, path, script string) {
	t.Helper()
	lingertest.InstallProgram(t, path, []byte("#!/bin/sh\n"+script+"\n"))
}

// awaitOut waits until a line with all parts has been printed by whomever, which may have ended before what it printed is read here. It returns how
// many there are.
func (d *dynasty) awaitOut(parts ...string) (n int) {
	d.t.Helper()
	lingertest.Wait(d.t, fmt.Sprintf("%q on stdout", parts), func() bool { n = d.out.count(parts...); return n > 0 })
	return n
}

// awaitLog waits until a line with all parts has been logged n times by whomever.
func (d *dynasty) awaitLog(n int, parts ...string) {
	d.t.Helper()
	lingertest.Wait(d.t, fmt.Sprintf("%q in the log, %d times", parts, n), func() bool { return d.logs.count(parts...) >= n })
}

// halfRequest is a client that has half of its request at the one that serves.
func (d *dynasty) halfRequest() *client {
	d.t.Helper()
	c := dial(d.t, d.addr)
	c.send("%s", head("POST", "/echo", "Content-Length: 4")+"ha")
	c.accepted()
	return c
}

// A successor takes over: clients of the predecessor get one more answer, which says that it is the last, and then they are the
// successor's.
func TestHandover(t *testing.T) {
	t.Parallel()
	d := startDynasty(t)
	busy, idle, half := dial(t, d.addr), dial(t, d.addr), d.halfRequest()
	busy.expectHello()
	idle.expectHello()
	d.handOver()
	d.awaitLog(1, "handed over: a successor serves")

	for _, c := range []*client{half, busy} {
		if c == busy {
			c.send("%s", head("GET", "/"))
		} else {
			c.send("lf")
		}
		if r, _ := c.response("GET"); !r.Close {
			t.Errorf("an answer of the predecessor does not say that it is the last: %v", r.Header)
		}
	}
	next := dial(t, d.addr)
	next.expectHello()
	next.expectHello()
	d.exit(0)
	idle.expectReset()
	if n := d.awaitOut("by handover: nothing of ours is left"); n != 1 {
		t.Errorf("reports by handover = %d, want 1", n)
	}
	next.expectHello()
	d.tell(syscall.SIGTERM)
	d.awaitEnd(d.last())
	next.expectReset()
	expectFree(t, d.addr)
	if _, err := os.Stat(d.pidFile); err == nil {
		t.Error("the PID file is left")
	}
}

// A successor that fails, in whatever way, has cost nothing.
func TestHandoverFails(t *testing.T) {
	t.Parallel()
	program := ownProgram(t)
	d := startDynastyOf(t, exec.Command(program))
	l := restartload.Start(restartload.Config{Addr: d.addr.String(), New: 4, Kept: 4, Idle: 50, PostPath: "/echo", Pause: time.Millisecond})
	t.Cleanup(func() { l.Stop() })
	lingertest.Wait(t, "the idle clients are idle", func() bool { return l.Idle() == 50 })
	for i, test := range []struct {
		name string
		file func()
		want string
	}{
		{"ends at once", func() { installScript(t, program, "exit 0") }, "has ended with exit status 0 and has not said why"},
		{"ends with a code", func() { installScript(t, program, "exit 3") }, "has ended with exit status 3"},
		{"is killed", func() { installScript(t, program, "kill -9 $$") }, "has ended with signal: killed"},
		{"does not know its flags", func() { installScript(t, program, `exec "`+binary+`" "$@" --nonsense`) }, "has ended with exit status 2"},
		{"cannot listen", func() { installScript(t, program, `exec "`+binary+`" "$@" --addr 192.0.2.1:1`) }, "this machine does not have that address"},
		{"cannot write the PID file", func() { installScript(t, program, `exec "`+binary+`" "$@" --pid-file /proc/1/none`) }, "the PID file /proc/1/none cannot be written"},
		{"lacks a certificate", func() { installScript(t, program, `exec "`+binary+`" "$@" --tls-cert none --tls-key none`) }, "no such file or directory"},
		{"is gone", func() { lingertest.Must(t, os.Remove(program)) }, "the program file is gone"},
		{"may not be executed", func() { installProgram(t, program); lingertest.Must(t, os.Chmod(program, 0o644)) }, "is not a program"},
		{"is no program", func() {
			lingertest.Must(t, os.WriteFile(program, []byte("nothing"), 0o755))
			lingertest.Must(t, os.Chmod(program, 0o755))
		}, "exec format error"},
	} {
		test.file()
		d.tell(syscall.SIGUSR2)
		d.awaitLog(i+1, "there is no successor, and this process goes on")
		if d.logs.count("there is no successor", test.want) == 0 {
			t.Errorf("%s: the log does not say %q", test.name, test.want)
		}
	}
	if n := l.Idle(); n != 50 {
		t.Errorf("idle clients that nothing has happened to = %d, want 50", n)
	}
	if result := l.Stop(); len(result.Lost) > 0 || tooLittle(result) {
		t.Errorf("%s", result)
	}
	installProgram(t, program)
	d.handOver()
	d.exit(0)
}

// Whatever comes while a successor starts is defined.
func TestHandoverCrosswise(t *testing.T) {
	const waits = `echo begun >&2; exec sleep 1000`
	for _, test := range []struct {
		sig syscall.Signal
		log string
		// mode is that of the report in the end
		mode string
	}{
		{syscall.SIGTERM, "aborting", "abort"},
		{syscall.SIGINT, "aborting", "abort"},
		{syscall.SIGQUIT, "draining", "drain"},
		{syscall.SIGUSR1, "releasing the port", "release"},
	} {
		t.Run(signalName(test.sig), func(t *testing.T) {
			t.Parallel()
			program := ownProgram(t)
			d := startDynastyOf(t, exec.Command(program))
			installScript(t, program, waits)
			d.tell(syscall.SIGUSR2)
			d.awaitLog(1, "begun")
			d.tell(syscall.SIGUSR2)
			d.awaitLog(1, "signal without effect", "SIGUSR2", "the start of a successor")
			d.tell(test.sig)
			d.exit(0)
			d.awaitLog(1, test.log, signalName(test.sig))
			d.awaitLog(1, "there is no successor", "this process comes to its end")
			if n := d.awaitOut("by " + test.mode + ": nothing"); n != 1 {
				t.Errorf("reports of a free port = %d, want 1", n)
			}
			expectFree(t, d.addr)
		})
	}
}

// Whoever dies, the other serves.
func TestHandoverDeath(t *testing.T) {
	t.Run("predecessor, before the successor is ready", func(t *testing.T) {
		t.Parallel()
		program, goOn := ownProgram(t), filepath.Join(t.TempDir(), "go on")
		lingertest.Must(t, syscall.Mkfifo(goOn, 0o600))
		d := startDynastyOf(t, exec.Command(program))
		installScript(t, program, `echo begun >&2; cat "`+goOn+`" >/dev/null; exec "`+binary+`" "$@"`)
		d.tell(syscall.SIGUSR2)
		d.awaitLog(1, "begun")
		held := dial(t, d.addr)
		held.expectHello()
		d.tell(syscall.SIGKILL)
		d.exit(-1)
		held.expectReset()
		waiting := dial(t, d.addr) // in the queue
		waiting.send("%s", head("GET", "/"))
		lingertest.Must(t, os.WriteFile(goOn, nil, 0))
		d.pids = append(d.pids, d.awaitPID(d.last()))
		waiting.response("GET")
	})
	t.Run("predecessor, as a lame duck", func(t *testing.T) {
		t.Parallel()
		d := startDynasty(t)
		held := dial(t, d.addr)
		held.expectHello()
		before := d.last()
		d.handOver()
		next := dial(t, d.addr)
		for next.send("%s", head("GET", "/")); ; next.send("%s", head("GET", "/")) {
			if resp, _ := next.response("GET"); !resp.Close {
				break
			}
			next = dial(t, d.addr) // that was the predecessor's, which accepts until it is told that there is a successor
		}
		lingertest.Must(t, syscall.Kill(before, syscall.SIGKILL))
		d.exit(-1)
		held.expectReset()
		next.expectHello()
		dial(t, d.addr).expectHello()
	})
	t.Run("successor", func(t *testing.T) {
		t.Parallel()
		d := startDynasty(t)
		first := d.last()
		for i := range 2 {
			half := d.halfRequest()
			d.handOver()
			held := dial(t, d.addr)
			held.expectHello()
			d.tell(syscall.SIGKILL)
			d.awaitLog(i+1, "the successor has died: serving again")
			held.expectReset()
			again := dial(t, d.addr)
			again.expectHello()
			again.expectHello() // it is not the last answer
			half.send("lf")
			half.response("POST")
			if d.pids = []int{d.awaitPID(d.last())}; d.pids[0] != first {
				t.Errorf("the PID file has %d, want %d", d.pids[0], first)
			}
		}
		d.handOver()
		d.exit(0)
		dial(t, d.addr).expectHello()
	})
	// The server that has come back ends first, and what is left of the one before is told to end.
	t.Run("successor, and then what is left", func(t *testing.T) {
		t.Parallel()
		d := startDynasty(t, "--drain-timeout", "0")
		half := d.halfRequest()
		d.handOver()
		d.tell(syscall.SIGKILL)
		d.awaitLog(1, "the successor has died: serving again")
		dial(t, d.addr).expectHello()
		d.pids = []int{d.awaitPID(d.last())}
		d.tell(syscall.SIGQUIT)
		lingertest.Wait(t, "the server that came back has ended", func() bool { return d.out.count("teardown of") == 1 })
		d.tell(syscall.SIGTERM)
		half.expectReset()
		d.exit(0)
	})
}

// A successor can have a successor while its predecessor still drains; one that is stopped takes the port with it.
func TestHandoverChain(t *testing.T) {
	t.Parallel()
	d := startDynasty(t)
	var drained []*client
	for range 3 {
		drained = append(drained, d.halfRequest())
		d.handOver()
	}
	d.tell(syscall.SIGTERM)
	d.awaitEnd(d.last())
	lingertest.Wait(t, "the port refuses", func() bool {
		c, err := net.Dial("tcp", d.addr.String())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	for _, c := range drained {
		c.send("lf")
		c.response("POST")
	}
	d.exit(0)
	for _, pid := range d.pids {
		d.awaitEnd(pid)
	}
	if err := linger.CheckFree(d.addr); err != nil {
		t.Error(err)
	}
	if n := d.logs.count("serving again"); n > 0 {
		t.Errorf("somebody serves again: %d", n)
	}
}

// The successor has what it is meant to have, and nothing else.
func TestHandoverInherits(t *testing.T) {
	t.Parallel()
	stray, err := os.Open("/dev/null")
	lingertest.Must(t, err)
	defer stray.Close()
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), "LISTEN_PID=1", "WATCHDOG_PID=1", "WATCHDOG_USEC=1", "SOMETHING=else")
	cmd.ExtraFiles = []*os.File{stray} // it has no FD_CLOEXEC there
	d := startDynastyOf(t, cmd)
	d.handOver()
	d.exit(0)
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", d.last()))
	lingertest.Must(t, err)
	for _, want := range []string{fmt.Sprintf("LISTEN_PID=%d", d.last()), fmt.Sprintf("WATCHDOG_PID=%d", d.last()), "LISTEN_FDS=1", "SOMETHING=else", "WATCHDOG_USEC=1"} {
		if n := strings.Count("\x00"+string(env), "\x00"+want+"\x00"); n != 1 {
			t.Errorf("%s is %d times in the environment of the successor, want once: %q", want, n, env)
		}
	}
	for _, pid := range d.pids[1:] {
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		lingertest.Must(t, err)
		for _, fd := range fds {
			target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name()))
			if fd.Name() != "0" && target == "/dev/null" {
				t.Errorf("descriptor %s has leaked", fd.Name())
			}
		}
	}
}

// The first process of a container says that it cannot, and goes on.
func TestHandoverFirstProcess(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root, for a PID namespace")
	}
	p := startCommand(t, debian.Program(t, "unshare", "util-linux"), "--pid", "--fork", "--kill-child", binary)
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", p.cmd.Process.Pid))
	lingertest.Must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	lingertest.Must(t, err)
	lingertest.Must(t, syscall.Kill(pid, syscall.SIGUSR2))
	lingertest.Wait(t, "the log says why", func() bool {
		return p.stderr.count("there is no successor", "the first (PID 1) of its container", "docker run --init") == 1
	})
	dial(t, p.addr).expectHello()
	lingertest.Must(t, syscall.Kill(pid, syscall.SIGTERM))
	p.exit(0)
}

// With a delay a drain goes on to accept, for answers that are their connections' last; an abort waits for nothing.
func TestDrainDelay(t *testing.T) {
	t.Parallel()
	p := start(t, "--drain-delay", "1h", "--drain-timeout", "2h")
	idle := dial(t, p.addr)
	idle.expectHello()
	p.signal(syscall.SIGQUIT)
	lingertest.Wait(t, "it drains", func() bool { return p.stderr.count("draining", "SIGQUIT") == 1 })
	for _, c := range []*client{dial(t, p.addr), dial(t, p.addr)} {
		c.send("%s", head("GET", "/"))
		if r, _ := c.response("GET"); !r.Close {
			t.Errorf("the answer does not say that it is the last: %v", r.Header)
		}
	}
	p.signal(syscall.SIGTERM)
	p.exit(0)
	idle.expectReset()
	expectFree(t, p.addr)
}

// The file that is there is the one that is started, wherever the process has gone, and by whatever path it was started.
func TestHandoverPaths(t *testing.T) {
	t.Parallel()
	program := ownProgram(t)
	release := filepath.Join(filepath.Dir(program), "current")
	lingertest.Must(t, os.Symlink(filepath.Base(program), release))
	next := filepath.Join(filepath.Dir(program), "next")
	installScript(t, next, `echo the next version >&2; exec "`+binary+`" "$@"`)
	for _, test := range []struct {
		name string
		cmd  *exec.Cmd
	}{
		{"relative", &exec.Cmd{Path: "./current", Args: []string{"./current"}, Dir: filepath.Dir(program)}},
		{"by another name", &exec.Cmd{Path: release, Args: []string{"web server"}}},
		{"in the path", &exec.Cmd{Path: release, Args: []string{"current"}, Env: append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"))}},
	} {
		d := startDynastyOf(t, test.cmd)
		if test.name != "by another name" { // of which only the file itself is known
			lingertest.Must(t, os.Remove(release))
			lingertest.Must(t, os.Symlink("next", release))
		}
		d.handOver()
		d.exit(0)
		if test.name != "by another name" {
			d.awaitLog(1, "the next version")
			if n := d.logs.count("the next version"); n != 1 {
				t.Errorf("%s: the next version was started %d times", test.name, n)
			}
		}
		lingertest.Must(t, os.Remove(release))
		lingertest.Must(t, os.Symlink(filepath.Base(program), release))
	}
}
