// Command fasthttp answers as rstserver's GET /, /slow, /bytes and /upgrade do, with fasthttp. On SIGTERM it lets go with
// Server.Shutdown, and exits when that has returned.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
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

// zeros has no end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
