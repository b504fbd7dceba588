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
	}
}
