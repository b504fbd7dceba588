package websocket_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"

	"rstserver/poller"
	"rstserver/poller/websocket"
)

// Each message comes back, and a drain says goodbye to whoever is there. The client, which speaks bytes here, can be any.
func Example() {
	echo := websocket.Options{
		OnMessage: func(c *websocket.Conn, t websocket.Type, data []byte) { c.Write(context.Background(), t, data) },
	}
	address := make(chan netip.AddrPort, 1)
	srv := &poller.Server{
		Addr: "127.0.0.1:0",
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			websocket.Accept(w, r, &echo) // an error is the client's, and answered
		}),
		Serving: func(a netip.AddrPort) { address <- a },
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.ListenAndServe() }()

	client, err := net.Dial("tcp", (<-address).String())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Fprint(client, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	from := bufio.NewReader(client)
	resp, err := http.ReadResponse(from, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Status)

	client.Write([]byte("\x81\x82\x00\x00\x00\x00hi")) // a text of two bytes, masked by a key of zeroes
	frame := make([]byte, 4)
	io.ReadFull(from, frame)
	fmt.Printf("%s\n", frame[2:])

	down := make(chan error, 1)
	go func() { down <- srv.Shutdown(context.Background()) }()
	io.ReadFull(from, frame)
	fmt.Println("close", int(frame[2])<<8|int(frame[3]))
	client.Write([]byte("\x88\x82\x00\x00\x00\x00\x03\xe9")) // the same code, for an answer
	_, err = io.Copy(io.Discard, from)                       // to the end, which is FIN
	fmt.Println(err, <-down, <-ended)
	fmt.Println("in order:", srv.Report().Closed)
	// Output:
	// 101 Switching Protocols
	// hi
	// close 1001
	// <nil> <nil> http: Server closed
	// in order: 1
}
