//go:build linux

package poller_test

import (
	"fmt"
	"log"
	"net/http"
	"net/netip"
	"os"
	"os/exec"

	"rstserver/linger"
	"rstserver/poller"
)

func init() { program("killed", killed) }

// killed is a program that does nothing for its end: the server's listener is armed.
func killed() {
	srv := &poller.Server{Addr: os.Args[1], Handler: http.HandlerFunc(echo), Serving: serving}
	log.Fatal(srv.ListenAndServe())
}

// The process is killed from a shell: the kernel resets its connections, and the port is free.
func Example_kill() {
	process, addr := launch("killed", "127.0.0.1:0")
	idle, busy := idle(addr), inFlight(addr)

	if err := exec.Command("sh", "-c", fmt.Sprint("kill -9 ", process.Process.Pid)).Run(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(process.Wait())
	fmt.Println("clients read ECONNRESET:", idle.reset(), busy.reset())
	fmt.Println("a bind without SO_REUSEADDR:", linger.CheckFree(netip.MustParseAddrPort(addr)))
	// Output:
	// signal: killed
	// clients read ECONNRESET: true true
	// a bind without SO_REUSEADDR: <nil>
}
