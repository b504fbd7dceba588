//go:build linux

package bench

import (
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/kinds"
	"rstserver/internal/lingertest"
	"rstserver/linger/sockdiag"
)

// After a release a successor has the port while the connections live on, and the process ends with the last of them.
func TestRelease(t *testing.T) {
	mix := mix("idle=2000,in-flight=200,stuck=100,upgraded=100")
	server := ours()
	p, f, mix := begin(t, server, mix)
	send(t, p, syscall.SIGUSR1)
	// As everywhere in Go it has SO_REUSEADDR, which is of no use while another socket listens.
	var successor net.Listener
	lingertest.Wait(t, "the port can be bound", func() (ok bool) {
		ln, err := net.Listen("tcp", p.Addr.String())
		successor = ln
		return err == nil
	})
	defer successor.Close()
	if c, err := net.Dial("tcp", p.Addr.String()); err != nil {
		t.Error(err)
	} else {
		defer c.Close()
		if c, err := successor.Accept(); err != nil {
			t.Error(err)
		} else {
			c.Close()
		}
	}
	for range 2 {
		for _, kind := range []kinds.Kind{kinds.Idle, kinds.Upgraded} {
			if err := f.Repeat(kind, patience); err != nil {
				t.Fatal(err)
			}
		}
	}
	e := watch(t, f, kinds.InFlight)
	expect(t, e, mix, fleet.Answered, kinds.InFlight)
	expect(t, e, mix, fleet.Untold, kinds.Idle, kinds.Stuck, kinds.Upgraded)
	if err := p.Alive(t.Context()); err != nil {
		t.Errorf("before its connections have ended: %v", err)
	}
	f.Close()
	expectEnd(t, p)
}

// A handover is over when the predecessor is: its clients are told, each connect meanwhile reaches the successor, and that is all that is left.
func TestHandover(t *testing.T) {
	server := ours()
	server.Signal, server.Successor = syscall.SIGUSR2, true
	const n = 100
	rep, err := measure(t, run{Server: server, Mix: mix("idle=100"), Timeout: patience, Settle: time.Millisecond, Hold: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Refused != nil || rep.Free != nil || rep.Told == nil || rep.Gone == nil || rep.Endings["reset"] != n {
		t.Errorf("refused %v, free %v, told %v, gone %v, %v", rep.Refused, rep.Free, rep.Told, rep.Gone, rep.Endings)
	}
	if rep.Held < time.Millisecond || rep.Holding < 0 {
		t.Errorf("held for %s, which took %s", rep.Held, rep.Holding)
	}
	left := rep.Left[0].States
	if left[sockdiag.Listen] != 1 || left.Total() != 1 || len(rep.Holders) != 1 {
		t.Errorf("left: %s, of %q; want the successor's socket alone", left, rep.Holders)
	}
	if !slices.Equal(rep.Exit, []string{"exit code 0"}) {
		t.Errorf("the predecessor has ended with %q", rep.Exit)
	}
}
