//go:build linux

package fleet

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"testing"

	"github.com/coder/websocket"

	"rstserver/linger"
)

// ServeHTTP is the handler of all of net/http's servers here.
func (s *Served) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" {
		_, _ = io.WriteString(w, "hello")
		return
	}
	defer s.Working()()
	switch r.URL.Path {
	case "/wait": // whatever becomes of the client
		<-s.Gate
	case "/half":
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		<-s.Gate
	case "/read":
		_, _ = io.Copy(io.Discard, r.Body)
	case "/endless":
		for {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	case "/hijack":
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	case "/websocket":
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, data, err := c.Read(context.Background())
			if err != nil {
				return
			}
			_ = c.Write(context.Background(), kind, data)
		}
	}
}

// Quiet is for servers that log what the tests do to them.
var Quiet = log.New(io.Discard, "", 0)

// StartHTTP serves by net/http.
func StartHTTP(t testing.TB, config linger.ListenConfig) *Served {
	srv := &http.Server{ErrorLog: Quiet}
	return Start(t, config, func(s *Served) error {
		srv.Handler, s.Shutdown = s, srv.Shutdown
		return srv.Serve(s.Listener)
	})
}

// StartHTTPS serves over TLS. By hand, the tls.Listener is put around ours by the test.
func StartHTTPS(t testing.TB, config linger.ListenConfig, byHand bool) *Served {
	server, _ := SelfSigned(t)
	srv := &http.Server{ErrorLog: Quiet, TLSConfig: server}
	return Start(t, config, func(s *Served) error {
		srv.Handler, s.Shutdown = s, srv.Shutdown
		if byHand {
			return srv.Serve(tls.NewListener(s.Listener, server))
		}
		return srv.ServeTLS(s.Listener, "", "")
	})
}

// PlainStates are those of the connections of net/http.
func PlainStates() []State {
	return append(HTTPStates(Raw),
		State{Name: "new", Open: Raw(Sends(""))},
		State{Name: "WebSocket", Open: openWebSocket, Handlers: 1},
	)
}

// TLSStates are those of the connections of net/http over TLS, with HTTP/2.
func TLSStates(t testing.TB) []State {
	_, config := SelfSigned(t)
	states := HTTPStates(OverTLS(config))
	return append(states,
		State{Name: "new", Open: Raw(Sends(""))},
		State{Name: "in the TLS handshake", Open: Raw(Sends("\x16\x03\x01\x02\x00\x01"))},
		State{Name: "after the TLS handshake", Open: rawTLS(config, Sends(""))},
		State{Name: "idle HTTP/2", Open: HTTP2Client(config, "/")},
		State{Name: "HTTP/2 with an open stream", Open: HTTP2Client(config, "/half"), Handlers: 1},
		State{Name: "HTTP/2 with ten open streams", Open: HTTP2Client(config, "/half", "/half", "/half", "/half", "/half", "/half", "/half", "/half",
			"/half", "/half"), Handlers: 10},
		State{Name: "HTTP/2 with a slow reader", Open: HTTP2Client(config, "/endless"), Handlers: 1},
	)
}
