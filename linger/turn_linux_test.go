//go:build linux

package linger

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rstserver/internal/lingertest"
)

// A handler that would never end, of an event stream or of a connection that it has taken over, learns of its turn through its
// request's context, over TLS too, and says goodbye; its client gets all of that.
func TestTurnOfHandlers(t *testing.T) {
	stream := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "data: hello\n\n")
		w.(http.Flusher).Flush()
		<-Turn(r.Context()).Done()
		_, _ = io.WriteString(w, "data: goodbye\n\n")
	}
	hijack := func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		context.AfterFunc(Turn(r.Context()), func() {
			_, _ = io.WriteString(c, "goodbye")
			_ = c.Close()
		})
	}
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		tls     bool
	}{
		{"event stream", stream, false},
		{"event stream over TLS", stream, true},
		{"hijacked", hijack, false},
		{"hijacked over TLS", hijack, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := trackedOn4(t, ListenConfig{Armed: true})
			config, trusting := selfSigned(t)
			srv := &http.Server{Handler: tt.handler, ConnContext: ConnContext, TLSConfig: config}
			serving := make(chan error, 1)
			go func() {
				if tt.tls {
					serving <- srv.ServeTLS(l.Listener, "", "")
				} else {
					serving <- srv.Serve(l.Listener)
				}
			}()
			var client net.Conn = l.dial(t)
			if tt.tls {
				client = tls.Client(client, trusting)
			}
			_, err := io.WriteString(client, request)
			lingertest.Must(t, err)
			in := bufio.NewReader(client)
			_, err = in.Peek(1) // it is in the handler
			lingertest.Must(t, err)
			rep, err := l.Drain(context.Background(), srv.Shutdown)
			if err != nil || rep.Closed != 1 || !rep.Complete() {
				t.Errorf("Drain = %s, %v, want one closed in order", rep, err)
			}
			resp, err := http.ReadResponse(in, nil)
			lingertest.Must(t, err)
			said, err := io.ReadAll(resp.Body)
			if resp.StatusCode == http.StatusSwitchingProtocols {
				said, err = io.ReadAll(in)
			}
			if want := "goodbye"; err != nil && !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(string(said), want) {
				t.Errorf("the client read %q, %v, want %q", said, err, want)
			}
			<-serving
		})
	}
}

// In a spread each is told at a time of its own. One that has been told is left to whoever was, even if it is idle.
func TestTurnInSpread(t *testing.T) {
	inBubble(t, ListenConfig{Spread: 10 * time.Second, Idle: 1}, func(t *testing.T, p *paced) {
		waitIdle(t, p)
		told := make(chan time.Duration, pacedConnections)
		began := time.Now()
		for _, c := range p.conns {
			context.AfterFunc(c.Turn(), func() { told <- time.Since(began) })
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		e := p.drainInBackground(ctx, nil)
		time.Sleep(15 * time.Second)
		p.wantLeft(t, "behind the spread", pacedConnections)
		if len(told) != pacedConnections {
			t.Errorf("%d were told, want all", len(told))
		}
		for i := range len(told) {
			slot := 10 * time.Second / pacedConnections
			if at := <-told; at < slot*time.Duration(i) || at > slot*time.Duration(i+1) {
				t.Errorf("connection %d was told after %v, want a time of its own", i, at)
			}
		}
		<-e.done
		if !errors.Is(e.err, context.DeadlineExceeded) || e.rep.AtDeadline.Total() != pacedConnections {
			t.Errorf("Drain = %s, %v, want all cut at the deadline", e.rep, e.err)
		}
	})
}

// Who asks late learns that the turn has come; who asks of a connection that no Listener has accepted waits for ever.
func TestTurnAsked(t *testing.T) {
	inBubble(t, ListenConfig{}, func(t *testing.T, p *paced) {
		before := p.conns[0].Turn()
		if before.Err() != nil || p.conns[0].Turn() != before {
			t.Error("the turn came before the drain, or is another one each time")
		}
		e := p.drainInBackground(t.Context(), func(ctx context.Context) error { <-ctx.Done(); return nil })
		synctest.Wait()
		time.Sleep(time.Second)
		for _, c := range p.conns[:2] {
			if c.Turn().Err() == nil {
				t.Error("the turn has not come")
			}
		}
		_, err := p.Abort()
		lingertest.Must(t, err)
		<-e.done
	})
	if Turn(context.Background()).Done() != nil || Turn(ConnContext(context.Background(), nil)).Done() != nil {
		t.Error("a turn of no connection can end")
	}
	a, b := net.Pipe()
	if Turn(ConnContext(context.Background(), a)).Done() != nil {
		t.Error("the turn of a pipe can end")
	}
	_, _ = a.Close(), b.Close()
}
