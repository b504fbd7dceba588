// Command gws is WebSockets by lxzan/gws on net/http: GET /ws sends each message back, and GET /ws/room to all who are there, by the library's Broadcaster. On
// SIGTERM each is closed by its WriteClose, and the program exits when all have gone.
package main

import (
	"net/http"
	"os"

	"github.com/lxzan/gws"

	"rstserver/bench/peers/wsserver"
)

var conns, room wsserver.Conns[*gws.Conn]

func main() {
	mux := http.NewServeMux()
	for path, handler := range map[string]gws.Event{"GET /ws": echo{}, "GET /ws/room": chat{}} {
		upgrader := gws.NewUpgrader(handler, &gws.ServerOption{Recovery: gws.Recovery})
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			c, err := upgrader.Upgrade(w, r)
			if err != nil {
				return // it was answered
			}
			go c.ReadLoop() // so that what net/http has of the request is not kept
		})
	}
	conns.Serve(os.Args[1], mux, func(c *gws.Conn) { _ = c.WriteClose(1001, nil) })
}

type echo struct{ gws.BuiltinEventHandler }

func (echo) OnOpen(c *gws.Conn) { conns.Add(c) }

func (echo) OnClose(c *gws.Conn, _ error) { conns.Remove(c) }

func (echo) OnPing(c *gws.Conn, payload []byte) { _ = c.WritePong(payload) }

func (echo) OnMessage(c *gws.Conn, message *gws.Message) {
	defer message.Close()
	_ = c.WriteMessage(message.Opcode, message.Bytes())
}

type chat struct{ echo }

func (h chat) OnOpen(c *gws.Conn) {
	h.echo.OnOpen(c)
	room.Add(c)
}

func (h chat) OnClose(c *gws.Conn, err error) {
	room.Remove(c)
	h.echo.OnClose(c, err)
}

func (chat) OnMessage(_ *gws.Conn, message *gws.Message) {
	defer message.Close()
	broadcaster := gws.NewBroadcaster(message.Opcode, message.Bytes())
	defer broadcaster.Close()
	room.Each(func(c *gws.Conn) { _ = broadcaster.Broadcast(c) })
}
