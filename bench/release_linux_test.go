//go:build linux

package bench

import (
	"net"
	"syscall"
	"testing"

	"rstserver/internal/lingertest"
)

// After a release a successor has the port while the connections live on, and the process ends with the last of them.
func TestRelease(t *testing.T) {
	mix := Mix{{Idle, 2_000}, {InFlight, 200}, {Stuck, 100}, {Upgraded, 100}}
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
		for _, kind := range []Kind{Idle, Upgraded} {
			if err := f.Repeat(kind, patience); err != nil {
				t.Fatal(err)
			}
		}
	}
	e := watch(t, f, InFlight)
	expect(t, e, mix, Answered, InFlight)
	expect(t, e, mix, Untold, Idle, Stuck, Upgraded)
	if _, err := p.Wait(0); err == nil {
		t.Error("the process has ended before its connections")
	}
	f.Close()
	if code, err := p.Wait(patience); code != 0 || err != nil {
		t.Errorf("exit code %d, %v; want 0", code, err)
	}
}
