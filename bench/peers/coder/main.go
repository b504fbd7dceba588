// Command coder is WebSockets by coder/websocket on net/http: GET /ws sends each message back, and GET /ws/room to all who are there, by a channel and a
// goroutine for each, as the library's chat does. On SIGTERM each is closed, which takes the client's answer, and the program exits then.
package main

import (
	"context"
	"net/http"
	"os"

	"github.com/coder/websocket"

	"rstserver/bench/peers/room"
	"rstserver/bench/peers/wsserver"
)

type message struct {
	messageType websocket.MessageType
	data        []byte
}

var (
	conns wsserver.Conns[*websocket.Conn]
	chat  room.Room[message]
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) {
		serve(w, r, func(c *websocket.Conn, m message) error { return c.Write(r.Context(), m.messageType, m.data) }, nil)
	})
	mux.HandleFunc("GET /ws/room", func(w http.ResponseWriter, r *http.Request) {
		serve(w, r, func(_ *websocket.Conn, m message) error { chat.Tell(m); return nil }, &chat)
	})
	conns.Serve(os.Args[1], mux, func(c *websocket.Conn) { _ = c.Close(websocket.StatusGoingAway, "") })
}

// serve calls handle with each message. What a room is told is sent, if there is one.
func serve(w http.ResponseWriter, r *http.Request, handle func(*websocket.Conn, message) error, in *room.Room[message]) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // it was answered
	}
	conns.Add(c)
	defer conns.Remove(c)
	defer c.CloseNow()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if in != nil {
		go in.Serve(in.Join(), ctx.Done(), func(m message) error { return c.Write(ctx, m.messageType, m.data) })
	}
	for {
		messageType, data, err := c.Read(ctx)
		if err != nil || handle(c, message{messageType, data}) != nil {
			return
		}
	}
}
