//go:build linux

package poller_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"rstserver/poller"
)

// As the shutdown of http-shutdown: what is in flight is answered, as the last of its connection, and what is idle is reset.
func ExampleServer_Shutdown() {
	srv := &poller.Server{Handler: http.HandlerFunc(echo)}
	addr, _ := serve(srv)
	idle, busy := idle(addr), inFlight(addr)
	answer := make(chan string, 1)
	srv.RegisterOnShutdown(func() {
		content, last := busy.finish()
		answer <- fmt.Sprintf("%s, the connection's last: %t", content, last)
	})

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(srv.Shutdown(ctx))
	fmt.Println(<-answer)
	fmt.Println("the idle client reads ECONNRESET:", idle.reset())
	// Output:
	// <nil>
	// a whole answer, the connection's last: true
	// the idle client reads ECONNRESET: true
}
