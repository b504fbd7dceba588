//go:build linux

package bench

import (
	"testing"
	"time"

	"rstserver/bench/kinds"
	"rstserver/internal/lingertest"
)

// A message comes to all, and what that took is measured.
func TestBroadcast(t *testing.T) {
	floor := peer("floor")
	floor.Paths = withWebSocket(floor.Paths)
	for _, tt := range []struct {
		kind    kinds.Kind
		servers []Server
		bytes   int
		stalled int
	}{
		{kinds.WebSocket, []Server{ours(), floor}, 200, 5},
		{kinds.SSE, []Server{ours(), peer("nethttp-close")}, 200, 0},
		{kinds.SSE, []Server{ours()}, 200_000, 3}, // comes in pieces
	} {
		b := Broadcast{Kind: tt.kind, Servers: tt.servers, N: 30, Stalled: tt.stalled, Bytes: tt.bytes, Runs: 2, Messages: 3}
		all, err := b.Measure(t.Context())
		if err != nil || len(all) != len(tt.servers) {
			t.Errorf("%s: Measure = %+v, %v", tt.kind, all, err)
		}
		for _, s := range all {
			if len(s.Last) != 6 || len(s.CPU) != 2 || len(s.Memory) != 2 || len(s.Get) != 6 || Median(s.Last) <= 0 || Median(s.Get) <= 0 {
				t.Errorf("%s: %s has %+v", tt.kind, s.Server, s)
			}
		}
	}
	b := Broadcast{Kind: kinds.WebSocket, Servers: []Server{peer("nethttp-close")}, N: 1}
	_, err := b.Measure(t.Context())
	lingertest.ExpectError(t, err, "room=PATH")
	b.Kind = kinds.Idle
	_, err = b.Measure(t.Context())
	lingertest.ExpectError(t, err, "websocket and sse")
	b.Kind, b.Servers = kinds.SSE, []Server{{Name: "without"}}
	_, err = b.Measure(t.Context())
	lingertest.ExpectError(t, err, "event-room=PATH")
	b.Servers, b.Stalled = []Server{ours()}, -1
	_, err = b.Measure(t.Context())
	lingertest.ExpectError(t, err, "with -1 connections that do not read: it must be 0 or more")
	b.N, b.Stalled = 1<<30, 0
	_, err = b.Measure(t.Context())
	lingertest.ExpectError(t, err, "limit of open files")
}

// Messages come back, and what that took is measured. What does not come back is told.
func TestEcho(t *testing.T) {
	floor := peer("floor")
	floor.Paths = withWebSocket(floor.Paths)
	e := Echo{Servers: []Server{ours(), floor}, N: 20, Bytes: 300, Runs: 2, For: time.Millisecond}
	all, err := e.Measure(t.Context())
	if err != nil || len(all) != 2 {
		t.Errorf("Measure = %+v, %v", all, err)
	}
	for _, s := range all {
		if len(s.Rate) != 2 || len(s.CPU) != 2 || len(s.Memory) != 2 || Median(s.Rate) <= 0 || Median(s.CPU) <= 0 {
			t.Errorf("%s has %+v", s.Server, s)
		}
	}
	e.Servers = []Server{peer("nethttp-close")}
	_, err = e.Measure(t.Context())
	lingertest.ExpectError(t, err, "websocket=PATH")
	room := ours()
	room.Paths.WebSocket = room.Paths.Room // where what comes is everybody's
	e.Servers = []Server{room}
	_, err = e.Measure(t.Context())
	lingertest.ExpectError(t, err, "more came back than were sent")
	e.N = 1 << 30
	_, err = e.Measure(t.Context())
	lingertest.ExpectError(t, err, "limit of open files")
}
