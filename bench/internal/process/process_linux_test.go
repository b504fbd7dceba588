//go:build linux

package process

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/bench/internal/kernel"
	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
)

// listenVariable makes the test binary a program that listens on an address until SIGTERM.
const listenVariable = "RSTSERVER_PROCESS_LISTEN"

func TestMain(m *testing.M) {
	if addr := os.Getenv(listenVariable); addr != "" {
		ctx, _ := signal.NotifyContext(context.Background(), unix.SIGTERM)
		if _, err := net.Listen("tcp", addr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		<-ctx.Done()
		os.Exit(0)
	}
	lingertest.Main(m)
}

func TestParseStat(t *testing.T) {
	const fields = " S 12 34 56 0 -1 4194372 1 2 3 4 50 60 70 80 20 0 1 0 987654 1000 200"
	for _, name := range []string{"(sh)", "(a b)", "(x) R 1 1 (y)", "(\n)"} {
		k, err := parseStat("7 " + name + fields)
		if want := (kin{parent: 12, group: 34, forked: true, exiting: true, began: "987654", children: Times{Total: 1500 * time.Millisecond, User: 700 * time.Millisecond}}); k != want || err != nil {
			t.Errorf("%q: got %+v, %v, want %+v", name, k, err, want)
		}
	}
	for _, bad := range []string{"", "7 (sh) S 12", "7 (sh)" + strings.Replace(fields, " 34 ", " x ", 1)} {
		if k, err := parseStat(bad); err == nil {
			t.Errorf("%q: got %+v", bad, k)
		}
	}
}

// Processor time and memory are those of a whole family, also of children that have ended.
func TestUsage(t *testing.T) {
	self := func() map[int]kin {
		table, err := processTable()
		if err != nil {
			t.Fatal(err)
		}
		return map[int]kin{os.Getpid(): table[os.Getpid()]}
	}
	usage := func(family map[int]kin) Times {
		used, err := cpu(family)
		if err != nil {
			t.Fatal(err)
		}
		return used
	}
	before := usage(self())
	worker := exec.Command("sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")
	if err := worker.Run(); err != nil {
		t.Fatal(err)
	}
	took := worker.ProcessState.UserTime() + worker.ProcessState.SystemTime()
	// A part of a hundredth of a second counts as none, in both modes.
	user := worker.ProcessState.UserTime()
	got := usage(self()).Since(before)
	if got.Total < took-20*time.Millisecond || got.User < user-20*time.Millisecond || got.User > got.Total {
		t.Errorf("%+v, with a child that took %s, %s of it in user mode", got, took, user)
	}
	if n, err := resident(self()); n.Anonymous < 1<<20 || n.Resident <= n.Anonymous || err != nil { // the program is in a file
		t.Errorf("%+v, %v", n, err)
	}

	// One that has ended is no error, whether it was waited for or not.
	ended := exec.Command("true")
	if err := ended.Start(); err != nil {
		t.Fatal(err)
	}
	pid := ended.Process.Pid
	family := map[int]kin{pid: {}}
	lingertest.Wait(t, "it has ended", func() bool { return isIn("Z", pid) })
	for range 2 {
		if n, err := resident(family); n != (Held{}) || err != nil {
			t.Errorf("%+v, %v", n, err)
		}
		if _, err := cpu(family); err != nil {
			t.Error(err)
		}
		_ = ended.Wait()
	}
}

// isIn reports whether a process is in a state of proc_pid_status(5).
func isIn(state string, pid int) bool {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return bytes.Contains(status, []byte("State:\t"+state))
}

// A process that has left the server's session and environment is still found, if it was the server's when that was asked for.
func TestStrays(t *testing.T) {
	addr, err := kernel.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	program := Program{
		Name: "program", Command: []string{"sh", "-c", `env -i setsid sleep 1000 & exec "$0"`, os.Args[0]},
		Env: []string{listenVariable + "=" + addr.String(), "GORACE=atexit_sleep_ms=0"},
	}
	p, err := Start(t.Context(), program, addr, 1, nil, lingertest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	lingertest.Wait(t, "the child has left", func() bool {
		family, err := p.members()
		if err != nil {
			t.Fatal(err)
		}
		for pid := range family {
			if command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); bytes.HasPrefix(command, []byte("sleep\x00")) {
				return true
			}
		}
		return false
	})
	if err := p.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.started[0].ended
	lingertest.Wait(t, "it is an orphan", func() bool {
		orphans, err := p.strays.orphans()
		return err == nil && len(orphans) == 1
	})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Gone(over, "10s after SIGTERM")
	lingertest.ExpectError(t, err, "processes that it has started still run 10s after SIGTERM", "sleep (pid")
	p.Kill()
	lingertest.ExpectNoChildren(t)
	if left := lingertest.Leftover(addr.Port()); left != "" {
		t.Errorf("left on its port:\n%s", left)
	}
}

// asked is a context of which it is known that somebody asks for its end.
type asked struct {
	context.Context
	done, err func()
}

func (a asked) Done() <-chan struct{} { a.done(); return a.Context.Done() }
func (a asked) Err() error            { a.err(); return a.Context.Err() }

// That a process has ended is known later than what came of it, and in time nevertheless. Its port is listened on meanwhile: the kernel
// may close its listening socket last.
func TestEndThatIsKnownLate(t *testing.T) {
	ln, err := net.Listen("tcp", sockdiagtest.OwnAddr(t, "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	addr := ln.Addr().(*net.TCPAddr).AddrPort()
	strays, err := newStrays()
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func(*Family, context.Context) error{
		"Alive":  (*Family).Alive,
		"Ending": (*Family).Ending,
		"Start": func(p *Family, ctx context.Context) error {
			return p.ready(ctx, p.started[0], 1, time.Nanosecond) // its patience is over by then
		},
	} {
		t.Run(name, func(t *testing.T) {
			one := &process{cmd: exec.Command("sh", "-c", "exit 3"), ended: make(chan struct{})}
			if one.output, err = os.CreateTemp(t.TempDir(), ""); err != nil {
				t.Fatal(err)
			}
			defer one.output.Close()
			if err := one.cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lingertest.Wait(t, "it is about to end", func() bool { return exiting(one.cmd.Process.Pid) })
			learn := sync.OnceFunc(func() {
				one.err = one.cmd.Wait()
				close(one.ended)
			})
			defer learn()
			// The second time is once its end is waited for; the first may be before.
			times := 0
			ctx := asked{t.Context(), func() {
				if times++; times == 2 || name != "Start" {
					learn()
				}
			}, func() {}}
			lingertest.ExpectError(t, f(&Family{Addr: addr, n: 1, started: []*process{one}, strays: strays}, ctx), "it ended ", "exit code 3")
		})
	}
}

// A process that has ended by the time that it is given has ended in time, also when both are seen at once.
func TestGoneInTime(t *testing.T) {
	strays, err := newStrays()
	if err != nil {
		t.Fatal(err)
	}
	one := &process{ended: make(chan struct{}), at: time.Second}
	p := &Family{started: []*process{one}, strays: strays}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Gone(over, "10s after SIGTERM")
	lingertest.ExpectError(t, err, "it still runs 10s after SIGTERM, and was killed")
	close(one.ended)
	for range 50 { // a select chooses at random
		if at, err := p.Gone(over, "10s after SIGTERM"); at != one.at || err != nil {
			t.Fatalf("gone at %s, %v, want %s", at, err, one.at)
		}
	}
}

// A process that ends since one that it has started has ended is waited for.
func TestEndOfWhatItHasStarted(t *testing.T) {
	addr, err := kernel.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	program := Program{
		Name: "program", Command: []string{"sh", "-c", `"$0"; exit 3`, os.Args[0]},
		Env: []string{listenVariable + "=" + addr.String(), "GORACE=atexit_sleep_ms=0"},
	}
	p, err := Start(t.Context(), program, addr, 1, nil, lingertest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	if err := unix.Kill(p.PID(), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	lingertest.Wait(t, "it is stopped", func() bool { return isIn("T", p.PID()) })
	family, err := p.members()
	if err != nil {
		t.Fatal(err)
	}
	delete(family, p.PID())
	for pid := range family {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		lingertest.Wait(t, "it is about to end", func() bool { return exiting(pid) })
	}
	// In its place, as if it had closed its connections first.
	var ln net.Listener
	lingertest.Wait(t, "the port is free", func() bool {
		ln, err = net.Listen("tcp", addr.String())
		return err == nil
	})
	defer ln.Close()
	times := 0
	ctx := asked{t.Context(), func() {}, func() {
		if times++; times == 2 {
			_ = unix.Kill(p.PID(), unix.SIGCONT)
		}
	}}
	lingertest.ExpectError(t, p.Ending(ctx), "it ended by itself, with exit code 3")
}

// What is printed is shortened to its last lines, and has nothing in it that a terminal obeys.
func TestPrinted(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "",
		"one\n":                          "; it printed: one",
		"one\ntwo\nthree\nfour\n":        "; it printed: two | three | four",
		"\x1b[31mred\x1b[0m\tand \xff\a": "; it printed: [31mred[0m and ",
	} {
		file, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(file, in); err != nil {
			t.Fatal(err)
		}
		if got := (&process{output: file}).printed(); got != want {
			t.Errorf("of %q: %q, want %q", in, got, want)
		}
		file.Close()
	}
}
