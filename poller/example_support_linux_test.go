//go:build linux

package poller_test

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"syscall"

	"rstserver/poller"
)

// serve starts srv on its address, or some port of 127.0.0.1, and returns the address, and what gets the result of Serve.
func serve(srv *poller.Server) (addr string, ended <-chan error) {
	serving, result := make(chan netip.AddrPort, 1), make(chan error, 1)
	srv.Addr = cmp.Or(srv.Addr, "127.0.0.1:0")
	srv.Serving = func(a netip.AddrPort) { serving <- a }
	go func() { result <- srv.ListenAndServe() }()
	return (<-serving).String(), result
}

// echo answers with the request's content.
func echo(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }

// client is one connection to a server.
type client struct {
	net.Conn
	answers *bufio.Reader
}

func dial(addr string) client {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		log.Fatal(err)
	}
	return client{c, bufio.NewReader(c)}
}

// answer reads one. last: it says "Connection: close".
func (c client) answer() (content string, last bool) {
	resp, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		log.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	return string(b), resp.Close
}

// post asks for target, without a content.
func (c client) post(target string) (content string, last bool) {
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", target)
	return c.answer()
}

// idle returns a client that has had an answer.
func idle(addr string) client {
	c := dial(addr)
	c.post("/")
	return c
}

// inFlight returns a client that has asked for an echo, whose handler waits for the content: it has been asked for it.
func inFlight(addr string) client {
	c := dial(addr)
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\nExpect: 100-continue\r\n\r\n")
	c.answer() // 100 (Continue)
	return c
}

// finish gives the handler the content, and returns the answer. The connection is closed then.
func (c client) finish() (content string, last bool) {
	defer c.Close()
	fmt.Fprint(c, "a whole answer")
	return c.answer()
}

// reset waits for the end of the connection, closes it, and reports whether it came with RST.
func (c client) reset() bool {
	defer c.Close()
	_, err := c.answers.ReadByte()
	return errors.Is(err, syscall.ECONNRESET)
}

// programVariable makes the test binary the program of an example.
const programVariable = "RSTSERVER_POLLER_EXAMPLE"

// program runs main as a process of its own when launch wants it. It is called by init. The process ends at the latest
// with the one that has started it.
func program(name string, main func()) {
	if os.Getenv(programVariable) != name {
		return
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	main()
	os.Exit(0)
}

// serving is the Server.Serving of a program.
func serving(addr netip.AddrPort) { fmt.Println(addr) }

// launch starts a program on addr, and returns when it serves. Its Wait is to be called.
func launch(name, addr string) (cmd *exec.Cmd, serves string) {
	cmd = exec.Command("/proc/self/exe", addr)
	// The race detector waits for a second at every exit otherwise.
	cmd.Env = append(os.Environ(), programVariable+"="+name, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil {
		log.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		log.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		log.Fatal(err)
	}
	if _, err := fmt.Fscan(out, &serves); err != nil {
		log.Fatal(err)
	}
	return cmd, serves
}
