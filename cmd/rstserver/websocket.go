package main

import (
	"context"

	"rstserver/poller/websocket"
)

// maxMessage bounds a message of a WebSocket, in bytes.
const maxMessage = 16 << 20

// wsEcho sends each message back.
var wsEcho = websocket.Options{
	OnLoop:    true, // where it is quickest
	ReadLimit: maxMessage,
	OnMessage: func(c *websocket.Conn, t websocket.Type, data []byte) {
		_ = c.Write(context.Background(), t, data) // an error is the connection's end
	},
}
