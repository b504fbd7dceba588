//go:build linux

package linger_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"syscall"
	"time"

	"rstserver/linger"
)

// As http-shutdown does it, around a server: shutdown lets what is in flight come to its end.
func Example_httpShutdown() {
	srv, ln, client := inFlight()
	defer client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	report, err := ln.Drain(ctx, srv.Shutdown)
	fmt.Println("in order:", report.Closed, "cut:", report.AtDeadline.Total(), err)
	resp, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil {
		log.Fatal(err)
	}
	content, err := io.ReadAll(resp.Body)
	fmt.Println(string(content), err)
	// Output:
	// in order: 1 cut: 0 <nil>
	// a whole answer <nil>
}

// As http-shutdown does it, around a server: forceShutdown lets nothing come to its end.
func Example_httpForceShutdown() {
	srv, ln, client := inFlight()
	defer client.Close()

	report, err := ln.Abort()
	fmt.Println("aborted:", report.Connections.Total(), "the port is free:", report.Left.Free(), err)
	_, err = client.Read(make([]byte, 1))
	fmt.Println("the client reads ECONNRESET:", errors.Is(err, syscall.ECONNRESET))
	srv.Shutdown(context.Background()) // the handler waits for that
	// Output:
	// aborted: 1 the port is free: true <nil>
	// the client reads ECONNRESET: true
}

// As withShutdown of http-shutdown does it: both are methods of the server.
func Example_httpWithShutdown() {
	plain, ln, client := inFlight()
	defer client.Close()
	srv := withShutdown{plain, ln}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(srv.Shutdown(ctx))
	fmt.Println(srv.ForceShutdown()) // which finds nothing left to reset
	// Output:
	// <nil>
	// <nil>
}

type withShutdown struct {
	*http.Server
	ln *linger.Listener
}

func (s withShutdown) Shutdown(ctx context.Context) error {
	_, err := s.ln.Drain(ctx, s.Server.Shutdown)
	return err
}

func (s withShutdown) ForceShutdown() error {
	_, err := s.ln.Abort()
	return err
}

// inFlight returns a server that has a request of client's in its handler. The handler answers when the server is shut down.
func inFlight() (srv *http.Server, ln *linger.Listener, client net.Conn) {
	ln, err := linger.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	working, stopping := make(chan bool), make(chan bool)
	srv = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		working <- true
		<-stopping
		io.WriteString(w, "a whole answer")
	})}
	srv.RegisterOnShutdown(func() { close(stopping) })
	go srv.Serve(ln)
	client = connectTo(ln)
	fmt.Fprint(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-working
	return srv, ln, client
}
