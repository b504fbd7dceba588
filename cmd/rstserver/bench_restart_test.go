package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"rstserver/internal/lingertest"
)

// What one call has measured of restarts is the same in every form, now and later.
func TestBenchRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	json, page := filepath.Join(dir, "a.json"), filepath.Join(dir, "a.html")
	b, code := runBench(t, "--restart", "signal=USR2", "--runs", "1", "--restarts", "2", "--window", "200ms", "--n", "20", "--rate", "100", "--json", json, "--html", page)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, b.stderr.String())
	}
	b.expectNothing()
	d := readDocument(t, json)
	if len(d.Restarted) != 1 || len(d.Restarted[0].Runs) != 1 || len(d.Restarted[0].Runs[0].Restarts) != 2 {
		t.Fatalf("restarted: %+v", d.Restarted)
	}
	for _, r := range d.Restarted[0].Runs[0].Restarts {
		if r.With.LostRequests() > 0 || r.With.New == 0 || r.Gone == nil {
			t.Errorf("lost %v, %d answers of the new process, old one gone %v", r.With.Lost, r.With.New, r.Gone)
		}
	}
	text := words(b.stdout.String())
	for _, want := range []string{"2 restarts of each under load", "lost rstserver 0", "signal=USR2"} {
		if !strings.Contains(text, want) {
			t.Errorf("stdout lacks %q: %s", want, text)
		}
	}
	if !strings.Contains(readFile(t, page), "One restart, in hundredths of a second") {
		t.Error("the page has no timeline")
	}
	again, code := runBench(t, "--from", json)
	if code != exitOK || words(again.stdout.String()) != text {
		t.Errorf("exit code %d, and from the file it is\n%s\nwant\n%s", code, again.stdout.String(), b.stdout.String())
	}
}

// Servers that are missing are named, each with what brings it.
func TestBenchRestartMissing(t *testing.T) {
	t.Parallel()
	b, code := runBench(t, "--restart", "own", "--peers", "nginx-hup,node-cluster", "--peers-dir", t.TempDir())
	text := words(b.stdout.String())
	for _, want := range []string{"- nginx HUP: ", "- Node cluster: ", "is not there: make peers"} {
		if code != exitFailed || !strings.Contains(text, want) {
			t.Errorf("exit code %d, stdout lacks %q: %s", code, want, text)
		}
	}
}

// A signal ends it in order, with what was measured until then.
func TestBenchRestartInterrupted(t *testing.T) {
	t.Parallel()
	pidFile := filepath.Join(t.TempDir(), "pid")
	b := startBench(t, benchCommandLine("--restart", "exec=true", "--window", "1ms", "--restarts", "1000", "--n", "4", "--rate", "100", "--server",
		"name=mine,cmd="+binary+" serve --addr 127.0.0.1:{port} --quiet --pid-file "+pidFile+",pidfile="+pidFile))
	lingertest.Wait(t, "the server runs", func() bool { return len(b.started()) > 0 })
	b.signal(syscall.SIGINT)
	if code := b.wait(); code != exitSignal+int(syscall.SIGINT) {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(b.stdout.String(), "interrupted") {
		t.Errorf("stdout does not say so: %s", b.stdout.String())
	}
	b.expectNothing()
}
