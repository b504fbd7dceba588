//go:build linux

package freeport

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

func TestRun(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	for name, address := range families {
		t.Run(name, func(t *testing.T) {
			s := listen(t, address)
			client, conn := s.leave(t)
			lingertest.Must(t, s.Close()) // which resets the connection that was not accepted
			r, v := s.plan().run(t)
			if r.Destroyed != 3 || len(r.Refused) != 0 || r.Coming || r.Rounds != 1 || r.Survived != 0 {
				t.Errorf("Run = %+v, want 3 destroyed in 1 round", r)
			}
			want := []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), s.addr.Port()),
				netip.AddrPortFrom(netip.IPv6Unspecified(), s.addr.Port())}
			if !v.Free || v.Bound[0] != want[0] || s.addr.Addr().Is6() && v.Bound[1] != want[1] {
				t.Errorf("verdict = %+v, want free, bound %v", v, want)
			}
			if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client reads %v, want ECONNRESET", err)
			}
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNABORTED) {
				t.Errorf("the process reads %v, want ECONNABORTED", err)
			}
		})
	}
}

// TestRunSparesTheListener: it is neither destroyed nor counted as a failure to.
func TestRunSparesTheListener(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	s := listen(t, "127.0.0.1:0")
	s.leave(t)
	r, v := s.plan().run(t)
	if r.Destroyed != 4 || len(r.Refused) != 0 {
		t.Errorf("Run = %+v, want 4 destroyed", r)
	}
	if v.Free || !v.InUse() || len(v.Holders) != 1 || v.Holders[0] != (Holder{self(t), circumstanceOf(os.Getpid()), s.addr, sockdiag.Listen}) || v.Left.Total() != 0 {
		t.Errorf("verdict = %+v, want held by %v", v, self(t))
	}
	// Of the queue it returns the one that was destroyed first.
	if conn, err := s.AcceptTCP(); err == nil {
		conn.Close()
	}
	client, conn := s.connect(t)
	_, err := client.Write([]byte("x"))
	lingertest.Must(t, err)
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Errorf("the listener's next connection reads %v", err)
	}
}

func TestRunSelects(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	s := listen(t, "127.0.0.1:0")
	s.leave(t)
	r, v := s.plan(func(p *Plan) { p.Select.States = []sockdiag.State{sockdiag.TimeWait, sockdiag.FinWait2} }).run(t)
	if want := (sockdiag.Counts{sockdiag.Established: 2}); r.Destroyed != 2 || v.Free || v.Left != want {
		t.Errorf("Run = %+v, %+v, want 2 destroyed and %v left", r, v, want)
	}
	sockdiagtest.WaitCount(t, s.addr.Port(), sockdiag.Counts{sockdiag.Listen: 1, sockdiag.Established: 2})
}

func TestRunOfFreePort(t *testing.T) {
	s := listen(t, "127.0.0.1:0")
	lingertest.Must(t, s.Close())
	r, v := s.plan(func(p *Plan) { p.StopOwner = true }).run(t)
	if !v.Free || r.Rounds != 0 || r.Destroyed != 0 || len(r.Stopped) != 0 || v.Left.Total() != 0 {
		t.Errorf("Run = %+v, %+v, want free and nothing done", r, v)
	}
}

func TestRunWithoutPrivilege(t *testing.T) {
	s := listen(t, "127.0.0.1:0")
	s.leave(t)
	lingertest.AsNobody(t, func() {
		r, v, err := s.plan().Run()
		want := sockdiag.Counts{sockdiag.Established: 2, sockdiag.FinWait2: 1, sockdiag.TimeWait: 1}
		if err != nil || r.Destroyed != 0 || len(r.Refused) != 1 || r.Refused[0].Counts != want ||
			!errors.Is(r.Refused[0].Err, sockdiag.ErrNotPermitted) || v.Free || v.Left != want {
			t.Errorf("Run = %+v, %+v, %v, want %v refused and left", r, v, err, want)
		}
	})
}

// TestRunUnderStorm: clients come back to a live listener as fast as they are reset, and Run ends all the same.
func TestRunUnderStorm(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	s := listen(t, "127.0.0.1:0")
	var stop atomic.Bool
	var storm sync.WaitGroup
	var resets atomic.Int64
	for range 8 {
		storm.Go(func() {
			for !stop.Load() {
				c, err := net.Dial("tcp", s.addr.String())
				if err != nil {
					return // the listener is closed
				}
				_ = c.(*net.TCPConn).SetLinger(0)
				if _, err := c.Read(make([]byte, 1)); errors.Is(err, syscall.ECONNRESET) {
					resets.Add(1)
				}
				c.Close()
			}
		})
	}
	storm.Go(func() {
		for {
			conn, err := s.AcceptTCP()
			if err != nil {
				return
			}
			defer func() {
				_ = conn.SetLinger(0)
				conn.Close()
			}()
		}
	})
	lingertest.Wait(t, "clients", func() bool { return sockdiagtest.Count(t, s.addr.Port())[sockdiag.Established] > 0 })
	r, v := s.plan().run(t)
	if r.Rounds > maxRounds || r.Coming && r.Rounds != maxRounds || v.Free {
		t.Errorf("Run = %+v, %+v, want at most %d rounds", r, v, maxRounds)
	}
	stop.Store(true)
	s.Close()
	storm.Wait()
	if resets.Load() == 0 {
		t.Error("no client was reset")
	}
}

