//go:build linux

package poller_test

import (
	"fmt"
	"net/http"
	"strings"

	"rstserver/httpcodec"
	"rstserver/poller"
)

// An answer that needs no waiting, on the event loop. What is appended to the answer is copied: neither w nor r lives on.
func ExampleLoopHandler() {
	srv := &poller.Server{LoopHandler: poller.LoopHandlerFunc(func(w *poller.Responder, r *poller.Request) {
		w.SetContentType("text/plain")
		fmt.Fprintf(w, "%s %s, %d bytes", r.Method, r.Path, len(r.Body))
	})}
	addr, _ := serve(srv)
	c := dial(addr)
	defer c.Close()

	fmt.Fprint(c, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"+"GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
	for range 2 {
		content, _ := c.answer()
		fmt.Println(content)
	}
	fmt.Println(srv.Close())
	// Output:
	// POST /a, 5 bytes
	// GET /b, 0 bytes
	// <nil>
}

// OnLoop says which of two handlers answers, from the head of the request: what may wait is left to the http.Handler.
func ExampleServer_onLoop() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "on a worker, which may block") })
	srv := &poller.Server{
		Handler:     mux,
		LoopHandler: poller.LoopHandlerFunc(func(w *poller.Responder, r *poller.Request) { w.WriteString("on the loop") }),
		OnLoop:      func(r *httpcodec.Request) bool { return strings.HasPrefix(string(r.Path), "/live") },
	}
	addr, _ := serve(srv)
	c := dial(addr)
	defer c.Close()

	for _, path := range []string{"/live", "/report"} {
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		content, _ := c.answer()
		fmt.Println(content)
	}
	fmt.Println(srv.Close())
	// Output:
	// on the loop
	// on a worker, which may block
	// <nil>
}
