//go:build linux

package poller

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// In a drain a handler that has hijacked its connection learns of its turn, by its request's context or by the connection, and so does one that would go on
// for ever; each when the spread has it.
func TestTurns(t *testing.T) {
	for _, spread := range []time.Duration{0, 20 * time.Millisecond} {
		s := start(t, &Server{Spread: spread, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			turn := linger.Turn(r.Context())
			if r.URL.Path == "/stream" {
				_, _ = io.WriteString(w, "hello\n")
				_ = http.NewResponseController(w).Flush()
				<-turn.Done()
				_, _ = io.WriteString(w, "goodbye\n")
				return
			}
			_, _ = io.WriteString(w, "hello\n")
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			if c, ok := conn.(*linger.Conn); ok && r.URL.Path == "/conn" {
				turn = c.Turn()
			}
			context.AfterFunc(turn, func() {
				_, _ = io.WriteString(conn, "goodbye\n")
				_ = conn.Close()
			})
		})})
		var clients []*client
		for _, path := range []string{"/stream", "/context", "/conn"} {
			c := s.dial(t)
			c.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
			for line := ""; line != "hello\n"; {
				var err error
				line, err = c.in.ReadString('\n')
				lingertest.Must(t, err)
			}
			clients = append(clients, c)
		}
		lingertest.Wait(t, "two are hijacked", func() bool { return s.Report().Connections[linger.Hijacked] == 2 })
		result := make(chan error, 1)
		go func() { result <- s.Shutdown(context.Background()) }()
		for i, c := range clients {
			for line := ""; line != "goodbye\n"; {
				var err error
				if line, err = c.in.ReadString('\n'); err != nil {
					t.Fatalf("client %d is not told: %v", i, err)
				}
			}
			_ = c.Close()
		}
		lingertest.Must(t, <-result)
		if turn := linger.Turn(context.WithValue(context.Background(), exchangeKey{}, nil)); turn.Done() != nil {
			t.Error("a turn of no connection can end")
		}
	}
}
