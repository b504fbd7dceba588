//go:build linux

package interop

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/coder/websocket"
	"github.com/valyala/fasthttp"
	"google.golang.org/grpc"

	"rstserver/linger"
	"rstserver/linger/interop/internal/fleet"
)

// GracefulStop has no context, and waits for streams that never end. Drain waits for it no longer than the deadline.
func Example_grpc() {
	ln, err := linger.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := grpc.NewServer()
	go srv.Serve(ln)

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	report, err := ln.Drain(ctx, func(context.Context) error { srv.GracefulStop(); return nil })
	fmt.Println(report.Mode, report.Left.Free(), err)
	// Output:
	// drain true <nil>
}

// Abort needs nothing from the server, whose Serve returns.
func Example_fasthttp() {
	ln, err := linger.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	serving := make(chan error)
	srv := &fasthttp.Server{Handler: func(*fasthttp.RequestCtx) {}, MaxIdleWorkerDuration: 100 * time.Millisecond}
	go func() { serving <- srv.Serve(ln) }()

	report, err := ln.Abort()
	fmt.Println(report.Mode, report.Left.Free(), err, <-serving)
	// Output:
	// abort true <nil> <nil>
}

// HTTP/2 and WebSockets of net/http, which its own Shutdown does not wait for or does not end: Drain does.
func Example_tls() {
	ln, err := linger.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	cert, err := fleet.Certificate()
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{ErrorLog: fleet.Quiet}
	srv.TLSConfig, _ = fleet.Configs(cert)
	serving := make(chan error)
	go func() { serving <- srv.ServeTLS(ln, "", "") }()

	report, err := ln.Drain(context.Background(), srv.Shutdown)
	fmt.Println(report.Mode, report.Left.Free(), err, <-serving)
	// Output:
	// drain true <nil> http: Server closed
}

// WebSockets, of any library, do not end by a server's graceful stop: each is told when it is its turn, says goodbye, and ends in order.
func Example_webSocket() {
	ln, err := linger.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{
		ConnContext: linger.ConnContext,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := websocket.Accept(w, r, nil)
			if err != nil {
				return // the client has been told
			}
			defer c.CloseNow()
			stop := context.AfterFunc(linger.Turn(r.Context()), func() { c.Close(websocket.StatusGoingAway, "see you at the next server") })
			defer stop()
			for { // an echo
				kind, message, err := c.Read(context.Background())
				if err != nil || c.Write(context.Background(), kind, message) != nil {
					return
				}
			}
		}),
	}
	go srv.Serve(ln)
	client, _, err := websocket.Dial(context.Background(), "ws://"+ln.Addr().String(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.CloseNow()
	told := make(chan error)
	go func() {
		_, _, err := client.Read(context.Background())
		told <- err
	}()

	report, err := ln.Drain(context.Background(), srv.Shutdown)
	fmt.Println("the client is told:", websocket.CloseStatus(<-told))
	fmt.Println("in order:", report.Closed, "cut at the deadline:", report.AtDeadline.Total(), err) // who closes first keeps TIME_WAIT
	// Output:
	// the client is told: StatusGoingAway
	// in order: 1 cut at the deadline: 0 <nil>
}
