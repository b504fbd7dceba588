// Command nbiows is WebSockets by nbio, as stock as its examples have it: GET /ws sends each message back, and GET /ws/room to all who are there. On SIGTERM it
// lets go with Engine.Shutdown, as they do, and exits when that has returned.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"

	"rstserver/bench/peers/hello"
	"rstserver/bench/peers/wsserver"
)

// idle is how long a client may have nothing to say.
const idle = 10 * time.Minute

var room wsserver.Conns[*websocket.Conn]

func main() {
	// Engine.Start hangs where it cannot listen.
	ln, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	echo, chat := websocket.NewUpgrader(), websocket.NewUpgrader()
	echo.OnMessage(func(c *websocket.Conn, messageType websocket.MessageType, data []byte) {
		_ = c.WriteMessage(messageType, data)
	})
	chat.OnOpen(room.Add)
	chat.OnClose(func(c *websocket.Conn, _ error) { room.Remove(c) })
	chat.OnMessage(func(_ *websocket.Conn, messageType websocket.MessageType, data []byte) {
		room.Each(func(c *websocket.Conn) { _ = c.WriteMessage(messageType, data) })
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "13") // without which it is sent in a chunk
		hello.Handler(w, r)
	})
	for path, upgrader := range map[string]*websocket.Upgrader{"GET /ws": echo, "GET /ws/room": chat} {
		upgrader.KeepaliveTime = idle
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { _, _ = upgrader.Upgrade(w, r, nil) })
	}
	logging.SetLevel(logging.LevelError) // the others go to stdout
	engine := nbhttp.NewEngine(nbhttp.Config{
		Network: "tcp", Addrs: []string{os.Args[1]}, Handler: mux, KeepaliveTime: idle,
		Listen: func(string, string) (net.Listener, error) { return ln, nil },
	})
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	if err := engine.Start(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on http://" + ln.Addr().String())
	<-signals
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_ = engine.Shutdown(ctx)
}
