//go:build linux

package sse

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/poller"
)

// joining is a server whose streams join a group where they left off.
func (w way) joining(t testing.TB, srv *poller.Server, g *Group, options *Options) *served {
	t.Helper()
	streams := make(chan *Stream, 10_000)
	joined := func(stream *Stream, err error) {
		if err != nil {
			t.Errorf("Accept = %v", err)
			return
		}
		if g.Join(stream, "") {
			t.Error("the stream was not in the group")
		}
		streams <- stream
	}
	if w.onLoop {
		srv.LoopHandler = poller.LoopHandlerFunc(func(w *poller.Responder, r *poller.Request) { joined(g.AcceptOnLoop(w, r, options)) })
	} else {
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { joined(g.Accept(w, r, options)) })
	}
	s := w.start(t, srv, nil)
	s.streams = streams
	return s
}

func again(id string) string {
	return "GET / HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: " + id + "\r\n\r\n"
}

// Who comes back gets what it has missed, and who asks for what is not kept is told so, and gets all that is.
func TestReplay(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		g := &Group{KeepEvents: 3, TooOld: Event{Event: "too old", Data: "lost"}}
		s := w.joining(t, &poller.Server{}, g, nil)
		for i := range 5 {
			if told, err := g.Broadcast(t.Context(), Event{ID: strconv.Itoa(i), Data: "event " + strconv.Itoa(i)}); err != nil || told != (Told{}) {
				t.Errorf("Broadcast to nobody = %+v, %v", told, err)
			}
		}
		for _, tt := range []struct {
			id   string
			want []string
		}{
			{"", nil},
			{"4", nil},
			{"3", []string{"event 4"}},
			{"2", []string{"event 3", "event 4"}},
			{"1", []string{"lost", "event 2", "event 3", "event 4"}},
			{"other", []string{"lost", "event 2", "event 3", "event 4"}},
		} {
			request := again(tt.id)
			if tt.id == "" {
				request = get
			}
			c := w.open(t, s, request)
			stream := s.stream(t)
			lingertest.Must(t, stream.Send(t.Context(), Event{Data: "now"}))
			c.want(append(tt.want, "now")...)
		}
	})
	t.Run("IDs come back as they are", func(t *testing.T) {
		ids := []string{"0", "é", "a:b", "a b", `"quoted", and more`, "%20", strings.Repeat("long", 1000)}
		for _, w := range []way{{}, {onLoop: true}} {
			g := &Group{KeepEvents: 100, TooOld: Event{Data: "lost"}}
			s := w.joining(t, &poller.Server{}, g, nil)
			for _, id := range append(ids, "last") {
				_, err := g.Broadcast(t.Context(), Event{ID: id, Data: id})
				lingertest.Must(t, err)
			}
			for i, id := range ids {
				want := append(ids[i+1:len(ids):len(ids)], "last")
				w.open(t, s, again(id)).want(want...)
				w.h2Open(t, t.Context(), s, w.h2Client(t), id).want(want...)
			}
		}
	})
	t.Run("bytes", func(t *testing.T) {
		g := &Group{KeepBytes: 100}
		for i := range 10 {
			_, err := g.Broadcast(t.Context(), Event{ID: strconv.Itoa(i), Data: strings.Repeat("m", 20)})
			lingertest.Must(t, err)
		}
		if len(g.kept) != 2 || len(g.ids) != 2 || g.kept[0].id != "8" || g.size > 100 {
			t.Errorf("%d events are kept from %q on, of %d bytes", len(g.kept), g.kept[0].id, g.size)
		}
		_, err := g.Broadcast(t.Context(), Event{ID: "large", Data: strings.Repeat("m", 200)})
		lingertest.Must(t, err)
		if len(g.kept) != 0 || len(g.ids) != 0 || g.size != 0 {
			t.Errorf("%d events are kept, of %d bytes", len(g.kept), g.size)
		}
	})
	t.Run("the same ID twice", func(t *testing.T) {
		g := &Group{KeepEvents: 2}
		for _, id := range []string{"a", "b", "a", "c"} {
			_, err := g.Broadcast(t.Context(), Event{ID: id, Data: id})
			lingertest.Must(t, err)
		}
		if n, ok := g.ids["a"]; !ok || g.kept[n-g.from].id != "a" || len(g.ids) != 2 {
			t.Errorf("the IDs are %v", g.ids)
		}
	})
	t.Run("IDs of its own", func(t *testing.T) {
		a, b := &Group{KeepEvents: 9}, &Group{KeepEvents: 9}
		for _, g := range []*Group{a, b, a, b} {
			_, err := g.Broadcast(t.Context(), Event{Data: "x"})
			lingertest.Must(t, err)
		}
		for id := range a.ids {
			if _, both := b.ids[id]; both || len(a.ids) != 2 {
				t.Errorf("the ID %q is there twice: %v, %v", id, a.ids, b.ids)
			}
		}
	})
}

