//go:build linux

package poller_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"rstserver/poller"
)

func init() { program("unref", unref) }

// unref is a program that does something, until SIGQUIT, and serves meanwhile. Its connections hold it for as long as they
// have something in flight.
func unref() {
	work, stop := signal.NotifyContext(context.Background(), syscall.SIGQUIT)
	defer stop()
	srv := &poller.Server{Addr: os.Args[1], Handler: http.HandlerFunc(echo), Serving: serving}
	go srv.ListenAndServe()
	<-work.Done()
	srv.Shutdown(context.Background())
}

// Where unref keeps idle connections from holding the process: the main function ends with Shutdown.
func Example_unref() {
	process, addr := launch("unref", "127.0.0.1:0")
	idle, busy := idle(addr), inFlight(addr)

	if err := process.Process.Signal(syscall.SIGQUIT); err != nil {
		log.Fatal(err)
	}
	fmt.Println("the idle client reads ECONNRESET:", idle.reset())
	fmt.Println(busy.finish())
	fmt.Println("the process ends:", process.Wait())
	// Output:
	// the idle client reads ECONNRESET: true
	// a whole answer true
	// the process ends: <nil>
}
