//go:build linux

package freeport

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

func stopOwner(p *Plan) { p.StopOwner = true }

func TestStopOwner(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	s := listen(t, "127.0.0.1:0")
	s.leave(t)
	owner := hand(t, "plain", s)
	r, v := s.plan(stopOwner).run(t)
	want := Stopped{Process: Process{owner.Process.Pid, self(t).Name}, Signalled: true, LetGo: true}
	if len(r.Stopped) != 1 || r.Stopped[0].PID != want.PID || !r.Stopped[0].Signalled || !r.Stopped[0].LetGo || r.Stopped[0].Reason != "" {
		t.Errorf("stopped %+v, want %+v", r.Stopped, want)
	}
	// The connection that this process has, TIME_WAIT and FIN_WAIT2; the one that was not accepted ended with the listener.
	if !v.Free || r.Destroyed != 3 || r.Successor {
		t.Errorf("Run = %+v, %+v, want free, 3 destroyed", r, v)
	}
	_ = owner.Wait()
	if status := owner.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != unix.SIGTERM {
		t.Errorf("the owner ended with %s, want SIGTERM", owner.ProcessState)
	}
}

// TestStopOwnerThatIgnores: the rest is freed, the process lives, and nothing is said to be free.
func TestStopOwnerThatIgnores(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	s := listen(t, "127.0.0.1:0")
	s.leave(t)
	owner := hand(t, "ignores", s)
	r, v := s.plan(stopOwner, func(p *Plan) { p.Wait = 20 * time.Millisecond }).run(t)
	if len(r.Stopped) != 1 || !r.Stopped[0].Signalled || r.Stopped[0].LetGo || !strings.Contains(r.Stopped[0].Reason, "20ms") {
		t.Errorf("stopped %+v, want one that has not let go in 20ms", r.Stopped)
	}
	if v.Free || len(v.Holders) != 1 || v.Holders[0].PID != owner.Process.Pid || r.Destroyed != 4 {
		t.Errorf("Run = %+v, %+v, want 4 destroyed, held by pid %d", r, v, owner.Process.Pid)
	}
	if err := owner.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("the owner does not live: %v", err)
	}
}

// TestStopOwnerThatDrains: an owner that has closed its listener is left to finish its connection.
func TestStopOwnerThatDrains(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	s := listen(t, "127.0.0.1:0")
	client, conn := s.connect(t)
	owner := hand(t, "drains", s, conn)
	type outcome struct {
		r Result
		v Verdict
	}
	done := make(chan outcome, 1)
	go func() {
		r, v, err := s.plan(stopOwner).Run()
		if err != nil {
			t.Error(err)
		}
		done <- outcome{r, v}
	}()
	owner.says(t, "let go")
	sockdiagtest.WaitCount(t, s.addr.Port(), sockdiag.Counts{sockdiag.Established: 1})
	_, err := client.Write([]byte("it is there"))
	lingertest.Must(t, err)
	lingertest.Must(t, owner.in.Close()) // its end
	o := <-done
	if len(o.r.Stopped) != 1 || !o.r.Stopped[0].LetGo || !o.v.Free {
		t.Errorf("Run = %+v, %+v, want free", o.r, o.v)
	}
}

// TestStopOwnerSparesSuccessor: while the owner ends, another process begins to listen.
func TestStopOwnerSparesSuccessor(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	s := listen(t, "127.0.0.1:0")
	_, conn := s.connect(t)
	owner := hand(t, "drains", s, conn)
	type outcome struct {
		r Result
		v Verdict
	}
	done := make(chan outcome, 1)
	go func() {
		r, v, err := s.plan(stopOwner).Run()
		if err != nil {
			t.Error(err)
		}
		done <- outcome{r, v}
	}()
	owner.says(t, "let go")
	successor := listen(t, s.addr.String())
	client, served := successor.connect(t)
	lingertest.Must(t, owner.in.Close())
	o := <-done
	if !o.r.Successor || o.v.Free || len(o.v.Holders) != 1 || o.v.Holders[0].PID != os.Getpid() {
		t.Errorf("Run = %+v, %+v, want a successor, this process", o.r, o.v)
	}
	_, err := client.Write([]byte("x"))
	lingertest.Must(t, err)
	if _, err := served.Read(make([]byte, 1)); err != nil {
		t.Errorf("the successor's connection reads %v", err)
	}
}

// TestStopOnlySelectedOwner leaves an owner alone that is not one of the processes asked for.
func TestStopOnlySelectedOwner(t *testing.T) {
	s := listen(t, "127.0.0.1:0")
	owner := hand(t, "plain", s)
	r, v := s.plan(stopOwner, func(p *Plan) { p.Select.Processes = []string{"nobody-at-all"} }).run(t)
	if len(r.Stopped) != 0 || v.Free {
		t.Errorf("Run = %+v, %+v, want nothing stopped", r, v)
	}
	if err := owner.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("the owner does not live: %v", err)
	}
}

func TestTerminate(t *testing.T) {
	for name, tt := range map[string]struct {
		process sockdiag.Process
		reason  string
	}{
		"init":           {sockdiag.Process{PID: 1, Name: "systemd"}, "process 1"},
		"itself":         {sockdiag.Process{PID: os.Getpid()}, "this very program"},
		"gone":           {sockdiag.Process{PID: 1 << 22}, ""},
		"without socket": {sockdiag.Process{PID: os.Getppid(), FD: 0, Socket: sockdiag.Socket{Inode: 1}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := new(Plan).signal(tt.process)
			defer o.close()
			if o.Signalled || !strings.Contains(o.Reason, tt.reason) {
				t.Errorf("terminate = %+v, want no signal, %q", o.Stopped, tt.reason)
			}
		})
	}
}

func TestTerminateWithoutPrivilege(t *testing.T) {
	s := listen(t, "127.0.0.1:0")
	owner := hand(t, "plain", s)
	holders, _, err := sockdiag.Holders(s.addr.Port())
	if err != nil || len(holders) != 1 {
		t.Fatalf("Holders = %v, %v", holders, err)
	}
	lingertest.AsNobody(t, func() {
		o := new(Plan).signal(holders[0])
		defer o.close()
		// Its descriptors cannot be read either, so that it is not sure to be the holder.
		if o.Signalled {
			t.Errorf("terminate = %+v", o.Stopped)
		}
	})
	lingertest.Wait(t, "the owner lives", func() bool { return owner.Process.Signal(unix.Signal(0)) == nil })
}

// TestStopOwnerThatIsStartedAgain: a port that is free until the parent of what was stopped has started it again is not called free.
func TestStopOwnerThatIsStartedAgain(t *testing.T) {
	defer func(patience time.Duration) { respawnPatience = patience }(respawnPatience)
	respawnPatience = lingertest.Patience
	s := listen(t, "127.0.0.1:0")
	owner := hand(t, "plain", s)
	again := make(chan *net.TCPListener, 1)
	go func() {
		_ = owner.Wait()
		ln, err := net.Listen("tcp4", s.addr.String())
		if err != nil {
			t.Error(err)
			close(again)
			return
		}
		again <- ln.(*net.TCPListener)
	}()
	r, v := s.plan(stopOwner).run(t)
	if ln := <-again; ln != nil {
		defer ln.Close()
	}
	if len(r.Stopped) != 1 || !r.Stopped[0].LetGo || !r.Successor || v.Free || len(v.Holders) != 1 || r.Stopped[0].Parent.PID != os.Getpid() {
		t.Errorf("Run = %+v, %+v, want one stopped that is followed", r, v)
	}
}