// Clients that come and go in the midst of what is broadcast get all of it, in order, nothing twice and nothing lost.
func TestReplayMeanwhile(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		g := &Group{KeepEvents: 100_000, TooOld: Event{Data: "lost"}}
		s := w.joining(t, &poller.Server{Loops: 2}, g, nil)
		const clients, events = 8, 300
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := g.Broadcast(ctx, Event{ID: "0", Data: "0"})
		lingertest.Must(t, err)
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				last := "0"
				for next := 1; next < events; {
					c := w.open(t, s, again(last))
					p := parser{in: c.in, id: last}
					for range 1 + rand.IntN(20) {
						e, err := p.next()
						if err != nil || e.data != strconv.Itoa(next) || e.id != e.data {
							t.Errorf("read %q, %v, want event %d", e, err, next)
							return
						}
						last = e.id
						if next++; next == events {
							break
						}
					}
					_ = c.tcp.SetLinger(0)
					_ = c.tcp.Close()
				}
			})
		}
		for i := 1; i < events; i++ {
			_, err := g.Broadcast(ctx, Event{ID: strconv.Itoa(i), Data: strconv.Itoa(i)})
			lingertest.Must(t, err)
		}
		all.Wait()
		lingertest.Wait(t, "all have left", func() bool { return g.Len() == 0 })
	})
}

// A broadcast says what became of it, and a group that keeps events ends who is too slow, so that it comes back for them.
func TestBroadcastTold(t *testing.T) {
	large := strings.Repeat("m", 1<<18)
	for _, tt := range []struct {
		name    string
		group   *Group
		atBound AtBound
		want    Told
	}{
		{"waits for nobody", &Group{}, Wait, Told{Sent: 1, Dropped: 1}},
		{"drop", &Group{KeepEvents: 1}, Drop, Told{Sent: 1, Dropped: 1}},
		{"keeps", &Group{KeepEvents: 1000}, Wait, Told{Sent: 1, Ended: 1}},
		{"end", &Group{}, End, Told{Sent: 1, Ended: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := way{}
			var counters Counters
			s := w.joining(t, &poller.Server{}, tt.group, &Options{MaxQueuedBytes: 1 << 20, AtBound: tt.atBound, Counters: &counters})
			slow := w.open(t, s, get)
			stuck := s.stream(t)
			sent := 0
			for stuck.Queued() < 1<<20 {
				lingertest.Must(t, stuck.Send(t.Context(), Event{Data: large}))
				sent++
			}
			quick := w.open(t, s, get)
			s.stream(t)
			told, err := tt.group.Broadcast(t.Context(), Event{ID: "last", Data: "hello"})
			if err != nil || told != tt.want || counters.Dropped.Load() != int64(told.Dropped) || counters.Ended.Load() != int64(told.Ended) {
				t.Errorf("Broadcast = %+v, %v, want %+v; %d dropped and %d ended are counted", told, err, tt.want, counters.Dropped.Load(), counters.Ended.Load())
			}
			quick.want("hello")
			for range sent {
				slow.want(large)
			}
			if told.Ended > 0 {
				if content, end := slow.rest(); content != "" || end != "end" {
					t.Errorf("it ends with %q, %s", content, end)
				}
				lingertest.Wait(t, "it has left", func() bool { return tt.group.Len() == 1 })
			}
		})
	}
	t.Run("from the answer on", func(t *testing.T) {
		eachWay(t, func(t *testing.T, w way) {
			g := &Group{}
			s := w.joining(t, &poller.Server{}, g, nil)
			for range 20 {
				c := w.open(t, s, get)
				_, err := g.Broadcast(t.Context(), Event{Data: "hello"})
				lingertest.Must(t, err)
				c.want("hello")
			}
		})
	})
	t.Run("a mix of versions", func(t *testing.T) {
		g, w := &Group{KeepEvents: 10}, way{}
		s := w.joining(t, &poller.Server{}, g, nil)
		var clients []*client
		for _, request := range []string{get, "GET / HTTP/1.0\r\n\r\n"} {
			clients = append(clients, w.open(t, s, request))
			s.stream(t)
		}
		for i := range 3 {
			told, err := g.Broadcast(t.Context(), Event{Data: fmt.Sprint(i)})
			if err != nil || told != (Told{Sent: 2}) {
				t.Errorf("Broadcast = %+v, %v", told, err)
			}
		}
		for _, c := range clients {
			c.want("0", "1", "2")
		}
		if g.Len() != 2 {
			t.Errorf("%d are in the group", g.Len())
		}
	})
}
