//go:build linux

package fleet

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
	below *Recorder
}

func openWebSocket(_ testing.TB, s *Served) (Client, error) {
	below, err := s.Dial()
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	c, _, err := websocket.Dial(ctx, "ws://"+s.AddrPort.String()+"/websocket", &websocket.DialOptions{
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

func (w *webSocket) End() error {
	defer w.CloseNow()
	_, _, err := w.Read(context.Background())
	return err
}
