//go:build linux

package poller_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"syscall"

	"rstserver/poller"
)

// A server with a handler of net/http. Close resets its connections, and the port is free when it returns.
func Example() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := &poller.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello")
	})}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()

	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Fprint(client, "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
	answer := make([]byte, 12)
	if _, err := io.ReadFull(client, answer); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", answer)

	fmt.Println(srv.Close(), <-ended) // ended: http.ErrServerClosed
	fmt.Println("free:", srv.Report().Left.Free())
	for err == nil {
		_, err = client.Read(answer)
	}
	fmt.Println("the client reads ECONNRESET:", errors.Is(err, syscall.ECONNRESET))
	// Output:
	// HTTP/1.1 200
	// <nil> http: Server closed
	// free: true
	// the client reads ECONNRESET: true
}
