//go:build linux

package websocket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/poller"
)

// members opens n connections that join g.
func members(t *testing.T, g *Group, n int, options Options) (s *served, clients []*client, conns map[string]*Conn) {
	t.Helper()
	joined := make(chan *Conn, n)
	options.OnOpen = func(c *Conn) {
		if !g.Join(c) || g.Join(c) {
			t.Error("it joined not once")
		}
		joined <- c
	}
	s = start(t, &poller.Server{Loops: 2}, &options, false)
	conns = make(map[string]*Conn)
	for range n {
		clients = append(clients, s.open(t))
		c := <-joined
		conns[c.RemoteAddr().String()] = c
	}
	return s, clients, conns
}

func TestBroadcast(t *testing.T) {
	const n = 200 // several rounds for each loop
	var g Group
	_, clients, conns := members(t, &g, n, Options{})
	if g.Len() != n {
		t.Errorf("Len = %d", g.Len())
	}
	told, err := g.Broadcast(t.Context(), Text, []byte("hello"))
	if err != nil || told != (Told{Sent: n}) {
		t.Errorf("Broadcast = %+v, %v", told, err)
	}
	for _, c := range clients {
		c.want("text hello")
	}
	// Some leave, in whatever way.
	for i, c := range clients[:20] {
		switch conn := conns[c.LocalAddr().String()]; i % 3 {
		case 0:
			if !g.Leave(conn) || g.Leave(conn) {
				t.Error("it left not once")
			}
		case 1:
			c.send(closeFrame(1000, ""))
			c.wantAll("close 1000", "FIN")
		default:
			conn.Abort()
		}
	}
	lingertest.Wait(t, "they have left", func() bool { return g.Len() == n-20 })
	told, err = g.Broadcast(t.Context(), Binary, bytes.Repeat([]byte("x"), 100_000))
	if err != nil || told.Sent+told.Behind != n-20 {
		t.Errorf("Broadcast = %+v, %v", told, err)
	}
	for _, c := range clients[20:] {
		if g, err := c.read(); err != nil || len(g.payload) != 100_000 {
			t.Fatalf("read %s, %v", g, err)
		}
	}
	if _, err := g.Broadcast(t.Context(), Text, []byte{0xff}); err == nil {
		t.Error("what is not UTF-8 is sent as text")
	}
	if _, err := g.Broadcast(t.Context(), 7, nil); err == nil {
		t.Error("a message of type 7 is sent")
	}
	var none Group
	if told, err := none.Broadcast(t.Context(), Text, nil); err != nil || told != (Told{}) {
		t.Errorf("Broadcast to nobody = %+v, %v", told, err)
	}
}

// Everybody gets the messages in one order, while others join and leave.
func TestBroadcastsInOrder(t *testing.T) {
	const n, messages = 50, 100
	var g Group
	_, clients, conns := members(t, &g, n, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	var others, all sync.WaitGroup
	for _, c := range clients[n-10:] { // they come and go
		conn := conns[c.LocalAddr().String()]
		others.Go(func() {
			for ctx.Err() == nil {
				g.Leave(conn)
				g.Join(conn)
			}
		})
	}
	for _, c := range clients[:n-10] {
		all.Go(func() {
			for i := range messages {
				if g, err := c.read(); err != nil || g.payload != fmt.Sprint(i) {
					t.Errorf("read %s, %v, want %d", g, err, i)
					return
				}
			}
		})
	}
	for i := range messages {
		if _, err := g.Broadcast(ctx, Text, fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	cancel()
	others.Wait()
}

// Who does not read is behind, then misses messages, or is ended; the others notice nothing.
func TestBroadcastBehind(t *testing.T) {
	for _, atBound := range []AtBound{Drop, End} {
		t.Run(fmt.Sprint(atBound), func(t *testing.T) {
			var g Group
			var counters Counters
			_, clients, conns := members(t, &g, 4, Options{MaxQueuedBytes: 1 << 20, AtBound: atBound, Counters: &counters})
			lazy := conns[clients[0].LocalAddr().String()]
			var sum Told
			messages := 0
			for sum.Dropped+sum.Ended == 0 {
				told, err := g.Broadcast(t.Context(), Binary, make([]byte, 1<<18))
				if err != nil || told.Sent+told.Behind+told.Dropped+told.Ended != 4 {
					t.Fatalf("Broadcast = %+v, %v", told, err)
				}
				sum.Behind += told.Behind
				sum.Dropped += told.Dropped
				sum.Ended += told.Ended
				messages++
				for _, c := range clients[1:] {
					if g, err := c.read(); err != nil || len(g.payload) != 1<<18 {
						t.Fatalf("read %s, %v", g, err)
					}
				}
			}
			if lazy.Queued() < 1<<20 || sum.Behind < 3 {
				t.Errorf("%d bytes are queued, %+v", lazy.Queued(), sum)
			}
			for range messages - 1 {
				if g, err := clients[0].read(); err != nil || len(g.payload) != 1<<18 {
					t.Fatalf("read %s, %v", g, err)
				}
			}
			if atBound == End {
				clients[0].want("close 1013")
			} else if counters.Dropped.Load() != 1 {
				t.Errorf("%d are counted as dropped", counters.Dropped.Load())
			}
		})
	}
}

// A message is compressed once, for those who have agreed on that.
func TestBroadcastCompressed(t *testing.T) {
	var g Group
	joined := make(chan struct{}, 3)
	options := &Options{Compression: WithContext, OnOpen: func(c *Conn) { g.Join(c); joined <- struct{}{} }}
	s := start(t, &poller.Server{}, options, false)
	plain, alone, context := s.open(t), s.open(t, deflateOffer+"; server_no_context_takeover\r\n"), s.open(t, deflateOffer+"\r\n")
	for range 3 {
		<-joined
	}
	message := strings.Repeat("hello ", 100)
	for range 2 {
		if told, err := g.Broadcast(t.Context(), Text, []byte(message)); err != nil || told.Sent != 3 {
			t.Errorf("Broadcast = %+v, %v", told, err)
		}
		for _, c := range []*client{plain, context} {
			if g, err := c.read(); err != nil || g.first != 0x81 || g.payload != message {
				t.Errorf("read %s, %v", g, err)
			}
		}
		if g, err := alone.read(); err != nil || g.first != 0xc1 || unsqueeze(t, g.payload, "") != message {
			t.Errorf("read %s, %v", g, err)
		}
	}
}

// A server that has ended leaves nobody waiting.
func TestBroadcastAfterTheEnd(t *testing.T) {
	var g Group
	s, _, conns := members(t, &g, 3, Options{})
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = g.Broadcast(context.Background(), Text, []byte("hello"))
				}
			}
		})
	}
	lingertest.Must(t, s.Close())
	close(stop)
	all.Wait()
	lingertest.Wait(t, "all have left", func() bool { return g.Len() == 0 })
	for _, c := range conns {
		if g.Join(c) {
			t.Error("what is over can join")
		}
		if err := c.Write(context.Background(), Text, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("Write = %v", err)
		}
	}
}
