// Command pooled is nethttp with this project's server in the place of net/http's: the same handler, on its workers. GET /ws is a WebSocket that sends each
// message back, and GET /ws/room one whose messages go to all who are there, both by websocket.Accept. On SIGTERM it lets go with Server.Close, on
// SIGQUIT with Server.Shutdown, for 8 s.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"rstserver/bench/peers/hello"
	"rstserver/poller"
	"rstserver/poller/websocket"
)

func main() {
	echo := websocket.Options{OnMessage: func(c *websocket.Conn, t websocket.Type, data []byte) { _ = c.Write(context.Background(), t, data) }}
	var group websocket.Group
	room := websocket.Options{
		AtBound: websocket.Drop,
		OnOpen:  func(c *websocket.Conn) { group.Join(c) },
		OnMessage: func(_ *websocket.Conn, t websocket.Type, data []byte) {
			_, _ = group.Broadcast(context.Background(), t, data)
		},
	}
	site := hello.With(os.Args[2:])
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ws":
			_, _ = websocket.Accept(w, r, &echo)
		case "/ws/room":
			_, _ = websocket.Accept(w, r, &room)
		default:
			site.ServeHTTP(w, r)
		}
	})
	srv := &poller.Server{
		Addr: os.Args[1], Handler: handler,
		Serving: func(addr netip.AddrPort) { fmt.Printf("listening on http://%s\n", addr) },
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGQUIT)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if <-signals == syscall.SIGQUIT {
			ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
			defer cancel()
			_ = srv.Shutdown(ctx) // an end of ctx resets the rest
			return
		}
		if err := srv.Close(); err != nil {
			log.Fatal(err)
		}
	}()
	if err := srv.ListenAndServe(); err != poller.ErrServerClosed {
		log.Fatal(err)
	}
	<-ended
}
