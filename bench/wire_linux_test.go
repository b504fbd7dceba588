//go:build linux

package bench

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/internal/kernel"
	"rstserver/bench/internal/wire"
	"rstserver/bench/kinds"
	"rstserver/bench/report"
	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
)

func needWire(t *testing.T) {
	t.Helper()
	if _, warning := unwired(1); warning != "" {
		t.Skip(warning)
	}
}

// What a server sends is seen as it is, by one connection exactly.
func TestWire(t *testing.T) {
	needWire(t)
	sockdiagtest.NeedDestroy(t)
	const n = 100
	tests := []struct {
		fault string
		ends  map[string]int
		hangs bool
	}{
		{"none", map[string]int{"RST": n}, false},
		{"everywhere", map[string]int{"RST": n}, false},
		{"fin", map[string]int{"FIN": n}, false},
		{"half", map[string]int{"RST": n / 2, "FIN": n / 2}, false},
		{"time-wait-one", map[string]int{"RST": n - 1, "FIN": 1}, false},
		{"heir-once", map[string]int{"FIN": n}, false},
		{"keeps-one", map[string]int{"RST": n - 1}, true},
		{"serves-one", map[string]int{"RST": n - 1}, true},
		{"stubborn", map[string]int{}, true},
	}
	for _, tt := range tests {
		t.Run(tt.fault, func(t *testing.T) {
			r := run{Server: faulty(tt.fault), Mix: fleet.All(n, kinds.Idle), Timeout: patience, Wire: true}
			failure := ""
			if tt.hangs {
				failure = "still runs"
				r.Server.overdue, r.Stderr = onLine()
			}
			rep, err := measure(t, r)
			expectFailure(t, err, failure)
			w := rep.Wire
			if w == nil {
				t.Fatal("nothing was seen on the wire")
			}
			if got := w.Ends(); !maps.Equal(got, tt.ends) || w.Dropped != 0 {
				t.Errorf("ends on the wire: %v, %d dropped; want %v", got, w.Dropped, tt.ends)
			}
			if (w.Last == nil) != tt.hangs {
				t.Errorf("the last end is %v, want none: %v", w.Last, tt.hangs)
			}
			// Behind the signal, and no later than when the clients have read it: the two clocks are compared to less than that.
			const exact = time.Second
			if w.Last != nil && (w.Curve[0].At < -exact || *w.Last < w.Curve[0].At-exact || *w.Last > *rep.Told+exact) {
				t.Errorf("the first end is after %s, the last after %s, told after %s", w.Curve[0].At, *w.Last, *rep.Told)
			}
			if !slices.IsSortedFunc(w.Curve, func(a, b report.Step) int { return int(a.At - b.At) }) {
				t.Errorf("the curve is not in order: %v", w.Curve)
			}
		})
	}
}

// Clients of several processes and all kinds are each seen to end once.
func TestWireKinds(t *testing.T) {
	needWire(t)
	all := kinds.Shares{}
	for _, k := range kinds.All() {
		if k.Over(false) == nil {
			all = append(all, kinds.Share{Kind: k, N: 5})
		}
	}
	rep, err := measure(t, run{Server: ours(), Mix: fleet.Mix(all), Timeout: patience, Wire: true})
	if err != nil {
		t.Fatal(err)
	}
	expectTally(t, "on the wire", rep.Wire.Ends(), map[string]int{"RST": fleet.Mix(all).Total()})
	if rep.Wire.Last == nil {
		t.Error("there is no last end")
	}
}

