// Command fasthttp answers as rstserver's GET /, /slow, /bytes, /events and /upgrade do, and GET and POST /events/room, with fasthttp. On SIGTERM it lets go with
// Server.Shutdown, and exits when that has returned.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"rstserver/bench/peers/events"
)

func main() {
	ln, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	server := &fasthttp.Server{
		NoDefaultServerHeader: true,
		Handler:               handle,
		CloseOnShutdown:       true,
		// Shutdown's documentation asks for both: it waits for connections that have sent a part of a request.
		ReadTimeout: time.Minute,
		IdleTimeout: 10 * time.Minute,
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	shutdown := make(chan error, 1)
	go func() {
		<-signals
		shutdown <- server.Shutdown()
	}()
	fmt.Println("listening on http://" + ln.Addr().String())
	if err := server.Serve(ln); err != nil {
		log.Fatal(err)
	}
	if err := <-shutdown; err != nil {
		log.Fatal(err)
	}
}

func handle(ctx *fasthttp.RequestCtx) {
	switch string(ctx.Path()) {
	case "/":
		ctx.SetContentType("text/plain; charset=utf-8")
		ctx.SetBodyString("Hello, World!")
	case "/slow":
		ms, err := ctx.QueryArgs().GetUint("ms")
		if err != nil {
			ctx.Error(err.Error(), fasthttp.StatusBadRequest)
			return
		}
		time.Sleep(time.Duration(ms) * time.Millisecond)
		fmt.Fprintf(ctx, "slept %d ms\n", ms)
	case "/bytes":
		n, err := ctx.QueryArgs().GetUint("n")
		if err != nil {
			ctx.Error(err.Error(), fasthttp.StatusBadRequest)
			return
		}
		ctx.SetContentType("application/octet-stream")
		ctx.SetBodyStream(io.LimitReader(zeros{}, int64(n)), n)
	case "/events":
		ms, err := ctx.QueryArgs().GetUint("ms")
		if err != nil {
			ctx.Error(err.Error(), fasthttp.StatusBadRequest)
			return
		}
		stream(ctx, func(send func([]byte) error) { events.Tick(ms, send) })
	case "/events/room":
		if ctx.IsPost() {
			room.Post(ctx.PostBody())
			ctx.SetStatusCode(fasthttp.StatusNoContent)
			return
		}
		stream(ctx, room.Serve)
	case "/upgrade":
		if !ctx.Request.Header.ConnectionUpgrade() || string(ctx.Request.Header.Peek("Upgrade")) != "echo" {
			ctx.Error("this is for Upgrade: echo", fasthttp.StatusUpgradeRequired)
			return
		}
		ctx.SetStatusCode(fasthttp.StatusSwitchingProtocols)
		ctx.Response.Header.Set("Connection", "Upgrade")
		ctx.Response.Header.Set("Upgrade", "echo")
		ctx.Hijack(func(c net.Conn) { _, _ = io.Copy(c, c) })
	default:
		ctx.NotFound()
	}
}

var room events.Room

// stream makes the answer an event stream, which serve sends events on, and the head before the first.
func stream(ctx *fasthttp.RequestCtx, serve func(send func(event []byte) error)) {
	ctx.SetContentType("text/event-stream")
	ctx.Response.Header.Set("Cache-Control", "no-cache")
	ctx.Response.ImmediateHeaderFlush = true
	ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
		serve(func(event []byte) error {
			if _, err := w.Write(event); err != nil {
				return err
			}
			return w.Flush()
		})
	})
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
