// Command gorilla is WebSockets by gorilla/websocket on net/http: GET /ws sends each message back, and GET /ws/room to all who are there, by a channel and a
// goroutine for each, as the library's chat does, with prepared messages. On SIGTERM each is sent a close frame, and the program exits when all have
// answered.
package main

import (
	"net/http"
	"os"
	"time"

	"github.com/gorilla/websocket"

	"rstserver/bench/peers/room"
	"rstserver/bench/peers/wsserver"
)

var (
	conns    wsserver.Conns[*websocket.Conn]
	chat     room.Room[*websocket.PreparedMessage]
	upgrader websocket.Upgrader
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) {
		serve(w, r, func(c *websocket.Conn, messageType int, data []byte) error { return c.WriteMessage(messageType, data) }, nil)
	})
	mux.HandleFunc("GET /ws/room", func(w http.ResponseWriter, r *http.Request) {
		serve(w, r, tellAll, &chat)
	})
	conns.Serve(os.Args[1], mux, func(c *websocket.Conn) {
		_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseGoingAway, ""), time.Now().Add(time.Second))
	})
}

// serve calls handle with each message. What a room is told is sent, if there is one.
func serve(w http.ResponseWriter, r *http.Request, handle func(*websocket.Conn, int, []byte) error, in *room.Room[*websocket.PreparedMessage]) {
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it was answered
	}
	conns.Add(c)
	defer conns.Remove(c)
	defer c.Close()
	if in != nil {
		gone := make(chan struct{})
		defer close(gone)
		go in.Serve(in.Join(), gone, c.WritePreparedMessage)
	}
	for {
		messageType, data, err := c.ReadMessage()
		if err != nil || handle(c, messageType, data) != nil {
			return
		}
	}
}

func tellAll(_ *websocket.Conn, messageType int, data []byte) error {
	message, err := websocket.NewPreparedMessage(messageType, data)
	if err == nil {
		chat.Tell(message)
	}
	return err
}
