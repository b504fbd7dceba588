//go:build linux

package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// The port that a server is given is free, and none that the kernel gives a client meanwhile.
func TestFreePort(t *testing.T) {
	low, high := ephemeralPorts()
	if low >= high {
		t.Fatalf("clients get ports from %d to %d", low, high)
	}
	for range 20 {
		addr, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		if port := int(addr.Port()); port < firstPort || port > lastPort || low <= port && port <= high {
			t.Errorf("got port %d, which clients may get: %d to %d", port, low, high)
		}
		if err := linger.CheckFree(addr); err != nil {
			t.Error(err)
		}
	}
}

func TestSince(t *testing.T) {
	got := since(map[string]int64{"A": 1, "B": 5}, map[string]int64{"A": 4, "B": 5, "C": 2})
	if len(got) != 2 || got["A"] != 3 || got["C"] != 2 {
		t.Errorf("got %v, want A to have risen by 3 and C by 2", got)
	}
}

// The counters are the kernel's: a reset that is sent is one more.
func TestCounters(t *testing.T) {
	before, err := counters()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := before[overflow]; !ok {
		t.Errorf("there is no %s: %v", overflow, before)
	}
	p := run(t, faulty("none"), os.Stderr)
	f, err := open(p.Addr, All(10, Idle))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	after, err := counters()
	if err != nil {
		t.Fatal(err)
	}
	if got := since(before, after)["OutRsts"]; got < 10 {
		t.Errorf("%d resets were sent, want 10 at least", got)
	}
}

func TestParseStat(t *testing.T) {
	const fields = " S 12 34 56 0 -1 4194304 1 2 3 4 50 60 70 80 20 0 1 0 987654 1000 200"
	for _, name := range []string{"(sh)", "(a b)", "(x) R 1 1 (y)", "(\n)"} {
		k, err := parseStat("7 " + name + fields)
		if want := (kin{12, 34, "987654", 1500 * time.Millisecond}); k != want || err != nil {
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
	usage := func(family map[int]kin) time.Duration {
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
	if got := usage(self()) - before; got < took-20*time.Millisecond {
		t.Errorf("%s, with a child that took %s", got, took)
	}
	if n, err := resident(self()); n < 1<<20 || err != nil {
		t.Errorf("%d bytes resident, %v", n, err)
	}

	// One that has ended is no error, whether it was waited for or not.
	ended := exec.Command("true")
	if err := ended.Start(); err != nil {
		t.Fatal(err)
	}
	pid := ended.Process.Pid
	family := map[int]kin{pid: {}}
	lingertest.Wait(t, "it has ended", func() bool {
		return strings.Contains(content("/proc/"+strconv.Itoa(pid)+"/status"), "State:\tZ")
	})
	for range 2 {
		if n, err := resident(family); n != 0 || err != nil {
			t.Errorf("%d bytes resident, %v", n, err)
		}
		if _, err := cpu(family); err != nil {
			t.Error(err)
		}
		_ = ended.Wait()
	}
}

// A process that has left the server's session and environment is still found, if it was the server's when that was asked for.
func TestStrays(t *testing.T) {
	s := onKnownPort(t, peer("floor"))
	floor := s.Command[0]
	s.Command = []string{"sh", "-c", `env -i setsid sleep 1000 & exec "$0" "$1"`, floor, s.Command[1]}
	p, err := s.Start(t.Context(), localPort(s.Port), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	lingertest.Wait(t, "the child has left", func() bool {
		family, err := p.family()
		if err != nil {
			t.Fatal(err)
		}
		for pid := range family {
			if strings.HasPrefix(content("/proc/"+strconv.Itoa(pid)+"/cmdline"), "sleep\x00") {
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
	lingertest.ExpectError(t, p.stillRuns("10s after SIGTERM"), "processes that it has started still run", "sleep (pid")
	p.Kill()
	expectNothingOf(t, s)
}

// While clients wait nothing is allocated, since a process of clients collects nothing.
func TestWaitingAllocatesNothing(t *testing.T) {
	p := run(t, faulty("none"), os.Stderr)
	f, err := open(p.Addr, Mix{{Idle, 50}, {Stuck, 50}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	wait := func() {
		if err := f.poll(0); err != nil {
			t.Fatal(err)
		}
		f.untold()
	}
	if n := testing.AllocsPerRun(100, wait); n != 0 {
		t.Errorf("%v allocations for a wait", n)
	}
	if n := f.untold(Stuck); n != 50 {
		t.Errorf("%d stuck clients are not told, want 50", n)
	}
	send(t, p, unix.SIGTERM)
	watch(t, f)
	if n := testing.AllocsPerRun(100, wait); n != 0 {
		t.Errorf("%v allocations for a wait when all are told", n)
	}
}

// A process of clients says what it was told wrong, and nothing when it was told nothing.
func TestServeClients(t *testing.T) {
	tests := []struct {
		name, in, answer, err string
	}{
		{name: "nothing"},
		{name: "no JSON", in: "open sesame", err: "is started by the benchmark"},
		{name: "no order", in: `{"stop":true}`, err: "is started by the benchmark"},
		{name: "no path", in: `{"open":{"target":{"addr":"127.0.0.1:1","paths":{"get":""}},"mix":[{"Kind":"idle","N":1}],"to":1}}`, answer: "it has no path for idle connections"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			err := ServeClients(strings.NewReader(tt.in), &out)
			if tt.err == "" && err != nil {
				t.Error(err)
			} else if tt.err != "" {
				lingertest.ExpectError(t, err, tt.err)
			}
			var a answer
			if out.Len() > 0 {
				if err := json.Unmarshal(out.Bytes(), &a); err != nil {
					t.Fatal(err)
				}
			}
			if tt.answer == "" && out.Len() > 0 || !strings.Contains(a.Err, tt.answer) {
				t.Errorf("answered %q, want %q", out.String(), tt.answer)
			}
		})
	}
}

// A process of clients that ends by itself is no fault of the server's.
func TestClientsEnd(t *testing.T) {
	r := Run{Server: onKnownPort(t, faulty("none")), Mix: All(10, Idle), Clients: func() *exec.Cmd { return exec.Command("true") }}
	_, err := r.Measure(t.Context())
	var f *Failure
	lingertest.ExpectError(t, err, "a process of clients")
	if errors.As(err, &f) {
		t.Errorf("%v is the server's failure", err)
	}
	expectNothingOf(t, r.Server)
	r.Clients = func() *exec.Cmd { return exec.Command("/no/such/program") }
	_, err = r.Measure(t.Context())
	lingertest.ExpectError(t, err, "starting a process of clients", "/no/such/program")
	expectNothingOf(t, r.Server)
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
