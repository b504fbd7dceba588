//go:build linux

package restartload

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

const (
	switched    = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	normalClose = "\x88\x02\x03\xe8" // 1000
	goesAway    = "\x88\x02\x03\xe9" // 1001
	restarts    = "\x88\x02\x03\xf4" // 1012
	noCode      = "\x88\x00"
)

// A message that a close frame comes for in place of an echo is lost, unless the server says that it goes away.
func TestMessageUnanswered(t *testing.T) {
	for close, lost := range map[string]bool{normalClose: true, noCode: true, goesAway: false, restarts: false} {
		var connections atomic.Int64
		addr := serve(t, func(c *net.TCPConn, _ *http.Request, n int) {
			connections.Store(int64(n))
			_, _ = io.WriteString(c, switched)
			_, _ = c.Read(make([]byte, 100)) // the message
			_, _ = io.WriteString(c, close)
			_, _ = c.Read(make([]byte, 100)) // the answer to it
		})
		began := time.Now()
		l := Start(Config{Addr: addr, WebSocket: 1})
		lingertest.Wait(t, "it has come back", func() bool { return connections.Load() > 1 })
		r := l.Stop()
		if lost != (len(r.Lost) > 0 && r.Lost[0].Loss == CleanEnd) || lost == (len(r.Cuts) > 0) {
			t.Errorf("%q: %s", close, r)
		}
		// Each comes back no sooner than that.
		if most := int(time.Since(began)/again) + 1; len(r.Lost)+len(r.Cuts) > most {
			t.Errorf("%q: %d WebSockets in %s, want %d at the most", close, len(r.Lost)+len(r.Cuts), time.Since(began), most)
		}
	}
}

// One that is told between two messages loses none, and comes back at once.
func TestEndedBetweenMessages(t *testing.T) {
	addr := serve(t, func(c *net.TCPConn, _ *http.Request, n int) {
		_, _ = io.WriteString(c, switched)
		_, _ = c.Read(make([]byte, 100))
		_, _ = io.WriteString(c, "\x81\x0e"+message)
		if n == 1 {
			_, _ = io.WriteString(c, normalClose)
		}
		_, _ = c.Read(make([]byte, 100))
	})
	l := Start(Config{Addr: addr, WebSocket: 1})
	lingertest.Wait(t, "a message on the second is answered", func() bool { return l.Requests() > 1 })
	r := l.Stop()
	if len(r.Lost) > 0 || r.Cuts[0].How != "close 1000" {
		t.Errorf("%s", r)
	}
}
