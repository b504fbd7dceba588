//go:build linux

package poller_test

import (
	"fmt"
	"net/http"

	"rstserver/poller"
)

// What a map of sockets, server-destroy, killable and forceShutdown are for is a method here. Nothing comes to its end.
func ExampleServer_Close() {
	srv := &poller.Server{Handler: http.HandlerFunc(echo)}
	addr, ended := serve(srv)
	idle, busy := idle(addr), inFlight(addr)

	fmt.Println(srv.Close())
	fmt.Println(<-ended)
	fmt.Println("clients read ECONNRESET:", idle.reset(), busy.reset())
	fmt.Println("the port is free:", srv.Report().Left.Free())
	// Output:
	// <nil>
	// http: Server closed
	// clients read ECONNRESET: true true
	// the port is free: true
}
