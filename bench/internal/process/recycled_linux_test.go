//go:build linux

package process

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"rstserver/internal/lingertest"
)

// Processes that have got the numbers of those of a family that have ended are not counted, watched or killed.
func TestRecycledNumbers(t *testing.T) {
	// Somebody else's, and what has started it in its turn: they lead and share a group.
	foreign := func(group int) *exec.Cmd {
		cmd := exec.Command("sleep", "1000")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: group}
		lingertest.Must(t, cmd.Start())
		t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
		return cmd
	}
	leader := foreign(0)
	led := foreign(leader.Process.Pid)
	pid := leader.Process.Pid

	const before = "1" // when those of the family began
	output, err := os.CreateTemp(t.TempDir(), "")
	lingertest.Must(t, err)
	ended := exec.Command("true")
	lingertest.Must(t, ended.Run())
	ended.Process.Pid = pid
	one := &process{cmd: ended, output: output, began: before, errand: true, ended: make(chan struct{})}
	close(one.ended)
	strays, err := newStrays()
	lingertest.Must(t, err)
	strays.leads(one)
	strays.seen[led.Process.Pid] = before
	p := &Family{n: 1, started: []*process{one}, strays: strays}

	members, err := p.members()
	lingertest.Must(t, err)
	if len(members) > 0 {
		t.Errorf("members %v, want none", members)
	}
	k, err := readKin(pid)
	lingertest.Must(t, err)
	if p.isErrand(pid, k) {
		t.Error("another process is an errand")
	}
	death, err := p.Watch(pid)
	lingertest.Must(t, err)
	if death.Left() > 0 {
		t.Error("another process is watched")
	}
	death.Close()
	p.Kill()
	for _, cmd := range []*exec.Cmd{leader, led} {
		if exiting(cmd.Process.Pid) {
			t.Errorf("process %d was killed", cmd.Process.Pid)
		}
	}

	// While somebody of the group that was ours is left, it is.
	k, err = readKin(pid)
	lingertest.Must(t, err)
	one.began = k.began
	strays.leads(one)
	orphans, err := strays.orphans()
	lingertest.Must(t, err)
	if len(orphans) != 1 || orphans[0] != led.Process.Pid {
		t.Errorf("orphans %v, want %d", orphans, led.Process.Pid)
	}
}
