//go:build linux

package handover_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"rstserver/internal/latch"
	"rstserver/internal/lingertest"
	"rstserver/linger"
	"rstserver/linger/handover"
)

// In the process of the test: what can be called when, and that nothing of a predecessor is left.
func TestPredecessor(t *testing.T) {
	dir := t.TempDir()
	l := &line{t: t, plan: filepath.Join(dir, "plan")}
	l.replan(plan{Fail: "says why"})
	pidFile := filepath.Join(dir, "pid")
	h, err := handover.New(handover.Options{
		Env: append(os.Environ(), programEnv+"=server", planEnv+"="+l.plan), Timeout: lingertest.Patience, PIDFile: pidFile,
	})
	lingertest.Must(t, err)
	ctx := context.Background()
	if err := h.HandOver(ctx); err != handover.ErrNotReady {
		t.Errorf("HandOver before Ready = %v", err)
	}
	if _, err := h.Listen("unix", "x"); err == nil {
		t.Error("Listen takes a network that it does not know")
	}
	if _, err := h.Listen("tcp", ""); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("Listen without an address = %v", err)
	}
	ln, err := h.Listen("tcp", "127.0.0.1:0")
	lingertest.Must(t, err)
	if h.Inherits() || !latch.IsClosed(h.Gone()) || latch.IsClosed(h.Exit()) || !ln.Shared() {
		t.Error("there is a predecessor, or a successor")
	}
	lingertest.Must(t, h.Ready())
	if b, err := os.ReadFile(pidFile); string(b) != strconv.Itoa(os.Getpid())+"\n" {
		t.Errorf("the PID file has %q, %v", b, err)
	}
	if err := h.Ready(); err == nil {
		t.Error("Ready twice")
	}
	srv := &http.Server{Handler: h.Handler(http.NotFoundHandler())}
	go srv.Serve(ln)

	// One that fails, and two at a time.
	first := make(chan error, 1)
	go func() { first <- h.HandOver(ctx) }()
	var second error
	lingertest.Wait(t, "one of two is under way", func() bool {
		second = h.HandOver(ctx)
		return second == handover.ErrRunning || strings.Contains(second.Error(), "the database is away")
	})
	if err := <-first; err == nil || err != handover.ErrRunning && !strings.Contains(err.Error(), "the database is away") {
		t.Errorf("HandOver = %v", err)
	}
	// One that nobody waits for.
	l.replan(plan{Fail: "silent at all"})
	short, cancel := context.WithCancel(ctx)
	cancel()
	if err := h.HandOver(short); !errors.Is(err, context.Canceled) {
		t.Errorf("HandOver without time = %v", err)
	}

	l.replan(plan{Address: "127.0.0.1:0"})
	exit, lost := h.Exit(), h.Lost()
	ended := make(chan error, 1)
	go func() {
		<-exit
		_, err := ln.HandOver(ctx, srv.Shutdown)
		ended <- err
	}()
	lingertest.Must(t, h.HandOver(ctx))
	if err := h.HandOver(ctx); err != handover.ErrHandedOver {
		t.Errorf("HandOver after that = %v", err)
	}
	l.addr = ln.Addr().(*net.TCPAddr).AddrPort()
	pid, err := strconv.Atoi(l.get("/"))
	if err != nil || pid == os.Getpid() || pid <= 1 {
		t.Fatalf("the answer is of %d, %v", pid, err)
	}
	lingertest.Must(t, <-ended)
	rep := ln.Report()
	if rep.Mode != linger.ModeHandover || !rep.Complete() || rep.Left.Unowned.Total() != 0 {
		t.Errorf("report = %v", rep)
	}
	if latch.IsClosed(lost) {
		t.Error("the successor is lost")
	}
	lingertest.Must(t, syscall.Kill(pid, syscall.SIGKILL))
	<-lost
	if latch.IsClosed(h.Exit()) || latch.IsClosed(h.Lost()) {
		t.Error("the channels are those of before")
	}

	// This process serves again, and lets go in the end.
	ln, err = h.Listen("tcp", "127.0.0.1:0")
	lingertest.Must(t, err)
	again := &http.Server{Handler: h.Handler(http.NotFoundHandler())}
	go again.Serve(ln)
	c := l.dial()
	c.get("/")
	if c.last {
		t.Error("an answer says that it is the last")
	}
	lingertest.Must(t, h.Close())
	lingertest.Must(t, h.Close())
	if err := h.HandOver(ctx); err != handover.ErrClosed {
		t.Errorf("HandOver after Close = %v", err)
	}
	if rep, err := ln.Abort(); err != nil || !rep.Left.Free() {
		t.Errorf("Abort = %v, %v", rep, err)
	}
	if _, err := os.Stat(pidFile); err == nil {
		t.Error("the PID file is left")
	}
	_ = c.Close()
}

// A program that has gone elsewhere finds its file where it was.
func TestChdir(t *testing.T) {
	l := begin(t, plan{Chdir: "/", Timeout: lingertest.Patience})
	l.install() // another file
	l.signal(syscall.SIGUSR2)
	l.serving()
	l.signal(syscall.SIGUSR2)
	l.serving()
}

// Options that make no sense are refused.
func TestOptions(t *testing.T) {
	for _, o := range []handover.Options{{Timeout: -1}, {Drain: 1 << 62}} {
		if _, err := handover.New(o); err == nil {
			t.Errorf("New(%+v) takes it", o)
		}
	}
}
