//go:build linux

package bench

import (
	"net"
	"syscall"
	"testing"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/kinds"
	"rstserver/internal/lingertest"
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
