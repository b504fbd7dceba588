//go:build linux

package bench

import (
	"syscall"
	"testing"
	"time"

	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// begin starts a server and connects a fleet to it, for the length of a test.
func begin(t *testing.T, server server, mix Mix) (*Process, *Fleet) {
	t.Helper()
	cmd, addr := server()
	p, err := Start(cmd, addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	f, err := Open(p.Addr, most(t, mix), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return p, f
}

// watch waits until the clients of these kinds are told, of all kinds if none is named.
func watch(t *testing.T, f *Fleet, kinds ...Kind) Endings {
	t.Helper()
	e, err := f.Watch(patience, kinds...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// expect reports kinds of which not all clients of the mix ended like this.
func expect(t *testing.T, e Endings, mix Mix, want Ending, kinds ...Kind) {
	t.Helper()
	for _, kind := range kinds {
		for _, s := range mix {
			if s.Kind == kind && e.Of[kind][want] != s.N {
				t.Errorf("%s: %s, want %d %s (%v)", kind, e.Of[kind], s.N, want, e.Err)
			}
		}
	}
}

// expectOver expects that the process ends in order and leaves nothing on the port.
func expectOver(t *testing.T, p *Process) {
	t.Helper()
	if code, err := p.Wait(patience); code != 0 || err != nil {
		t.Errorf("exit code %d, %v; want 0", code, err)
	}
	left, _, err := sockdiag.Count(p.Addr.Port())
	if err != nil {
		t.Fatal(err)
	}
	if left.Total() != 0 {
		t.Errorf("left on the port: %s", left)
	}
	if err := linger.CheckFree(p.Addr); err != nil {
		t.Errorf("the port is not free: %v", err)
	}
}

// send sends sig to the server.
func send(t *testing.T, p *Process, sig syscall.Signal) {
	t.Helper()
	if err := p.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// A drain resets what is idle, and gives what is in flight its whole answer. What does not end stays, until it is aborted.
func TestDrain(t *testing.T) {
	mix := Mix{{Idle, 2_000}, {Fresh, 100}, {Brief, 500}, {Slow, 100}, {Half, 100}, {Streaming, 100}, {Upgraded, 100}, {Full, 50}}
	p, f := begin(t, ours(t, "--drain-timeout", "0"), mix)
	send(t, p, syscall.SIGQUIT)
	e := watch(t, f, Idle, Fresh, Brief)
	expect(t, e, mix, Reset, Idle, Fresh)
	expect(t, e, mix, Answered, Brief)
	expect(t, e, mix, Untold, Slow, Half, Streaming, Upgraded, Full)
	send(t, p, syscall.SIGTERM)
	expect(t, watch(t, f), mix, Reset, Slow, Half, Streaming, Upgraded, Full)
	expectOver(t, p)
}

// At the deadline of a drain everything that is left is reset.
func TestDrainDeadline(t *testing.T) {
	mix := Mix{{Idle, 2_000}, {Slow, 500}, {Half, 100}, {Streaming, 100}, {Upgraded, 100}, {Full, 50}}
	p, f := begin(t, ours(t, "--drain-timeout", (200*time.Millisecond).String()), mix)
	send(t, p, syscall.SIGQUIT)
	expect(t, watch(t, f), mix, Reset, Idle, Slow, Half, Streaming, Upgraded, Full)
	expectOver(t, p)
}
