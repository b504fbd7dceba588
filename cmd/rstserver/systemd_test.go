package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/netip"
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
	"rstserver/internal/sockdiagtest"
)

// The units are without a fault, and let the service do little besides serving.
func TestUnits(t *testing.T) {
	t.Parallel()
	analyze := debian.Program(t, "systemd-analyze", "systemd")
	dir := unitsIn(t, binary)
	for _, unit := range []string{"rstserver.service", "rstserver-activated.socket", "rstserver-activated.service"} {
		// It exits with 0 where it has something to say, too.
		if out, err := exec.Command(analyze, "verify", filepath.Join(dir, unit)).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("verify %s: %v\n%s", unit, err, out)
		}
		if strings.HasSuffix(unit, ".service") {
			if out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=15", filepath.Join(dir, unit)).CombinedOutput(); err != nil {
				t.Errorf("security %s: %v\n%s", unit, err, out)
			}
		}
	}
}

// unitsIn returns a directory with the units of deploy, of a program at path.
func unitsIn(t testing.TB, path string) string {
	t.Helper()
	dir := t.TempDir()
	units, err := filepath.Glob("deploy/rstserver*")
	lingertest.Must(t, err)
	for _, unit := range units {
		b, err := os.ReadFile(unit)
		lingertest.Must(t, err)
		b = bytes.ReplaceAll(b, []byte("/usr/local/bin/rstserver"), []byte(path))
		lingertest.Must(t, os.WriteFile(filepath.Join(dir, filepath.Base(unit)), b, 0o644))
	}
	return dir
}

// systemd-socket-activate passes a listening socket, of which accept blocks.
func TestSocketActivation(t *testing.T) {
	activate := debian.Program(t, "systemd-socket-activate", "systemd")
	for _, test := range []struct {
		name string
		args []string // of serve
		want string   // what it says, if it fails
	}{
		{"without an address", nil, ""},
		{"with the address", []string{"--addr", "127.0.0.1:PORT"}, ""},
		{"with the name", []string{"--addr", "fd:web"}, ""},
		{"with another address", []string{"--addr", "127.0.0.1:0"}, "systemd has passed a socket for 127.0.0.1:PORT (web), which this program does not serve; it serves 127.0.0.1:"},
		{"with another name", []string{"--addr", "fd:other"}, "systemd has passed no socket by the name other"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			port := int(sockdiagtest.OwnPort(t))
			filled := func(s string) string { return strings.ReplaceAll(s, "PORT", strconv.Itoa(port)) }
			var stderr output
			args := []string{"--listen", filled("127.0.0.1:PORT"), "--fdname", "web", binary, "serve"}
			for _, arg := range test.args {
				args = append(args, filled(arg))
			}
			cmd := exec.Command(activate, args...)
			cmd.Stderr = &stderr
			lingertest.Must(t, cmd.Start())
			t.Cleanup(func() {
				cmd.Process.Kill()
				cmd.Wait()
				if t.Failed() {
					t.Log(stderr.String())
				}
			})
			lingertest.Wait(t, "it listens", func() bool { return stderr.Contains("Listening on") })
			c := dial(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))) // which starts the server
			if test.want != "" {
				cmd.Wait()
				if !stderr.Contains(filled(test.want)) {
					t.Errorf("it says %s, want %s", stderr.String(), filled(test.want))
				}
				return
			}
			c.expectHello()
			c.expectHello()
			lingertest.Must(t, cmd.Process.Signal(syscall.SIGTERM)) // it is the server by now
			lingertest.Must(t, cmd.Wait())
			c.expectReset()
		})
	}
}

// insideEnv makes TestSystemdInside what it is, in a systemd of its own.
const insideEnv = "RSTSERVER_TEST_INSIDE_SYSTEMD"

