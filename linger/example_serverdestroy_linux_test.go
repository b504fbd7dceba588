//go:build linux

package linger_test

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"syscall"

	"rstserver/linger"
)

// As server-destroy does it: a server of net/http gets one more method. It reaches what the server itself does not know any
// more, here a connection that a handler has taken over.
func Example_serverDestroy() {
	ln, err := linger.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	hijacked := make(chan bool)
	srv := &destroyable{ln: ln}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			log.Fatal(err)
		}
		hijacked <- true
		c.Read(make([]byte, 1)) // until the end
		c.Close()
		hijacked <- false
	})
	go srv.Serve(ln)
	client := connectTo(ln)
	defer client.Close()
	fmt.Fprint(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-hijacked

	if err := srv.Destroy(); err != nil {
		log.Fatal(err)
	}
	_, err = client.Read(make([]byte, 1))
	fmt.Println("the client reads ECONNRESET:", errors.Is(err, syscall.ECONNRESET))
	fmt.Println("the handler goes on:", <-hijacked)
	// Output:
	// the client reads ECONNRESET: true
	// the handler goes on: false
}

type destroyable struct {
	http.Server
	ln *linger.Listener
}

// Destroy resets all connections and gives up the port.
func (s *destroyable) Destroy() error {
	_, err := s.ln.Abort()
	return err
}
