//go:build linux

package poller_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"rstserver/poller"
)

func init() { program("restart", restart) }

// restart is the child, which a request tells to drain. Once that is answered, the next one can have the port.
func restart() {
	srv := &poller.Server{Addr: os.Args[1], Serving: serving}
	http.HandleFunc("/", echo)
	http.HandleFunc("POST /restart", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		srv.Release()
		fmt.Fprint(w, "the port is yours, this connection ends:")
		srv.Shutdown(ctx) // every answer carries "Connection: close", this one too
	})
	srv.ListenAndServe()
}

// A parent process restarts its child: the old one finishes what is in flight, while the next one serves the port already.
func Example_restart() {
	child, addr := launch("restart", "127.0.0.1:0")
	busy, control := inFlight(addr), dial(addr)

	fmt.Println(control.post("/restart"))
	control.Close()
	next, _ := launch("restart", addr)
	fmt.Println(busy.finish())
	fmt.Println("the old one ends:", child.Wait())

	control = dial(addr)
	fmt.Println(control.post("/restart"))
	control.Close()
	fmt.Println("the next one ends:", next.Wait())
	// Output:
	// the port is yours, this connection ends: true
	// a whole answer true
	// the old one ends: <nil>
	// the port is yours, this connection ends: true
	// the next one ends: <nil>
}