// The curve counts the first segment to each client, and nobody but clients.
func TestOnWire(t *testing.T) {
	const signalled = time.Hour
	at := func(us int, client byte, rst bool) wire.Segment {
		to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, client}), 40_000)
		return wire.Segment{At: signalled + time.Duration(us)*time.Microsecond, To: to, RST: rst}
	}
	probe := at(150, 9, true)
	probe.To = netip.AddrPortFrom(kernel.ProbeSource, 50_000)
	seen := wire.Seen{Dropped: 2, Segments: []wire.Segment{
		at(110, 1, true), at(100, 2, false), at(120, 2, true), probe, at(130, 3, false), at(140, 4, true), at(1401, 5, true), at(9000, 1, true),
	}}
	want := []report.Step{{At: 100_000, Ending: "FIN", N: 1}, {At: 200_000, Ending: "RST", N: 2}, {At: 200_000, Ending: "FIN", N: 1}, {At: 1_500_000, Ending: "RST", N: 1}}
	w := onWire(seen, 5, signalled)
	if !slices.Equal(w.Curve, want) || w.Dropped != 2 {
		t.Errorf("curve: %v, %d dropped; want %v", w.Curve, w.Dropped, want)
	}
	if w.Last == nil || *w.Last != 1401*time.Microsecond {
		t.Errorf("the last end is %v, want 1.401 ms", w.Last)
	}
	if w := onWire(seen, 6, signalled); w.Last != nil {
		t.Errorf("with one client more the last end is %s, want none", *w.Last)
	}
	if w := onWire(wire.Seen{}, 1, signalled); w.Curve == nil || len(w.Curve) > 0 || w.Last != nil {
		t.Errorf("of nothing: %+v", w)
	}
}

// Runs for the wire come behind the others, and are kept apart.
func TestComparisonWire(t *testing.T) {
	needWire(t)
	const n = 20
	stubborn := faulty("stubborn")
	stubborn.overdue = overdueAtOnce
	c := &Comparison{
		Servers: []Server{faulty("none"), stubborn}, N: []int{n}, Shares: []kinds.Shares{shares("idle")}, Runs: 2, Wire: 3, Timeout: patience,
		Progress: func(p Progress) {
			if p.Of != 2*(2+3) {
				t.Errorf("%d runs are to come to %d", p.Done, p.Of)
			}
		},
	}
	d := compare(t, c)
	if d.Settings.Wire != 3 || d.Unwired != "" || len(d.Cells) != 2 {
		t.Fatalf("%d runs for the wire, not seen: %q, %d cells", d.Settings.Wire, d.Unwired, len(d.Cells))
	}
	if cell := d.Cells[1]; len(cell.Runs) != 1 || len(cell.Wired) != 0 {
		t.Errorf("one that has failed before has %d runs, %d for the wire", len(cell.Runs), len(cell.Wired))
	}
	cell := d.Cells[0]
	if len(cell.Runs) != 2 || len(cell.Wired) != 3 {
		t.Fatalf("%d runs, %d for the wire", len(cell.Runs), len(cell.Wired))
	}
	for i, r := range append(cell.Runs, cell.Wired...) {
		if r.Round != i+1 || (r.Wire != nil) != (i >= 2) {
			t.Errorf("run %d is of round %d, and has seen the wire: %v", i+1, r.Round, r.Wire != nil)
		}
		if r.Wire != nil {
			expectTally(t, "on the wire", r.Wire.Ends(), map[string]int{"RST": n})
		}
		expectTally(t, "told", r.Endings, map[string]int{"reset": n})
	}
}

// Without the privilege all is measured but the wire, and the document says why.
func TestComparisonUnwired(t *testing.T) {
	if !elsewhere(t, func() error { return errors.Join(lingertest.Network(nil), lingertest.Unprivileged(unix.CAP_NET_RAW)) }) {
		return
	}
	c := &Comparison{Servers: []Server{faulty("none")}, N: []int{10}, Shares: []kinds.Shares{shares("idle")}, Runs: 1, Wire: 2, Timeout: patience}
	d := compare(t, c)
	if d.Unwired != "needs CAP_NET_RAW" || d.Settings.Wire != 2 || len(d.Cells) != 1 || len(d.Cells[0].Runs) != 1 || len(d.Cells[0].Wired) != 0 {
		t.Errorf("not seen: %q, settings: %+v, cells: %+v", d.Unwired, d.Settings, d.Cells)
	}
	if len(d.Warnings) != 1 || !strings.Contains(d.Warnings[0], "needs CAP_NET_RAW: run it as root") {
		t.Errorf("warnings: %q, want one that says what is missing", d.Warnings)
	}
	var text strings.Builder
	if err := d.Text(&text, report.Options{}); err != nil || strings.Count(text.String(), "needs CAP_NET_RAW") != 2 {
		t.Errorf("%v; the column and the warnings do not each say what is missing:\n%s", err, text.String())
	}
}