// The units do in a real systemd what they are for. It has namespaces of its own, and no units but these.
func TestSystemd(t *testing.T) {
	for _, p := range []struct{ name, from string }{{"unshare", "util-linux"}, {"systemctl", "systemd"}} {
		debian.Program(t, p.name, p.from)
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, for namespaces with a systemd in them")
	}
	t.Parallel()
	out := t.TempDir()
	for from, to := range map[string]string{binary: deployClone + "/bin/rstserver", "/proc/self/exe": "test", "testdata/systemd/boot.sh": "boot.sh"} {
		putProgram(t, from, filepath.Join(out, to))
	}
	lingertest.Must(t, os.CopyFS(filepath.Join(out, deployClone, "cmd/rstserver/deploy"), os.DirFS("deploy")))

	ctx, cancel := context.WithTimeout(t.Context(), 4*lingertest.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "--pid", "--fork", "--mount", "--uts", "--ipc", "--cgroup", "--net", "--mount-proc", "--kill-child",
		"sh", filepath.Join(out, "boot.sh"), out)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	b, err := cmd.CombinedOutput()
	inside, _ := os.ReadFile(filepath.Join(out, "log"))
	switch {
	case cmd.ProcessState.ExitCode() == 77, bytes.HasPrefix(b, []byte("unshare: ")):
		t.Skipf("needs namespaces with mounts of their own and cgroup2, as root has them outside of containers, and in those with --privileged: %s", b)
	case !bytes.Contains(inside, []byte("\nPASS\n")):
		t.Errorf("%v, %s\n%s", err, b, inside)
	default:
		for line := range strings.Lines(string(inside)) {
			if _, measured, ok := strings.Cut(line, "measured: "); ok {
				t.Log(strings.TrimSpace(measured))
			}
		}
	}
}

// unit is one that runs.
type unit struct {
	t    *testing.T
	name string
}

var inSystemd = netip.MustParseAddrPort("127.0.0.1:8080")

func (u unit) ctl(args ...string) string {
	u.t.Helper()
	out, err := exec.Command("systemctl", append(args, u.name)...).CombinedOutput()
	if err != nil {
		u.t.Fatalf("systemctl %q: %v\n%s\n%s", args, err, out, u.log())
	}
	return strings.TrimSpace(string(out))
}

func (u unit) show(property string) string { return u.ctl("show", "--value", "-p", property) }

func (u unit) log() string {
	b, _ := os.ReadFile("/run/test.log")
	return string(b)
}

// drop adds to the service what is in lines.
func (u unit) drop(lines string) {
	u.t.Helper()
	dir := "/run/units/" + u.name + ".service.d"
	lingertest.Must(u.t, os.MkdirAll(dir, 0o755))
	lingertest.Must(u.t, os.WriteFile(dir+"/test.conf", []byte("[Service]\nStandardOutput=append:/run/test.log\nStandardError=append:/run/test.log\n"+lines), 0o644))
	if out, err := exec.Command("systemctl", "daemon-reload").CombinedOutput(); err != nil {
		u.t.Fatalf("%v, %s", err, out)
	}
}

// reload hands over, and waits until another process is the main one.
func (u unit) reload() {
	u.t.Helper()
	before := u.show("MainPID")
	u.ctl("reload")
	lingertest.Wait(u.t, "another main process", func() bool { return u.show("MainPID") != before })
	lingertest.Wait(u.t, "the unit is active", func() bool { return u.show("ActiveState") == "active" })
}

