//go:build linux

package bench

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/bench/internal/kernel"
	"rstserver/bench/internal/wire"
	"rstserver/bench/report"
)

// wireRoom is how many segments of a run are kept. A connection may be ended by a FIN and a RST; and in the time from the signal to the
// end of a server clients that come then, such as the probe, may be sent one too.
func wireRoom(n int) int { return 2*n + 4096 }

// unwired is why the wire cannot be seen here, with as many connections, in few words and with the remedy. Both are empty where it can.
func unwired(n int) (reason, warning string) {
	tap, err := wire.Open(0, wireRoom(n))
	switch {
	case errors.Is(err, unix.EPERM):
		return "needs CAP_NET_RAW", "when connections end on the wire is not seen, since that needs CAP_NET_RAW: run it as root"
	case err != nil:
		return "not seen", "when connections end on the wire is not seen: " + err.Error()
	}
	tap.Close()
	return "", ""
}

// wireStep is how finely the curve of the ends is kept: it would be as long as there are connections.
const wireStep = 100 * time.Microsecond

// onWire is what was seen of n connections.
func onWire(seen wire.Seen, n int, signalled time.Duration) *report.Wire {
	w := &report.Wire{Curve: []report.Step{}, Dropped: seen.Dropped}
	slices.SortStableFunc(seen.Segments, func(a, b wire.Segment) int { return cmp.Compare(a.At, b.At) })
	ended := make(map[netip.AddrPort]bool, n)
	for _, s := range seen.Segments {
		if ended[s.To] || s.To.Addr() == kernel.ProbeSource {
			continue
		}
		ended[s.To] = true
		after := s.At - signalled
		if len(ended) == n {
			w.Last = &after
		}
		step := report.Step{At: (after + wireStep - 1).Truncate(wireStep), Ending: "FIN", N: 1}
		if s.RST {
			step.Ending = "RST"
		}
		// The two may come in turn.
		i := len(w.Curve)
		for i > 0 && w.Curve[i-1].At == step.At && w.Curve[i-1].Ending != step.Ending {
			i--
		}
		if i > 0 && w.Curve[i-1].At == step.At {
			w.Curve[i-1].N++
		} else {
			w.Curve = append(w.Curve, step)
		}
	}
	return w
}