// TestRoundsAreBounded finds other sockets on the port whenever it is looked at.
func TestRoundsAreBounded(t *testing.T) {
	p := &Plan{Select: sockdiag.Selector{LocalPort: 1}}
	looks := 0
	look := func() (*view, error) {
		looks++
		// Nobody has such a cookie, so the kernel says that the socket is gone.
		return &view{plan: p, sockets: []sockdiag.Socket{{Local: netip.MustParseAddrPort("127.0.0.1:1"),
			Remote: netip.MustParseAddrPort("127.0.0.1:2"), State: sockdiag.Established, Cookie: 1<<63 | rand.Uint64()>>1}}}, nil
	}
	d := destroying{result: &Result{}, look: look, done: make(map[uint64]bool)}
	v, _ := look()
	lingertest.Must(t, d.rounds(v))
	if r := d.result; !r.Coming || r.Rounds != maxRounds || r.Gone != maxRounds || looks != maxRounds+1 {
		t.Errorf("rounds = %+v after %d looks, want %d rounds", r, looks, maxRounds)
	}
}

// TestSurvivors: what the kernel says it has destroyed and lists again is asked for once.
func TestSurvivors(t *testing.T) {
	p := &Plan{Select: sockdiag.Selector{LocalPort: 1}}
	v := &view{plan: p, sockets: []sockdiag.Socket{{Local: netip.MustParseAddrPort("127.0.0.1:1"),
		Remote: netip.MustParseAddrPort("127.0.0.1:2"), State: sockdiag.FinWait1, Cookie: 1 << 63}}}
	v.sockets = append(v.sockets, v.sockets[0]) // in two states, as it changed during the dump
	d := destroying{result: &Result{}, look: func() (*view, error) { return v, nil }, done: make(map[uint64]bool)}
	lingertest.Must(t, d.rounds(v))
	if r := d.result; r.Rounds != 1 || r.Gone != 1 || r.Survived != 2 || r.Coming {
		t.Errorf("rounds = %+v, want 1 round and the survivor", r)
	}
}

func TestJudge(t *testing.T) {
	s := listen(t, "127.0.0.1:0")
	at := func(ip string) func(*Plan) {
		return func(p *Plan) {
			n, err := sockdiag.ParseNetwork(ip)
			lingertest.Must(t, err)
			p.Select.Local = append(p.Select.Local, n)
		}
	}
	for _, tt := range []struct {
		name    string
		change  func(*Plan)
		free    bool
		bound   []string
		holders int
		err     error
	}{
		{name: "all addresses", change: func(*Plan) {}, holders: 1, err: unix.EADDRINUSE},
		{name: "its address", change: at("127.0.0.1"), holders: 1, err: unix.EADDRINUSE},
		{name: "its network", change: at("127.0.0.0/8"), holders: 1, err: unix.EADDRINUSE},
		{name: "another address", change: at("127.0.0.2"), free: true, bound: []string{"127.0.0.2"}},
		{name: "one of two addresses", change: func(p *Plan) { at("127.0.0.2")(p); at("127.0.0.1")(p) }, bound: []string{"127.0.0.2"},
			holders: 1, err: unix.EADDRINUSE},
		{name: "an address of another machine", change: at("198.51.100.7"), err: unix.EADDRNOTAVAIL},
		{name: "a network of other machines", change: at("198.51.100.0/24")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := s.plan(tt.change).Judge()
			lingertest.Must(t, err)
			var bound []string
			for _, b := range v.Bound {
				bound = append(bound, b.Addr().String())
			}
			if v.Free != tt.free || !errors.Is(v.Err, tt.err) || len(v.Holders) != tt.holders ||
				tt.bound != nil && (len(bound) != 1 || bound[0] != tt.bound[0]) {
				t.Errorf("Judge = %+v, want free %v, bound %v, %d holders, %v", v, tt.free, tt.bound, tt.holders, tt.err)
			}
		})
	}
}

// TestJudgeLowPort: what may not be bound is not said to be free.
func TestJudgeLowPort(t *testing.T) {
	p := &Plan{Select: sockdiag.Selector{LocalPort: 1}}
	if c := sockdiagtest.Count(t, 1); c.Total() != 0 {
		t.Skipf("port 1 has %v", c)
	}
	lingertest.AsNobody(t, func() {
		v, err := p.Judge()
		if errors.Is(v.Err, nil) && v.Free {
			t.Log("every port may be bound by all here: sysctl net.ipv4.ip_unprivileged_port_start")
			return
		}
		if err != nil || v.Free || !errors.Is(v.Err, unix.EACCES) || v.InUse() {
			t.Errorf("Judge = %+v, %v, want %v", v, err, unix.EACCES)
		}
	})
}
