//go:build linux

package bench

import (
	"context"
	"io"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// begin starts a server and connects a fleet to it, for the length of a test, of a mix that is the given one or less.
func begin(t *testing.T, server Server, mix Mix) (*Processes, *Fleet, Mix) {
	t.Helper()
	mix = most(t, mix)
	// Requests in flight have to last until all are there, and how long that takes is the machine's affair.
	for late := time.Second; ; late *= 4 {
		p := run(t, server, os.Stderr)
		f, err := openLate(p.Addr, mix, late)
		switch {
		case err == nil:
			t.Cleanup(f.Close)
			return p, f, mix
		case late > patience || !strings.Contains(err.Error(), answeredEarly):
			t.Fatal(err)
		}
		p.Kill()
	}
}

// answeredEarly is in the error of in-flight requests that do not take long enough.
const answeredEarly = "have them take longer (--late)"

// run starts a server for the length of a test.
func run(t testing.TB, server Server, stderr io.Writer) *Processes {
	t.Helper()
	addr, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	p, err := server.Start(t.Context(), addr, 1, stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// open opens the connections of a mix, of which none is in flight, to a server that has our paths.
func open(addr netip.AddrPort, mix Mix) (*Fleet, error) { return openLate(addr, mix, 0) }

// openLate is open with those in flight taking that long.
func openLate(addr netip.AddrPort, mix Mix, late time.Duration) (*Fleet, error) {
	target := Target{Addr: addr, Paths: OurPaths, Late: late}
	return Order{Target: target, Mix: mix, To: mix.Total(), Patience: patience}.Open(context.Background(), nil)
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
func expectOver(t *testing.T, p *Processes) {
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
func send(t *testing.T, p *Processes, sig syscall.Signal) {
	t.Helper()
	if err := p.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// A drain resets what is idle, and gives what is in flight its whole answer. What does not end stays, until it is aborted.
func TestDrain(t *testing.T) {
	mix := Mix{{Idle, 2_000}, {Fresh, 100}, {InFlight, 500}, {Stuck, 100}, {Half, 100}, {Streaming, 100}, {Upgraded, 100}, {Full, 50}}
	p, f, mix := begin(t, ours("--drain-timeout", "0"), mix)
	send(t, p, syscall.SIGQUIT)
	e := watch(t, f, Idle, Fresh, InFlight)
	expect(t, e, mix, Reset, Idle, Fresh)
	expect(t, e, mix, Answered, InFlight)
	expect(t, e, mix, Untold, Stuck, Half, Streaming, Upgraded, Full)
	send(t, p, syscall.SIGTERM)
	expect(t, watch(t, f), mix, Reset, Stuck, Half, Streaming, Upgraded, Full)
	expectOver(t, p)
}

// At the deadline of a drain everything that is left is reset.
func TestDrainDeadline(t *testing.T) {
	mix := Mix{{Idle, 2_000}, {Stuck, 500}, {Half, 100}, {Streaming, 100}, {Upgraded, 100}, {Full, 50}}
	p, f, mix := begin(t, ours("--drain-timeout", (200*time.Millisecond).String()), mix)
	send(t, p, syscall.SIGQUIT)
	expect(t, watch(t, f), mix, Reset, Idle, Stuck, Half, Streaming, Upgraded, Full)
	expectOver(t, p)
}
