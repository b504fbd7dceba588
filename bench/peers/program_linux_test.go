//go:build linux

package peers

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/sockdiagtest"
)

// patience ends a test that waits for what does not come.
const patience = time.Minute

// dirVariable names the environment variable that says where make peers has put the programs.
const dirVariable = "RSTSERVER_PEERS"

// program is one to compare with.
type program struct {
	name string
	args []string
	// paths are what it answers besides /.
	paths []string
	// needs is the program that a script starts, which make deps or make peers brings.
	needs string
	// tls: it can serve over TLS.
	tls bool
	// says is the code of the close frame by which it tells WebSockets on SIGTERM. Empty: it sends none.
	says string
	// killed: SIGTERM ends it as it does a program that does nothing about it.
	killed bool
	// refused is its exit code where it cannot listen. 0 stands for 1.
	refused int
}

func programs() []program {
	all := []string{"/slow", "/bytes", "/upgrade", "/events", "/events/room"}
	webSockets := []string{"/ws", "/ws/room"}
	pooled, _ := program{name: "pooled"}.path()
	programs := []program{
		{name: "fasthttp", paths: all},
		{name: "gnet"},
		{name: "nbio", paths: all},
		{name: "nethttp", killed: true},
		{name: "pooled", paths: webSockets},
		{name: "coder", paths: webSockets, says: "1001"},
		{name: "gorilla", paths: webSockets, says: "1001"},
		{name: "gws", paths: webSockets, says: "1001"},
		{name: "nbiows", paths: webSockets},
		{name: "front", args: []string{"nginx", "proxy", pooled}, needs: "nginx", paths: webSockets},
		{name: "front", args: []string{"nginx", "drain", pooled}, needs: "nginx", paths: webSockets, says: "1001"},
		{name: "front", args: []string{"haproxy", "proxy", pooled}, needs: "haproxy", paths: webSockets, killed: true},
		{name: "front", args: []string{"haproxy", "drain", pooled}, needs: "haproxy", paths: webSockets, says: "1001"},
		{name: "nginx", needs: "nginx", paths: []string{"/slow", "/bytes"}, tls: true},
		{name: "haproxy", needs: "haproxy", paths: []string{"/slow", "/bytes", "/events"}, killed: true, tls: true},
		{name: "apache", needs: "apache2"},
		{name: "lighttpd", needs: "lighttpd", paths: []string{"/bytes"}, refused: 255},
		{name: "gunicorn", needs: "gunicorn"},
		{name: "caddy", needs: "caddy-server", tls: true},
	}
	for _, way := range []string{
		"map", "server-destroy", "killable", "http-shutdown", "http-shutdown-force", "stoppable", "http-terminator",
		"close-all-connections", "process-exit", "unref", "connection-close", "emit-close", "ws-close", "ws-terminate",
	} {
		p := program{name: "node", args: []string{way}, paths: all, tls: true}
		switch way {
		case "ws-close":
			p.paths, p.says = slices.Concat(all, webSockets), "1001"
		case "ws-terminate":
			p.paths = slices.Concat(all, webSockets)
		}
		programs = append(programs, p)
	}
	return programs
}

func (p program) String() string {
	words := []string{p.name}
	for _, a := range p.args {
		words = append(words, filepath.Base(a))
	}
	return strings.Join(words, " ")
}

// built holds the Go programs of a run that has not been told where make peers has put them.
var built string

// path is the file that starts p, and the folder that make peers has put programs into; empty: none was named.
func (p program) path() (file, dir string) {
	switch dir = os.Getenv(dirVariable); {
	case dir != "":
		return filepath.Join(dir, p.name), dir
	case p.needs != "":
		return "./" + p.name, ""
	}
	return filepath.Join(built, p.name), ""
}

// command is what starts p at addr. In a run that has not been told where the programs are it skips the test of those that it
// cannot make itself.
func (p program) command(t *testing.T, addr string, more ...string) *exec.Cmd {
	missing := t.Fatalf
	if os.Getenv(dirVariable) == "" {
		missing = t.Skipf
	}
	const remedy = "left out: %s; run make peers, and this test with " + dirVariable + "=DIR, the absolute path of bin/peers"
	args := append(append(slices.Clone(p.args), addr), more...)
	name, dir := p.path()
	switch {
	case p.needs != "":
		found := func(dirs ...string) bool {
			return slices.ContainsFunc(dirs, func(dir string) bool { _, err := os.Stat(filepath.Join(dir, p.needs)); return err == nil })
		}
		if !found(append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", dir)...) {
			missing(remedy, p.needs+" is not installed")
		}
	case p.name == "node":
		script := filepath.Join(dir, "node", "server.js")
		if dir == "" {
			script = filepath.Join("node", "server.js")
		}
		var err error
		if name, err = exec.LookPath("node"); err != nil {
			missing(remedy, err)
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(script), "node_modules")); err != nil {
			missing(remedy, err)
		}
		args = append([]string{script}, args...)
	}
	return exec.Command(name, args...)
}

// process is a program that runs.
type process struct {
	cmd    *exec.Cmd
	addr   string
	stdout *bufio.Reader
	stderr *os.File
}

// start starts p on a free port, with arguments behind its address, and waits until it says that it listens.
func (p program) start(t *testing.T, more ...string) *process {
	addr := sockdiagtest.OwnAddr(t, "127.0.0.1:0")
	s := p.spawn(t, addr, more...)
	scheme := "http"
	if len(more) > 0 {
		scheme = "https"
	}
	line, err := s.stdout.ReadString('\n')
	if want := "listening on " + scheme + "://" + addr + "\n"; line != want {
		t.Fatalf("it prints %q (%v), want %q; stderr: %s", line, err, want, s.errors())
	}
	return s
}

// spawn starts p at addr. Its end is the end of its output, which comes within patience.
func (p program) spawn(t *testing.T, addr string, more ...string) *process {
	s := &process{cmd: p.command(t, addr, more...), addr: addr}
	s.cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	var err error
	if s.stderr, err = os.CreateTemp(t.TempDir(), "stderr"); err != nil {
		t.Fatal(err)
	}
	s.cmd.Stderr = s.stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // lighttpd passes a signal on to all of its group
	out, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stdout = stdout
	if err := out.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	s.stdout = bufio.NewReader(out)
	err = s.cmd.Start()
	stdout.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			// nginx's master ends its workers only when it is asked to.
			_ = s.cmd.Process.Signal(syscall.SIGTERM)
			time.AfterFunc(patience, func() { _ = s.cmd.Process.Kill() })
			_ = s.cmd.Wait()
		}
		out.Close()
		s.stderr.Close()
	})
	return s
}

// wait waits for the process to end and returns its state.
func (s *process) wait(t *testing.T) *os.ProcessState {
	rest, err := io.ReadAll(s.stdout)
	if err != nil {
		t.Fatalf("it has not ended: %v; stderr: %s", err, s.errors())
	}
	if len(rest) != 0 {
		t.Errorf("it also prints %q", rest)
	}
	_ = s.cmd.Wait() // the state says more
	return s.cmd.ProcessState
}

func (s *process) errors() string {
	text, err := os.ReadFile(s.stderr.Name())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// peakMemory is the most that the process has had in memory at a time, in KiB.
func (s *process) peakMemory(t *testing.T) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib
		}
	}
	t.Fatalf("no VmHWM in %s", status)
	return 0
}
