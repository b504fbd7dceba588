//go:build linux

package freeport

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"rstserver/internal/lingertest"
	"rstserver/linger/sockdiag"
)

// self is this process.
func self(t testing.TB) Process {
	t.Helper()
	comm, err := os.ReadFile("/proc/self/comm")
	lingertest.Must(t, err)
	return Process{os.Getpid(), string(comm[:len(comm)-1])}
}

func TestLook(t *testing.T) {
	for name, address := range families {
		t.Run(name, func(t *testing.T) {
			s := listen(t, address)
			s.leave(t)
			o, err := s.plan().Look()
			lingertest.Must(t, err)
			me, here := []Process{self(t)}, []netip.Addr{s.addr.Addr()}
			want := Overview{
				Rows: []Row{
					{State: sockdiag.Listen, Processes: me, Count: 1, Local: here},
					{State: sockdiag.Established, Processes: me, Count: 1, Selected: 1, Local: here},
					{State: sockdiag.Established, Unowned: NotAccepted, Count: 1, Selected: 1, Local: here},
					{State: sockdiag.FinWait2, Unowned: Closed, Count: 1, Selected: 1, Local: here},
					{State: sockdiag.TimeWait, Unowned: Closed, Count: 1, Selected: 1, Local: here},
				},
				Selected: sockdiag.Counts{sockdiag.Established: 2, sockdiag.FinWait2: 1, sockdiag.TimeWait: 1},
				Owners:   me,
			}
			if diff := cmp.Diff(want, o, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("Look (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLookSelects tries each condition on real sockets.
func TestLookSelects(t *testing.T) {
	s := listen(t, "127.0.0.1:0")
	client, conn := s.leave(t)
	_, err := conn.Write(make([]byte, 100)) // acknowledged at once
	lingertest.Must(t, err)
	_, err = client.Write(make([]byte, 1000)) // not read
	lingertest.Must(t, err)
	network := func(text string) []netip.Prefix {
		n, err := sockdiag.ParseNetwork(text)
		lingertest.Must(t, err)
		return []netip.Prefix{n}
	}
	pid := strconv.Itoa(os.Getpid())
	for _, tt := range []struct {
		name   string
		change func(*Plan)
		want   sockdiag.Counts
		owners int
	}{
		{"state", func(p *Plan) { p.Select.States = []sockdiag.State{sockdiag.TimeWait, sockdiag.FinWait2} },
			sockdiag.Counts{sockdiag.TimeWait: 1, sockdiag.FinWait2: 1}, 1},
		{"peer", func(p *Plan) { p.Select.Peer = network("127.0.0.0/8") },
			sockdiag.Counts{sockdiag.Established: 2, sockdiag.FinWait2: 1, sockdiag.TimeWait: 1}, 1},
		{"another peer", func(p *Plan) { p.Select.Peer = network("10.0.0.0/8") }, sockdiag.Counts{}, 1},
		{"local", func(p *Plan) { p.Select.Local = network("127.0.0.1") },
			sockdiag.Counts{sockdiag.Established: 2, sockdiag.FinWait2: 1, sockdiag.TimeWait: 1}, 1},
		{"another local", func(p *Plan) { p.Select.Local = network("127.0.0.2") }, sockdiag.Counts{}, 0},
		{"queued", func(p *Plan) { p.Select.Queued = 1000 }, sockdiag.Counts{sockdiag.Established: 1}, 1},
		{"more queued", func(p *Plan) { p.Select.Queued = 1001 }, sockdiag.Counts{}, 1},
		{"process", func(p *Plan) { p.Select.Processes = []string{pid} }, sockdiag.Counts{sockdiag.Established: 1}, 1},
		{"process by name", func(p *Plan) { p.Select.Processes = []string{self(t).Name} }, sockdiag.Counts{sockdiag.Established: 1}, 1},
		{"another process", func(p *Plan) { p.Select.Processes = []string{"1"} }, sockdiag.Counts{}, 0},
		{"not idle for so long", func(p *Plan) { p.Select.Idle = time.Hour }, sockdiag.Counts{}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := s.plan(tt.change).Look()
			lingertest.Must(t, err)
			if o.Selected != tt.want || len(o.Owners) != tt.owners {
				t.Errorf("selected %v, %d owners, want %v, %d", o.Selected, len(o.Owners), tt.want, tt.owners)
			}
		})
	}
	t.Run("idle", func(t *testing.T) {
		idle := s.plan(func(p *Plan) { p.Select.Idle = 5 * time.Millisecond })
		lingertest.Wait(t, "both connections are idle", func() bool {
			o, err := idle.Look()
			lingertest.Must(t, err)
			return o.Selected == sockdiag.Counts{sockdiag.Established: 2} &&
				o.IdleUnknown == sockdiag.Counts{sockdiag.FinWait2: 1, sockdiag.TimeWait: 1}
		})
	})
}

// TestLookOfTwoProcesses: a socket that two processes have open is one row, with both.
func TestLookOfTwoProcesses(t *testing.T) {
	s := listen(t, "127.0.0.1:0")
	file, err := s.File()
	lingertest.Must(t, err)
	defer file.Close()
	child := exec.Command("sleep", "60")
	child.ExtraFiles = []*os.File{file}
	lingertest.Must(t, child.Start())
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	}()
	o, err := s.plan().Look()
	lingertest.Must(t, err)
	want := []Process{self(t), {child.Process.Pid, "sleep"}}
	slices.SortFunc(want, func(a, b Process) int { return a.PID - b.PID })
	if len(o.Rows) != 1 || !slices.Equal(o.Rows[0].Processes, want) || !slices.Equal(o.Owners, want) {
		t.Errorf("Look = %+v, want one row of %v", o, want)
	}
}

func TestLookWithoutPrivilege(t *testing.T) {
	s := listen(t, "127.0.0.1:0")
	hand(t, "plain", s)
	lingertest.AsNobody(t, func() {
		o, err := s.plan().Look()
		if err != nil || len(o.Rows) != 1 || o.Rows[0].Unowned != Hidden || !o.OwnersHidden || len(o.Owners) != 0 {
			t.Errorf("Look = %+v, %v, want a hidden owner", o, err)
		}
	})
}

func TestLookElsewhere(t *testing.T) {
	// A port on which nothing is here. Tests beside this one do not listen there, as they are given others.
	s := listen(t, "127.0.0.1:0")
	lingertest.Must(t, s.Close())
	plan := s.plan()
	child := exec.Command("sleep", "60")
	lingertest.InNewNetwork(t, func() {
		ln, err := net.Listen("tcp4", netip.AddrPortFrom(netip.IPv4Unspecified(), s.addr.Port()).String())
		if err != nil {
			t.Error(err)
			return
		}
		defer ln.Close()
		file, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Error(err)
			return
		}
		defer file.Close()
		child.ExtraFiles = []*os.File{file}
		if err := child.Start(); err != nil {
			t.Error(err)
		}
	})
	if t.Failed() {
		return
	}
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	}()
	o, err := plan.Look()
	want := Elsewhere{Process: Process{child.Process.Pid, "sleep"}, Counts: sockdiag.Counts{sockdiag.Listen: 1}, HoldsThePort: true}
	if err != nil || len(o.Rows) != 0 || !slices.Equal(o.Elsewhere, []Elsewhere{want}) {
		t.Errorf("Look = %+v, %v, want %+v elsewhere", o, err, want)
	}
	if v, err := plan.Judge(); !v.Free || err != nil {
		t.Errorf("Judge = %+v, %v, want free: nothing is on it here", v, err)
	}
	if matches, _ := filepath.Glob("/proc/" + strconv.Itoa(child.Process.Pid)); len(matches) != 1 {
		t.Error("the process elsewhere was touched")
	}
}
