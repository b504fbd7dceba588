package kinds

import (
	"slices"
	"testing"

	"rstserver/internal/lingertest"
)

// Each kind is explained, and has an error that names the key without the path that it needs.
func TestLack(t *testing.T) {
	needs := map[Kind]string{Idle: "path", InFlight: "late", Stuck: "late", Unread: "late", Full: "large", Streaming: "stream", Upgraded: "upgrade", WebSocket: "websocket", SSE: "events", H2: "path", H2Streams: "late",
		Get: "path", Post: "post", Upload: "upload"}
	every := Paths{Get: "/", Late: "/late", Large: "/large", Stream: "/stream", Upgrade: "/upgrade", WebSocket: "/ws", Events: "/events", Post: "/", Upload: "/"}
	for _, kind := range append(All(), AtWork()...) {
		if err := every.Lack(kind); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if kind.About() == "" && kind.AboutWork() == "" {
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

// What is over TLS alone, and what cannot be.
func TestOver(t *testing.T) {
	alone, never := []Kind{Handshake, H2, H2Streams}, []Kind{Unread, Full}
	for _, kind := range All() {
		if err := kind.Over(false); slices.Contains(alone, kind) {
			lingertest.ExpectError(t, err, string(kind)+" connections are over TLS alone: --tls")
		} else if err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if err := kind.Over(true); slices.Contains(never, kind) {
			lingertest.ExpectError(t, err, string(kind)+" connections cannot be measured over TLS")
		} else if err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestAtWorkIsExplained(t *testing.T) {
	for _, kind := range AtWork() {
		if kind.AboutWork() == "" {
			t.Errorf("%s is not explained", kind)
		}
	}
	if _, err := ParseWork("get=1,fresh=1"); err == nil {
		t.Error("fresh is a kind of client at work")
	}
	if got, err := ParseWork("get=3,websocket=1"); err != nil || got.Total() != 4 {
		t.Errorf("get=3,websocket=1 is %v, %v", got, err)
	}
}
