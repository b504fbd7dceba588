package main

import (
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// TestBenchSignals ends the benchmark in the midst of a run, behind one that was whole.
func TestBenchSignals(t *testing.T) {
	t.Parallel()
	f := newForeign(t)
	const told = "told terminated"
	for _, tt := range []struct {
		name   string
		flags  string // of the server
		note   string // after which the signal is sent
		signal syscall.Signal
	}{
		{"start", "-deaf", "started with", syscall.SIGINT},
		{"opening", "-mute", "asked", syscall.SIGTERM},
		{"teardown", "-stays -child", told, syscall.SIGINT},
		{"teardown, SIGTERM", "-stays", told, syscall.SIGTERM},
		{"teardown, SIGHUP", "-stays", told, syscall.SIGHUP},
		{"settling", "", "closed", syscall.SIGINT},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &foreign{f.dir, f.program, filepath.Join(t.TempDir(), "diary")}
			file, page := filepath.Join(t.TempDir(), "bench.json"), filepath.Join(t.TempDir(), "bench.html")
			var b *benchmark
			ns := inNetwork(t, func() {
				b = startBench(t, benchCommandLine("--peers", "floor", "--n", "50", "--runs", "3", "--timeout", "1h", "--settle", "1h", "--json", file, "--html", page,
					"--server", f.spec("name=foreign", tt.flags)))
			})
			f.waitNote(t, tt.note)
			b.signal(tt.signal)
			b.exit(128 + int(tt.signal))
			b.expectNothing()
			ns.expectNone()
			if want := "rstserver: interrupted by " + unix.SignalName(tt.signal) + "\n"; b.stderr.String() != want {
				t.Errorf("stderr = %q, want %q", b.stderr.String(), want)
			}
			expectNarrow(t, b.stdout.String())
			if b.stdout.count("  floor ", "50 reset", "nothing") != 1 || b.stdout.count("interrupted") != 2 || b.stdout.count("Failed") != 0 {
				t.Error("the tables lack the floor, or that it was interrupted, or say that something failed")
			}
			doc := readDocument(t, file)
			if !doc.Interrupted || len(doc.Cells) != 1 || doc.Cells[0].Server != "floor" || len(doc.Cells[0].Runs) != 1 || len(doc.Failed) > 0 || doc.Took <= 0 {
				t.Errorf("interrupted, cells, failed = %t, %+v, %+v; want the floor's first run", doc.Interrupted, doc.Cells, doc.Failed)
			}
			if !strings.Contains(readFile(t, page), "interrupted") {
				t.Error("the page does not say that it was interrupted")
			}
			if notes := strings.Count(strings.Join(f.notes(), "\n"), "started with"); notes != 1 {
				t.Errorf("the server was started %d times, want once", notes)
			}
		})
	}
}

// TestBenchSignalWithoutPrivilege: nothing is left that would have to be waited for, since clients reset before the server is killed.
func TestBenchSignalWithoutPrivilege(t *testing.T) {
	needNobody(t)
	f := newForeign(t)
	var b *benchmark
	ns := inNetwork(t, func() {
		b = startBench(t, f.asNobody(t, benchCommandLine("--peers", "none", "--n", "20", "--runs", "1", "--timeout", "1h", "--server", f.spec("name=foreign", "-stays"))))
	})
	f.waitNote(t, "told terminated")
	b.signal(syscall.SIGINT)
	b.exit(128 + int(syscall.SIGINT))
	b.expectNothing()
	ns.expectNone()
}

// TestBenchIgnoredSignals: nohup, and a shell that puts it in the background, have it go on.
func TestBenchIgnoredSignals(t *testing.T) {
	t.Parallel()
	f := newForeign(t)
	cmd := benchCommandLine("--peers", "none", "--n", "10", "--runs", "1", "--timeout", "1h",
		"--server", "name=asks,cmd=sh -c 'grep SigIgn /proc/self/status >>\""+f.diary+"\"' {port}", "--server", f.spec("name=foreign", "-stays"))
	cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `trap "" HUP INT; exec "$0" "$@"`}, cmd.Args...)
	b := startBench(t, cmd)
	f.waitNote(t, "told terminated")
	b.signal(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	b.exit(128 + int(syscall.SIGTERM))
	b.expectNothing()
	// To the servers they are what they always are.
	if mask, err := strconv.ParseUint(strings.TrimSpace(strings.TrimPrefix(f.notes()[0], "SigIgn:")), 16, 64); err != nil || mask&3 != 0 {
		t.Errorf("a server notes %q, %v; want neither SIGHUP nor SIGINT, the lowest two bits, ignored", f.notes()[0], err)
	}
	if want := "rstserver: interrupted by SIGTERM\n"; b.stderr.String() != want {
		t.Errorf("stderr = %q, want %q", b.stderr.String(), want)
	}
}

// TestBenchSignalWhileWaiting: a signal also ends the wait for what the benchmark may not destroy.
func TestBenchSignalWhileWaiting(t *testing.T) {
	needNobody(t)
	f := newForeign(t)
	var b *benchmark
	ns := inNetwork(t, func() {
		cmd := f.asNobody(t, benchCommandLine("--peers", "none", "--n", "20", "--runs", "1", "--settle", "0", "--server", f.spec("name=foreign", "")))
		p, _ := onTerminalOf(t, cmd, 200)
		b = &benchmark{p, cmd.Env[len(cmd.Env)-1]}
	})
	lingertest.Wait(t, "progress that says what is waited for", func() bool {
		return strings.Contains(b.process.stdout.String(), "waiting for the end of TIME_WAIT 20, which only CAP_NET_ADMIN may destroy")
	})
	b.signal(syscall.SIGINT)
	b.exitOnTerminal(exitSignal + int(syscall.SIGINT))
	if left := ns.sockets(); len(left) != len(ns.sockets(procTimeWait)) {
		t.Errorf("%d sockets are left, want TIME_WAIT only: %s", len(left), left)
	}
}

// TestBenchKilled: servers and clients end with the benchmark when it is killed.
func TestBenchKilled(t *testing.T) {
	f := newForeign(t)
	var b *benchmark
	ns := inNetwork(t, func() {
		b = startBench(t, benchCommandLine("--peers", "none", "--n", "50", "--runs", "1", "--timeout", "1h", "--server", f.spec("name=foreign", "-stays")))
	})
	f.waitNote(t, "told terminated")
	if n := len(b.started()); n != 2 {
		t.Errorf("%d processes run beside the benchmark, want the server and the clients: %q", n, b.started())
	}
	if n := len(ns.sockets(procEstablished)); n < 100 { // and the probe's
		t.Errorf("%d established sockets, want 100 at least", n)
	}
	b.signal(syscall.SIGKILL)
	b.exit(-1)
	lingertest.Wait(t, "the end of the processes", func() bool { return len(b.started()) == 0 })
	lingertest.Wait(t, "the end of the sockets", func() bool { return len(ns.sockets(procEstablished, procListen)) == 0 })
}
