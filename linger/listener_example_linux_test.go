//go:build linux

package linger_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"rstserver/linger"
)

// One line makes a server of net/http abortable: it serves on a Listener. So it is with ServeTLS, grpc.Server.Serve,
// fasthttp.Server.Serve and all others.
func ExampleListen() {
	ln, err := linger.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(ln, http.NotFoundHandler())
	client := connectTo(ln)
	defer client.Close()

	report, err := ln.Abort() // all clients are told, and the port is free
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("aborted:", report.Connections[linger.Open])
	fmt.Println("free:", report.Left.Free())
	_, err = client.Read(make([]byte, 1))
	fmt.Println("the client reads ECONNRESET:", errors.Is(err, syscall.ECONNRESET))
	// Output:
	// aborted: 1
	// free: true
	// the client reads ECONNRESET: true
}

// A listener that exists already, here as a crash leaves nothing of it: its connections are armed.
func ExampleListenConfig_Wrap() {
	existing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	ln, err := linger.ListenConfig{Armed: true}.Wrap(existing)
	if err != nil {
		log.Fatal(err)
	}
	// What else goes around a listener goes around this one.
	around := tls.NewListener(ln, &tls.Config{GetCertificate: certificate})
	go http.Serve(around, nil)

	report, err := ln.Abort()
	fmt.Println(report.Mode, report.Left.Free(), err)
	// Output:
	// abort true <nil>
}

func certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return nil, errors.New("no client comes")
}

// The server stops in its own way, within a time. What is in the middle of something then, or was taken over from the server,
// is reset. For gRPC the function calls GracefulStop, which has no context.
func ExampleListener_Drain() {
	ln, err := linger.ListenConfig{LameDuck: time.Millisecond}.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	working := make(chan bool)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		working <- true
		<-r.Context().Done() // not before the connection ends
	})}
	go srv.Serve(ln)
	client := connectTo(ln)
	defer client.Close()
	fmt.Fprint(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-working

	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	report, err := ln.Drain(ctx, srv.Shutdown)
	fmt.Println("in order:", report.Closed, "cut at the deadline:", report.AtDeadline.Total(), "the port is free:", report.Left.Free())
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output:
	// in order: 0 cut at the deadline: 1 the port is free: true
	// true
}

// A handler that would never return, here of an event stream, learns that it is its turn, says what it has to say, and returns.
func ExampleTurn() {
	ln, err := linger.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{
		ConnContext: linger.ConnContext,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: hello\n\n")
			w.(http.Flusher).Flush()
			events := make(chan string) // there will be none
			for {
				select {
				case event := <-events:
					fmt.Fprintf(w, "data: %s\n\n", event)
				case <-linger.Turn(r.Context()).Done():
					fmt.Fprint(w, "event: goodbye\ndata: see you at the next server\n\n")
					return
				}
			}
		}),
	}
	go srv.Serve(ln)
	resp, err := http.Get("http://" + ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()

	report, err := ln.Drain(context.Background(), srv.Shutdown)
	stream, _ := io.ReadAll(resp.Body)
	fmt.Printf("%s%d closed in order, %d cut at the deadline, %v\n", stream, report.Closed, report.AtDeadline.Total(), err)
	// Output:
	// data: hello
	//
	// event: goodbye
	// data: see you at the next server
	//
	// 1 closed in order, 0 cut at the deadline, <nil>
}

// A successor takes over the port at once, with a new certificate for one, while the connections of the predecessor live on.
func ExampleListener_Release() {
	serve := func(address, name string) (*linger.Listener, <-chan error) {
		ln, err := linger.Listen("tcp", address)
		if err != nil {
			log.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			ended <- http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, name) }))
		}()
		return ln, ended
	}
	get := func(c net.Conn) string {
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			log.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		return string(b)
	}
	old, ended := serve("127.0.0.1:0", "old")
	before := connectTo(old)
	get(before)

	if err := old.Release(); err != nil {
		log.Fatal(err)
	}
	heir, _ := serve(old.Addr().String(), "new")
	after := connectTo(heir)
	fmt.Println(get(before), get(after))

	before.Close()
	err := <-ended // Serve returns with the last of its connections
	fmt.Println(errors.Is(err, net.ErrClosed))
	heir.Abort()
	after.Close()
	// Output:
	// old new
	// true
}

// The connections that are there, and the end of some of them: those from one network that have been quiet for a while.
func ExampleListener_AbortIf() {
	ln, err := linger.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(ln, nil)
	defer ln.Abort()
	client := connectTo(ln)
	defer client.Close()

	for info := range ln.All() {
		fmt.Println(info.Remote.Addr(), info.State, info.RecvQueue, info.SendQueue)
	}
	const quiet = 0 // or some minutes
	network := netip.MustParsePrefix("127.0.0.0/8")
	n := ln.AbortIf(func(i linger.ConnInfo) bool { return network.Contains(i.Remote.Addr()) && i.Idle() >= quiet })
	fmt.Println(n, "aborted,", ln.Len(), "left")
	// Output:
	// 127.0.0.1 ESTABLISHED 0 0
	// 1 aborted, 0 left
}

// connectTo returns a connection that ln has accepted.
func connectTo(ln *linger.Listener) net.Conn {
	before := ln.Len()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	for ln.Len() == before {
		time.Sleep(time.Millisecond)
	}
	return c
}
