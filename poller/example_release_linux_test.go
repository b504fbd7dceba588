//go:build linux

package poller_test

import (
	"fmt"
	"io"
	"log"
	"net/http"

	"rstserver/poller"
)

// Where 'close' would be emitted early: the port is given up for a successor, and the connections are kept.
func ExampleServer_Release() {
	says := func(what string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, what) })
	}
	old := &poller.Server{Handler: says("old")}
	addr, ended := serve(old)
	before := idle(addr)

	if err := old.Release(); err != nil {
		log.Fatal(err)
	}
	heir := &poller.Server{Addr: addr, Handler: says("new")}
	serve(heir)
	after := dial(addr)

	for _, c := range []client{before, after} {
		content, last := c.post("/")
		fmt.Println(content, last)
	}
	before.Close()
	fmt.Println(<-ended) // with the last of its connections
	heir.Close()
	fmt.Println("the successor's client reads ECONNRESET:", after.reset())
	// Output:
	// old false
	// new false
	// http: Server closed
	// the successor's client reads ECONNRESET: true
}
