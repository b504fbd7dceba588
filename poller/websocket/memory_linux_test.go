//go:build linux

package websocket

import (
	"strings"
	"sync"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/poller"
)

// What has come of messages that are not whole counts against the memory that all connections may take, until it is whole. Those that make no progress
// are reset when it is too much.
func TestPartialMessagesAreCharged(t *testing.T) {
	eitherWay(t, func(t *testing.T, onLoop bool) {
		const bound, size = 4 << 20, 1 << 19
		s := start(t, &poller.Server{MaxBufferedBytes: bound}, echo(Options{OnLoop: onLoop}), onLoop)
		// Loops pass on what they charge by the quantum, so it is not known to the byte.
		buffered := func() int64 { return s.Stats().Memory.Buffered }
		first := s.open(t)
		first.send(frame(0x02, strings.Repeat("m", size)))
		lingertest.Wait(t, "it is charged", func() bool { return buffered() >= size/2 })
		first.send(frame(0x80, "") + closeFrame(1000, ""))
		first.wantAll(got{0x82, strings.Repeat("m", size)}.String(), "close 1000", "FIN")
		lingertest.Wait(t, "it is charged no more", func() bool { return buffered() < size/2 })

		for range 2 * bound / size {
			c := s.open(t)
			c.send(frame(0x02, strings.Repeat("m", size)))
		}
		lingertest.Wait(t, "some are reset", func() bool { return s.Stats().Memory.Reset > 0 })
		lingertest.Wait(t, "the bound is kept", func() bool { return buffered() < bound+size/2 })
	})
}

// Whole messages count for as long as a worker has them, or they wait for one.
func TestWholeMessagesAreCharged(t *testing.T) {
	for name, n := range map[string]int{"one": 1, "small ones": 32} {
		t.Run(name, func(t *testing.T) {
			const bound, size, conns = 4 << 20, 32 << 10, 64
			goOn := make(chan struct{})
			options := &Options{OnMessage: func(*Conn, Type, []byte) { <-goOn }}
			s := start(t, &poller.Server{MaxBufferedBytes: bound}, options, true)
			end := sync.OnceFunc(func() { close(goOn) })
			t.Cleanup(end)
			buffered := func() int64 { return s.Stats().Memory.Buffered }
			messages := strings.Repeat(frame(0x82, strings.Repeat("m", size/n)), n)
			var clients []*client
			for range conns {
				c := s.open(t)
				c.send(messages)
				clients = append(clients, c)
			}
			lingertest.Wait(t, "they are charged", func() bool { return buffered() >= conns*size/2 })
			end()
			lingertest.Wait(t, "they are charged no more", func() bool { return buffered() < conns*size/8 })
			for _, c := range clients {
				c.send(closeFrame(1000, ""))
				c.wantAll("close 1000", "FIN")
			}
		})
	}
}
