//go:build linux

package poller_test

import (
	"fmt"
	"log"
	"net/http"
	"net/netip"
	"os"

	"rstserver/linger"
	"rstserver/poller"
)

func init() { program("exit", exit) }

// exit is a program that ends with a code as soon as it is asked to, with no answer to anybody.
func exit() {
	srv := &poller.Server{Addr: os.Args[1], Serving: serving}
	http.HandleFunc("/", echo)
	http.HandleFunc("POST /exit", func(http.ResponseWriter, *http.Request) { os.Exit(3) })
	log.Fatal(srv.ListenAndServe())
}

// As process.exit with a code does it: nothing is told to end, the kernel resets the connections, and the port is free.
func Example_exit() {
	process, addr := launch("exit", "127.0.0.1:0")
	idle, asking := idle(addr), dial(addr)

	fmt.Fprint(asking, "POST /exit HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	fmt.Println(process.Wait())
	fmt.Println("clients read ECONNRESET:", idle.reset(), asking.reset())
	fmt.Println("a bind without SO_REUSEADDR:", linger.CheckFree(netip.MustParseAddrPort(addr)))
	// Output:
	// exit status 3
	// clients read ECONNRESET: true true
	// a bind without SO_REUSEADDR: <nil>
}
