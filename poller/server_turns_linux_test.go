//go:build linux

package poller

import (
	"context"
	"net/http"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// A turn that has come has come for who asks later, too: a handler that asks in each round of its loop, and was at work when it came.
func TestTurnThatHasCome(t *testing.T) {
	var turns connTurns
	asked := turns.of(1)
	if !turns.come(1) || asked.Err() == nil {
		t.Error("the turn of who has asked has not come")
	}
	if turns.of(1).Err() == nil {
		t.Error("who asks again waits for ever")
	}
	if turns.come(2) {
		t.Error("nobody has asked for the turn of the second connection")
	}
	if turns.of(2).Err() == nil {
		t.Error("who asks for the first time, and late, waits for ever")
	}
	if turns.of(3).Err() != nil {
		t.Error("the turn of another connection has come")
	}
	turns.forget(1)
	turns.forget(2)
	turns.forget(3)
	if len(turns.all) != 0 {
		t.Errorf("%d are remembered", len(turns.all))
	}
}

// Whoever asks for the turn of a connection that is over by then leaves nothing behind.
func TestTurnOfConnThatIsOver(t *testing.T) {
	asks := make(chan context.Context, 1)
	s := start(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asks <- r.Context()
		switch r.URL.Path {
		case "/wait":
			<-r.Context().Done()
		case "/hijack":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Close()
		}
	})})
	remembered := func() int {
		s.run.turns.mu.Lock()
		defer s.run.turns.mu.Unlock()
		return len(s.run.turns.all)
	}
	for _, path := range []string{"/", "/wait", "/hijack", "/h2"} {
		t.Run(path, func(t *testing.T) {
			var ctx context.Context
			if path == "/h2" {
				c := s.dialH2(t)
				c.get(1, path)
				ctx = <-asks
				c.answer(1)
				_ = c.Close()
			} else {
				c := s.dial(t)
				c.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
				ctx = <-asks
				if path == "/" {
					c.answer("GET")
				}
				_ = c.Close()
			}
			turn := linger.Turn(ctx)
			lingertest.Wait(t, "the connection is over", func() bool { return s.Stats().Held == 0 })
			if n := remembered(); n != 0 {
				t.Errorf("%d turns are remembered of one who asked in time", n)
			}
			if later := linger.Turn(ctx); later.Err() != nil || turn.Err() != nil {
				t.Error("its turn has come, though there is no drain")
			}
			if n := remembered(); n != 0 {
				t.Errorf("%d turns are remembered of one who asked too late", n)
			}
		})
	}
	info := &takenInfo{run: s.run, peer: Conn{ID: 1 << 40}, http2: true} // as one that ended when CloseConns was about to come to it
	info.part()
	if n := remembered(); n != 0 {
		t.Errorf("%d turns are remembered of one that came to its turn too late", n)
	}
}