func TestSystemdInside(t *testing.T) {
	if os.Getenv(insideEnv) == "" {
		t.Skip("is started by TestSystemd")
	}
	lingertest.Wait(t, "systemd has come up", func() bool {
		out, _ := exec.Command("systemctl", "is-system-running").Output()
		return strings.Contains(string(out), "running")
	})
	t.Chdir("/run/test/" + deployClone)
	t.Run("install", func(t *testing.T) {
		runLines(t, deployLines(t, "install bin/rstserver /usr/local/bin/"))
		u := unit{t, "rstserver"}
		if got := u.show("ActiveState") + " " + u.ctl("is-enabled"); got != "active enabled" {
			t.Errorf("it is %s", got)
		}
		dial(t, inSystemd).expectHello()
		u.ctl("stop")
		runLines(t, "cp cmd/rstserver/deploy/rstserver-activated.* /etc/systemd/system/\nsystemctl daemon-reload")
	})
	t.Run("service", func(t *testing.T) {
		u := unit{t, "rstserver"}
		u.drop("")
		u.ctl("start")
		if got := u.show("ActiveState"); got != "active" {
			t.Fatalf("it is %s\n%s", got, u.log())
		}
		lingertest.Wait(t, "the status has numbers", func() bool {
			return strings.HasPrefix(u.show("StatusText"), "serving 0.0.0.0:8080: 0 connections")
		})
		l := restartload.Start(restartload.Config{Addr: inSystemd.String(), New: 4, Kept: 4, Idle: 20, PostPath: "/echo", Pause: shortPause})
		for range 3 {
			lingertest.Wait(t, "all idle clients are idle", func() bool { return l.Idle() == 20 })
			u.reload()
		}

		// A successor that fails.
		main := u.show("MainPID")
		lingertest.Must(t, os.Rename("/usr/local/bin/rstserver", "/usr/local/bin/good"))
		lingertest.Must(t, os.WriteFile("/usr/local/bin/rstserver", []byte("#!/bin/sh\nexit 3\n"), 0o755))
		u.ctl("reload")
		lingertest.Wait(t, "the log says why", func() bool { return strings.Contains(u.log(), "has ended with exit status 3") })
		lingertest.Wait(t, "the unit is active", func() bool { return u.show("ActiveState") == "active" })
		if got := u.show("MainPID"); got != main {
			t.Errorf("the main process is %s after a successor that failed, want %s", got, main)
		}
		lingertest.Must(t, os.Rename("/usr/local/bin/good", "/usr/local/bin/rstserver"))
		u.reload()
		if result := l.Stop(); len(result.Lost) > 0 || tooLittle(result) {
			t.Errorf("%s", result)
		} else {
			t.Logf("measured: 4 reloads and one that failed under %s", result)
		}
		u.ctl("stop")
		if got := u.show("Result"); got != "success" {
			t.Errorf("the result is %s", got)
		}
		if !strings.Contains(u.log(), "by abort: nothing is left, the port is free") {
			t.Errorf("there is no report:\n%s", u.log())
		}
	})
	t.Run("rolling restart", restartsBehindHAProxy)
	t.Run("drain", func(t *testing.T) {
		u := unit{t, "rstserver"}
		u.drop("ExecStart=\nExecStart=/usr/local/bin/rstserver serve --addr 0.0.0.0:8080 --on-term drain\nTimeoutStopSec=3s\n")
		u.ctl("start")
		u.reload() // so that it is a successor
		half := dial(t, inSystemd)
		const length = 100_000
		half.send("%s", head("POST", "/echo", "Content-Length: "+strconv.Itoa(length))+"x")
		half.accepted()
		sent := 1
		u.ctl("stop", "--no-block")
		lingertest.Wait(t, "it drains", func() bool { return strings.Contains(u.show("StatusText"), "draining 0.0.0.0:8080: 1 connections") })
		// It is given more time than the unit says, again and again.
		for began := time.Now(); time.Since(began) < 4500*time.Millisecond; time.Sleep(100 * time.Millisecond) {
			if got := u.show("ActiveState"); got != "deactivating" {
				t.Fatalf("it is %s, %s, after %s\n%s", got, u.show("Result"), time.Since(began), u.log())
			}
			half.send("%s", strings.Repeat("x", 100)) // an upload that stalls would not be waited for
			sent += 100
		}
		half.send("%s", strings.Repeat("x", length-sent))
		half.response("POST")
		lingertest.Wait(t, "it has ended", func() bool { return u.show("ActiveState") == "inactive" })
		if got := u.show("Result"); got != "success" {
			t.Errorf("the result is %s", got)
		}
	})
	t.Run("watchdog", func(t *testing.T) {
		u := unit{t, "rstserver"}
		u.drop("WatchdogSec=1s\nWatchdogSignal=SIGKILL\n")
		u.ctl("start")
		u.reload()
		main, err := strconv.Atoi(u.show("MainPID"))
		lingertest.Must(t, err)
		lingertest.Must(t, syscall.Kill(main, syscall.SIGSTOP))
		lingertest.Wait(t, "it was started again", func() bool {
			return u.show("NRestarts") != "0" && u.show("ActiveState") == "active" && u.show("MainPID") != strconv.Itoa(main)
		})
		dial(t, inSystemd).expectHello()
		u.ctl("stop")
	})
	// A port below 1024 takes what the unit says that it takes.
	t.Run("low port", func(t *testing.T) {
		u := unit{t, "rstserver"}
		u.drop("ExecStart=\nExecStart=/usr/local/bin/rstserver serve --addr 127.0.0.1:81\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n" +
			"CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nPrivateUsers=no\n")
		u.ctl("start")
		dial(t, netip.MustParseAddrPort("127.0.0.1:81")).expectHello()
		u.ctl("stop")
	})
	// Where the kernel cannot be asked over netlink, as with many a filter of system calls, it is asked over /proc.
	t.Run("without netlink", func(t *testing.T) {
		u := unit{t, "rstserver"}
		u.drop("RestrictAddressFamilies=\nRestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX\n")
		lingertest.Must(t, os.Truncate("/run/test.log", 0))
		u.ctl("start")
		held := dial(t, inSystemd)
		held.expectHello()
		u.ctl("stop")
		held.expectReset()
		if !strings.Contains(u.log(), "by abort: nothing is left, the port is free") || !strings.Contains(u.log(), "from proc\n") {
			t.Errorf("the report:\n%s", u.log())
		}
	})
	// What free says of it ends it, and nothing less does.
	t.Run("free", func(t *testing.T) {
		u := unit{t, "rstserver"}
		u.drop("Restart=always\n")
		u.ctl("start")
		free := func(flags ...string) (string, int) {
			cmd := exec.Command("/usr/local/bin/rstserver", append([]string{"free", "8080"}, flags...)...)
			out, _ := cmd.CombinedOutput()
			return string(out), cmd.ProcessState.ExitCode()
		}
		said := func(out string) string { return strings.Join(strings.Fields(out), " ") }
		const advice = "it is rstserver.service, which systemd starts again if it is told to; so have systemd stop it: systemctl stop rstserver.service"
		if out, code := free("--dry-run"); code != 1 || !strings.Contains(said(out), advice) {
			t.Errorf("free --dry-run = %d, %s\nwant 1, and %s", code, out, advice)
		}
		// The port may be free for a moment, and may not.
		if out, _ := free("--stop-owner", "--yes"); !strings.Contains(said(out), "systemctl stop rstserver.service") {
			t.Errorf("free --stop-owner: %s\nwant how it is stopped", out)
		}
		lingertest.Wait(t, "systemd has started it again", func() bool { return u.show("NRestarts") != "0" && u.show("ActiveState") == "active" })
		u.ctl("stop")
		if out, code := free("--dry-run"); code != 0 {
			t.Errorf("free after systemctl stop = %d, %s", code, out)
		}
	})
	t.Run("socket", func(t *testing.T) {
		u := unit{t, "rstserver-activated"}
		u.drop("")
		unit{t, "rstserver-activated.socket"}.ctl("start")
		dial(t, inSystemd).expectHello() // which starts the service
		u.reload()
		dial(t, inSystemd).expectHello()

		// New connections wait while it restarts.
		l := restartload.Start(restartload.Config{Addr: inSystemd.String(), New: 8, Path: "/bytes?n=1", Pause: time.Millisecond})
		lingertest.Wait(t, "it is under load", func() bool { return l.Requests() > 100 })
		began := l.Since()
		u.ctl("restart")
		over := l.Since()
		lingertest.Wait(t, "it is under load again", func() bool { return l.Since() > over+time.Second && dialable() })
		result := l.Stop()
		var refused []string
		for _, lost := range result.Lost {
			// Those that the one before had were reset.
			if errors.Is(lost.Err, syscall.ECONNREFUSED) || lost.Began > over {
				refused = append(refused, lost.Err.Error())
			}
		}
		if len(refused) > 0 || len(result.Lost) > 8 {
			t.Errorf("refused: %q; %s", refused, result)
		}
		t.Logf("measured: a restart with the socket unit: new connections waited for %s at the most, %d that the one before had accepted were reset",
			restartload.LatencyOf(result.Of(restartload.New), []restartload.Window{{From: began - time.Second, To: began + time.Minute}}).Most, len(result.Lost))

		main, err := strconv.Atoi(u.show("MainPID"))
		lingertest.Must(t, err)
		held := dial(t, inSystemd)
		held.expectHello()
		lingertest.Must(t, syscall.Kill(main, syscall.SIGKILL))
		held.expectReset()
		dial(t, inSystemd).expectHello() // waits for the next
		if got := u.show("MainPID"); got == strconv.Itoa(main) {
			t.Errorf("the main process is %s still", got)
		}
	})
}

func dialable() bool {
	r, err := http.Get("http://" + inSystemd.String())
	if err == nil {
		r.Body.Close()
		http.DefaultClient.CloseIdleConnections()
	}
	return err == nil
}
