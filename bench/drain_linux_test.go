//go:build linux

package bench

import (
	"context"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/internal/kernel"
	"rstserver/bench/internal/process"
	"rstserver/bench/kinds"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// begin starts a server and connects a fleet to it, for the length of a test, of a mix that is the given one or less.
func begin(t *testing.T, server Server, mix fleet.Mix) (*process.Family, *fleet.Fleet, fleet.Mix) {
	t.Helper()
	mix = most(t, mix)
	// Requests in flight have to last until all are there, and how long that takes is the machine's affair.
	for late := time.Second; ; late *= 4 {
		p := startServer(t, server, os.Stderr)
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

// startServer starts a server for the length of a test.
func startServer(t testing.TB, server Server, stderr io.Writer) *process.Family {
	t.Helper()
	addr, err := kernel.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	p, err := server.start(t.Context(), addr, 1, stderr, patience, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// open opens the connections of a mix, of which none is in flight, to a server that has our paths.
func open(addr netip.AddrPort, mix fleet.Mix) (*fleet.Fleet, error) { return openLate(addr, mix, 0) }

// openLate is open with those in flight taking that long.
func openLate(addr netip.AddrPort, mix fleet.Mix, late time.Duration) (*fleet.Fleet, error) {
	target := fleet.Target{Addr: addr, Paths: ourPaths, Late: late}
	return fleet.Order{Target: target, Mix: mix, To: mix.Total(), Patience: patience}.Open(context.Background(), nil)
}

// watch waits until the clients of these kinds are told, of all kinds if none is named.
func watch(t *testing.T, f *fleet.Fleet, of ...kinds.Kind) fleet.Endings {
	t.Helper()
	e, err := f.Watch(patience, of...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// expect reports kinds of which not all clients of the mix ended like this.
func expect(t *testing.T, e fleet.Endings, mix fleet.Mix, want fleet.Ending, of ...kinds.Kind) {
	t.Helper()
	for _, kind := range of {
		for _, s := range mix {
			if s.Kind == kind && e.Of[kind][want] != s.N {
				t.Errorf("%s: %s, want %d %s (%v)", kind, e.Of[kind], s.N, want, e.Err)
			}
		}
	}
}

// expectEnd expects that the process ends in order.
func expectEnd(t *testing.T, p *process.Family) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := p.Gone(ctx, "after "+patience.String()); err != nil {
		t.Fatal(err)
	}
	if exits := p.Exits(); !slices.Equal(exits, []string{"exit code 0"}) {
		t.Errorf("the process ended with %q, want exit code 0", exits)
	}
}

// expectOver expects that the process ends in order and leaves nothing on the port.
func expectOver(t *testing.T, p *process.Family) {
	t.Helper()
	expectEnd(t, p)
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
func send(t *testing.T, p *process.Family, sig syscall.Signal) {
	t.Helper()
	if err := p.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// A drain resets what is idle, and gives what is in flight its whole answer. What does not end stays, until it is aborted.
func TestDrain(t *testing.T) {
	mix := mix("idle=2000,fresh=100,in-flight=500,stuck=100,half=100,streaming=100,upgraded=100,full=50")
	p, f, mix := begin(t, ours("--drain-timeout", "0"), mix)
	send(t, p, syscall.SIGQUIT)
	e := watch(t, f, kinds.Idle, kinds.Fresh, kinds.InFlight)
	expect(t, e, mix, fleet.Reset, kinds.Idle, kinds.Fresh)
	expect(t, e, mix, fleet.Answered, kinds.InFlight)
	expect(t, e, mix, fleet.Untold, kinds.Stuck, kinds.Half, kinds.Streaming, kinds.Upgraded, kinds.Full)
	send(t, p, syscall.SIGTERM)
	expect(t, watch(t, f), mix, fleet.Reset, kinds.Stuck, kinds.Half, kinds.Streaming, kinds.Upgraded, kinds.Full)
	expectOver(t, p)
}

// At the deadline of a drain everything that is left is reset.
func TestDrainDeadline(t *testing.T) {
	mix := mix("idle=2000,stuck=500,half=100,streaming=100,upgraded=100,full=50")
	p, f, mix := begin(t, ours("--drain-timeout", (200*time.Millisecond).String()), mix)
	send(t, p, syscall.SIGQUIT)
	expect(t, watch(t, f), mix, fleet.Reset, kinds.Idle, kinds.Stuck, kinds.Half, kinds.Streaming, kinds.Upgraded, kinds.Full)
	expectOver(t, p)
}
