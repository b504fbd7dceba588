//go:build linux

package bench

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/kinds"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

// Each kind of connection ends as the server's way of letting go has it, and is counted under its own name.
func TestKinds(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	const each = 20
	abort := ours()
	drain := abort
	drain.Command = append(slices.Clone(abort.Command), "--on-term", "drain")
	all := func(ending string) map[kinds.Kind]string {
		m := make(map[kinds.Kind]string)
		for _, k := range kinds.All() {
			if k.Over(false) == nil {
				m[k] = ending
			}
		}
		return m
	}
	// What net/http closes ends with FIN, unless the kernel has bytes that it has not read. Upgraded connections are not its own any
	// more, and end with the process.
	closed := all("eof")
	closed[kinds.Unread], closed[kinds.Full] = "reset", "reset"
	armed := all("reset")
	armed[kinds.Upgraded] = "eof"
	// It has none.
	delete(closed, kinds.WebSocket)
	delete(armed, kinds.WebSocket)
	tests := []struct {
		name   string
		server Server
		want   map[kinds.Kind]string
	}{
		{"rstserver abort", abort, all("reset")},
		{"rstserver drain", drain, map[kinds.Kind]string{kinds.Idle: "reset", kinds.Fresh: "reset", kinds.InFlight: "answered"}},
		{"net/http Close", peer("nethttp-close"), closed},
		{"net/http map", peer("nethttp-map"), armed},
		{"net/http Shutdown", peer("nethttp-shutdown"), map[kinds.Kind]string{kinds.Idle: "eof", kinds.InFlight: "answered", kinds.Upgraded: "eof"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var mix fleet.Mix
			least, most := 0, 0 // in TIME_WAIT
			for _, kind := range kinds.All() {
				if ending, ok := tt.want[kind]; ok {
					mix = append(mix, kinds.Share{Kind: kind, N: each})
					switch ending {
					case "eof":
						most += each
						// Of those that were sent nothing some lose their TIME_WAIT when both ends close at a time: OutRsts then counts
						// one RST for each that is missing.
						if slices.Contains([]kinds.Kind{kinds.Idle, kinds.Streaming, kinds.Upgraded}, kind) {
							least += each
						}
					case "answered": // whoever closes first has it
						most += each
					}
				}
			}
			if tt.server.Name == abort.Name {
				most = 0 // the client closes first, or it is reset
			}
			r := run{Server: tt.server, Mix: mix, Timeout: patience, Stderr: os.Stderr}
			if tt.want[kinds.InFlight] == "answered" { // it is waited for, so it is as short as the machine can have it
				r.Late = time.Second
			}
			rep, err := measure(t, r)
			for ; r.Late > 0 && r.Late < patience && err != nil && strings.Contains(err.Error(), "--late"); rep, err = measure(t, r) {
				r.Late *= 4
			}
			if err != nil {
				t.Fatal(err)
			}
			for kind, ending := range tt.want {
				got := rep.ByKind[string(kind)]
				if tt.server.Name == "nethttp-shutdown" && kind == kinds.InFlight && got["answered"] > 0 {
					// What it has read, and not begun, it drops: it takes the connection for idle until then.
					got["answered"] += got["eof"]
					delete(got, "eof")
				}
				expectTally(t, string(kind), got, map[string]int{ending: each})
			}
			if len(rep.ByKind) != len(tt.want) {
				t.Errorf("kinds: %v, want %v", slices.Sorted(maps.Keys(rep.ByKind)), mix)
			}
			if rep.Told == nil || !slices.Equal(rep.Exit, []string{"exit code 0"}) {
				t.Errorf("told after %v, exit %q", rep.Told, rep.Exit)
			}
			// On a loaded machine the FIN of a client can still be to come when the settling time is over.
			if got := rep.Left[0].States; got.Total() != got[sockdiag.TimeWait]+got[sockdiag.FinWait2] || got.Total() < least || got.Total() > most {
				t.Errorf("left: %s, want %d to %d in TIME_WAIT", got, least, most)
			}
		})
	}
}
