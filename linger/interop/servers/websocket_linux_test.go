//go:build linux

package servers

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/centrifugal/centrifuge"
	gorilla "github.com/gorilla/websocket"

	"rstserver/linger"
	"rstserver/linger/interop/internal/fleet"
)

// upgrade asks for a WebSocket.
const upgrade = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"

// gorillas accepts WebSockets by gorilla/websocket.
func gorillas(s *fleet.Served) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := new(gorilla.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		defer s.Working()()
		_ = c.WriteMessage(gorilla.TextMessage, []byte("hello"))
		_, _, _ = c.ReadMessage()
	})
}

func gorillaStates(testing.TB) []fleet.State {
	return []fleet.State{
		{Name: "new", Open: fleet.Raw(talk())},
		{Name: "WebSocket", Open: fleet.Raw(talk(">"+upgrade, "<101", "<hello")), Handlers: 1},
	}
}

// startCentrifuge serves centrifuge's clients over WebSockets.
func startCentrifuge(t testing.TB) *fleet.Served {
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogLevelNone, ClientStaleCloseDelay: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: new(centrifuge.Credentials)}, nil
	})
	srv := &http.Server{ErrorLog: fleet.Quiet, Handler: centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		PingPongConfig: centrifuge.PingPongConfig{PingInterval: time.Hour, PongTimeout: time.Minute},
	})}
	t.Cleanup(func() { _ = node.Shutdown(context.Background()) })
	return fleet.Start(t, linger.ListenConfig{}, func(s *fleet.Served) error {
		node.OnConnect(func(c *centrifuge.Client) {
			done := s.Working()
			c.OnDisconnect(func(centrifuge.DisconnectEvent) { done() })
		})
		if err := node.Run(); err != nil {
			return err
		}
		s.Shutdown = func(ctx context.Context) error { return errors.Join(node.Shutdown(ctx), srv.Shutdown(ctx)) }
		return srv.Serve(s.Listener)
	})
}

func centrifugeStates(testing.TB) []fleet.State {
	const connect = `{"id":1,"connect":{}}`
	frame := "\x81" + string([]byte{0x80 | byte(len(connect))}) + "\x00\x00\x00\x00" + connect
	return []fleet.State{
		{Name: "new", Open: fleet.Raw(talk())},
		{Name: "WebSocket, not connected", Open: fleet.Raw(talk(">"+upgrade, "<101", "<\r\n\r\n"))},
		{Name: "WebSocket, connected", Open: fleet.Raw(talk(">"+upgrade, "<101", "<\r\n\r\n", ">"+frame, `<"connect":`, "<}}")), Handlers: 1},
	}
}
