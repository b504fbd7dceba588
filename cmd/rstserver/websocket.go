package main

import (
	"context"
	"net/http"
	"sync"

	"rstserver/poller/websocket"
)

// maxMessage bounds a message of a WebSocket, in bytes.
const maxMessage = 16 << 20

// echoing sends each message back. It never waits, so the event loop is where that is quickest.
var echoing = websocket.Options{
	OnLoop:    true,
	ReadLimit: maxMessage,
	OnMessage: func(c *websocket.Conn, t websocket.Type, data []byte) {
		_ = c.Write(context.Background(), t, data) // an error is the connection's end
	},
}

// room sends each message to all who are in it. Who does not take them misses some.
type room struct {
	group    websocket.Group
	options  websocket.Options
	once     sync.Once
	counters websocket.Counters
}

// joinRoom answers GET /ws/room.
func (s *site) joinRoom(w http.ResponseWriter, r *http.Request) {
	room := &s.room
	room.once.Do(func() {
		room.options = websocket.Options{
			ReadLimit: maxMessage,
			AtBound:   websocket.Drop,
			Counters:  &room.counters,
			OnOpen:    func(c *websocket.Conn) { room.group.Join(c) },
			OnMessage: func(_ *websocket.Conn, t websocket.Type, data []byte) {
				_, _ = room.group.Broadcast(context.Background(), t, data)
			},
		}
	})
	_, _ = websocket.Accept(w, r, &room.options) // an error is the client's, and answered
}
