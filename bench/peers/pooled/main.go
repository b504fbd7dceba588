// Command pooled is nethttp with this project's server in the place of net/http's: the same handler, on its workers.
package main

import (
	"fmt"
	"log"
	"net/netip"
	"os"

	"rstserver/bench/peers/hello"
	"rstserver/poller"
)

func main() {
	srv := &poller.Server{
		Addr: os.Args[1], Handler: hello.Handler,
		Serving: func(addr netip.AddrPort) { fmt.Printf("listening on http://%s\n", addr) },
	}
	log.Fatal(srv.ListenAndServe())
}
