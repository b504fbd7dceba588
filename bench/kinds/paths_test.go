package kinds

import (
	"testing"

	"rstserver/internal/lingertest"
)

// Each kind is explained, and has an error that names the key without the path that it needs.
func TestLack(t *testing.T) {
	needs := map[Kind]string{Idle: "path", InFlight: "late", Stuck: "late", Unread: "late", Full: "large", Streaming: "stream", Upgraded: "upgrade", WebSocket: "websocket"}
	every := Paths{Get: "/", Late: "/late", Large: "/large", Stream: "/stream", Upgrade: "/upgrade", WebSocket: "/ws"}
	for _, kind := range All() {
		if err := every.Lack(kind); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if kind.About() == "" {
			t.Errorf("%s is not explained", kind)
		}
		err := Paths{}.Lack(kind)
		if key := needs[kind]; key == "" && err != nil {
			t.Errorf("%s: %v", kind, err)
		} else if key != "" {
			lingertest.ExpectError(t, err, string(kind), key+"=PATH")
		}
	}
	lingertest.ExpectError(t, every.Lack("odd"), `"odd" is no kind`)
}
