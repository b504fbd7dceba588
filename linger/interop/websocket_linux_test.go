//go:build linux

package interop

import (
	"context"
	"net"
	"net/http"
	"testing"

	"github.com/coder/websocket"
)

// webSocket is a WebSocket over which something has gone already.
type webSocket struct {
	*websocket.Conn
	below *recorder
}

func openWebSocket(_ testing.TB, s *served) (client, error) {
	below, err := s.dial()
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	c, _, err := websocket.Dial(ctx, "ws://"+s.addr.String()+"/websocket", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn, error) { return below, nil },
		}},
	})
	if err != nil {
		return nil, err
	}
	if err := c.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		return nil, err
	}
	_, _, err = c.Read(ctx)
	return &webSocket{c, below}, err
}

func (w *webSocket) end() error {
	defer w.CloseNow()
	_, _, err := w.Read(context.Background())
	return err
}
