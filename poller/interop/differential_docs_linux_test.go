//go:build linux

package interop

import (
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// docBehaviours are sentences of net/http's documentation that no other behaviour is about.
var docBehaviours = []behaviour{
	{name: "Changing the header map after a call to WriteHeader has no effect unless the status code was of the 1xx class", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.Header().Set("X-First", "1")
			w.WriteHeader(http.StatusProcessing)
			w.Header().Set("X-First", "2")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Set("X-Second", "2")
			w.WriteHeader(http.StatusAccepted)
			w.Header().Set("X-Third", "3")
			w.Header().Del("X-First")
			write(w, tr, "ok")
		}},
	{name: "Write adds a Content-Type of the initial 512 bytes of written data", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			page := "<!-- " + strings.Repeat("x", 200) + " --><html>"
			for i := range len(page) {
				_, _ = io.WriteString(w, page[i:i+1])
			}
			write(w, tr, strings.Repeat("y", 100_000))
		}},
	{name: "if the size of all written data is under a few KB and there are no Flush calls, Content-Length is added", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			for range 20 {
				write(w, tr, strings.Repeat("x", 100))
			}
		}},
	{name: "A ResponseWriter may not be used after ServeHTTP has returned", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			write(w, tr, "first")
			go func() {
				time.Sleep(10 * time.Millisecond) // whenever it comes, the next answer has nothing of it
				defer func() { _ = recover() }()
				_, _ = io.WriteString(w, "late")
			}()
		}},
	{name: "a server received a request with header lines", head: true,
		request: "GET / HTTP/1.1\r\nHost: example.com\r\naccept-encoding: gzip, deflate\r\nAccept-Language: en-us\r\nfOO: Bar\r\nfoo: two\r\n\r\n"},
	{name: "the Request Body is always non-nil but will return EOF immediately when no body is present", request: get1,
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			n, err := r.Body.Read(make([]byte, 1))
			tr.notef("%d: %s, NoBody %v", n, errorClass(err), r.Body == http.NoBody)
			write(w, tr, "ok")
		}},
	{name: "calling Close should unblock a Read waiting for input", method: "POST",
		request: "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\nhello",
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			_, _ = io.ReadFull(r.Body, make([]byte, 5))
			// net/http's Close waits for the client, so that has a time.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			read := make(chan error)
			go func() {
				_, err := io.ReadAll(r.Body)
				read <- err
			}()
			_ = r.Body.Close()
			tr.notef("the read ended: %v", <-read != nil)
			w.Header().Set("Connection", "close")
		}},
	{name: "the Trailer map initially contains only the trailer keys, with nil values", request: chunkedPost + chunks, method: "POST",
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			var keys []string
			for k, v := range r.Trailer {
				keys = append(keys, k)
				tr.notef("nil: %v", v == nil)
			}
			slices.Sort(keys)
			tr.notef("%v", keys)
			readAll(r, tr)
			tr.notef("%v", r.Trailer)
		}},
	{name: "MaxBytesReader returns a *MaxBytesError and closes the underlying reader when its Close method is called", request: post("hello"),
		method: "POST", handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			limited := http.MaxBytesReader(w, r.Body, 10)
			_, err := io.ReadFull(limited, make([]byte, 2))
			tr.notef("%s; close: %s", errorClass(err), errorClass(limited.Close()))
			_, err = r.Body.Read(make([]byte, 1))
			tr.notef("%s", errorClass(err))
			_, err = io.ReadAll(http.MaxBytesReader(w, io.NopCloser(strings.NewReader("hello")), 3))
			var tooLarge *http.MaxBytesError
			tr.notef("%v, %d", errors.As(err, &tooLarge), tooLarge.Limit)
			w.Header().Set("Connection", "close")
		}},
	{name: "Setting the write deadline after it has been exceeded will not extend it", request: get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			rc := http.NewResponseController(w)
			_ = rc.SetWriteDeadline(time.Now().Add(-time.Second))
			_, err := w.Write(make([]byte, 100_000))
			tr.notef("deadline %v", errors.Is(err, os.ErrDeadlineExceeded))
			_ = rc.SetWriteDeadline(time.Now().Add(time.Hour))
			_, err = w.Write(make([]byte, 100_000))
			tr.notef("failed %v", err != nil)
		}, differences: []difference{{whyReset, "end: FIN", "end: RST"}}},
	{name: "a handler can find its server, its address, and a context that ends when it has returned", request: get1,
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			_, is := r.Context().Value(http.ServerContextKey).(*http.Server)
			tr.notef("*http.Server %v, address %v, ended %v", is, r.Context().Value(http.LocalAddrContextKey) != nil, r.Context().Err())
			write(w, tr, "ok")
		}, differences: []difference{{"it is a *poller.Server", "*http.Server true", "*http.Server false"}}},
}
