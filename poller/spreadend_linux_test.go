//go:build linux

package poller

import (
	"context"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

// An empty line reaches a connection whose turn has not come just when a teardown begins.
func TestEmptyLineAtTheEndOfSpread(t *testing.T) {
	srv := &Server{Loops: 1, Spread: time.Hour}
	srv.LoopHandler = LoopHandlerFunc(func(_ *Responder, r *Request) {
		go srv.Close()
		<-r.conn.loop.run.closingC
	})
	s := start(t, srv)
	first, second := s.dial(t), s.dial(t)
	lingertest.Wait(t, "both are there", func() bool { return s.run.live.Load() == 2 })
	go srv.Shutdown(context.Background())
	lingertest.Wait(t, "both wait for their turn", func() bool {
		n := 0
		onLoop(s.run.loops[0], func() {
			for c := s.run.loops[0].lists[turnTimeout].first; c != nil; c = c.next {
				n++
			}
		})
		return n == 2
	})
	onLoop(s.run.loops[0], func() { // so that it finds both at once
		first.send(getRoot)
		lingertest.Wait(t, "it has come", func() bool { return first.sendQueue() == 0 })
		second.send("\r\n")
		lingertest.Wait(t, "it has come", func() bool { return second.sendQueue() == 0 })
	})
	_ = s.wait(t)
}
