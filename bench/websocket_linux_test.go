//go:build linux

package bench

import (
	"slices"
	"testing"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/kinds"
)

// How WebSockets are told is a close code and an end, or the end alone.
func TestWebSocketsTold(t *testing.T) {
	abort := ours()
	drain := abort
	drain.Command = append(slices.Clone(abort.Command), "--on-term", "drain")
	const n = 20
	mix := fleet.Mix{{Kind: kinds.WebSocket, N: n}}
	for _, tt := range []struct {
		server Server
		want   string
	}{{abort, "reset"}, {drain, "close 1001 then eof"}} {
		rep, err := measure(t, run{Server: tt.server, Mix: mix, Timeout: patience})
		if err != nil {
			t.Fatal(err)
		}
		expectTally(t, "told", rep.Endings, map[string]int{tt.want: n})
		expectTally(t, "told by kind", rep.ByKind[string(kinds.WebSocket)], map[string]int{tt.want: n})
		if len(rep.Left) != 1 || rep.Left[0].States.Total() != 0 {
			t.Errorf("left: %v", rep.Left)
		}
		if rep.Grown < n<<8 {
			t.Errorf("its anonymous memory has grown by %d bytes, with %d WebSockets", rep.Grown, n)
		}
	}
}

// An event stream is reset, ended without an end, or told that it has come to its end, after which the client closes.
func TestEventStreamsTold(t *testing.T) {
	abort := ours()
	drain := abort
	drain.Command = append(slices.Clone(abort.Command), "--on-term", "drain")
	const n = 20
	mix := fleet.Mix{{Kind: kinds.SSE, N: n}}
	for _, tt := range []struct {
		server Server
		want   string
	}{{abort, "reset"}, {drain, "answered"}, {peer("nethttp-close"), "eof"}} {
		rep, err := measure(t, run{Server: tt.server, Mix: mix, Timeout: patience})
		if err != nil {
			t.Fatal(err)
		}
		late := 0
		if tt.want == "answered" { // a client that takes its time to close is reset then
			late = rep.Endings["reset"]
		}
		if rep.Endings[tt.want]+late != n {
			t.Errorf("told: %v, want %d %s", rep.Endings, n, tt.want)
		}
		if tt.want != "eof" && (len(rep.Left) != 1 || rep.Left[0].States.Total() != 0) {
			t.Errorf("left: %v", rep.Left)
		}
	}
}
