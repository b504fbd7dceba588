//go:build linux

package interop

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

const (
	chunkedPost = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Unset\r\n\r\n"
	chunks      = "5\r\nhello\r\n7;ext=1\r\n, world\r\n0\r\nX-Sum: 7\r\nX-Unannounced: 8\r\n\r\n"
	expectPost  = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
)

// post is a request with content.
func post(content string) string {
	return fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(content), content)
}

// readAll reads the content of r and notes it.
func readAll(r *http.Request, tr *transcript) {
	b, err := io.ReadAll(r.Body)
	tr.notef("read %s: %s", brief(b), errorClass(err))
}

// contentBehaviours are about the content of requests.
var contentBehaviours = []behaviour{
	{name: "content read", request: post("hello"), method: "POST",
		head: true, handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			readAll(r, tr)
			n, err := r.Body.Read(make([]byte, 1))
			tr.notef("read %d: %s", n, errorClass(err))
			write(w, tr, "ok")
		}},
	{name: "content read in small pieces", request: post("hello"), method: "POST",
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			n, err := r.Body.Read(nil)
			tr.notef("read %d: %s", n, errorClass(err))
			var b [1]byte
			content := ""
			for err == nil {
				n, err = r.Body.Read(b[:])
				content += string(b[:n])
			}
			tr.notef("%q: %s", content, errorClass(err))
		}},
	{name: "content not read", request: post("hello"), method: "POST"},
	{name: "content half read", request: post("hello"), method: "POST",
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			_, err := io.ReadFull(r.Body, make([]byte, 2))
			tr.notef("%s", errorClass(err))
			write(w, tr, "ok")
		}},
	{name: "content closed", request: post("hello"), method: "POST",
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			tr.notef("%s, %s", errorClass(r.Body.Close()), errorClass(r.Body.Close()))
			readAll(r, tr)
			write(w, tr, "ok")
		}},
	{name: "content read and closed", request: post("hello"), method: "POST",
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			readAll(r, tr)
			tr.notef("%s", errorClass(r.Body.Close()))
			readAll(r, tr)
		}},
	{name: "big content read", request: post(string(big)), method: "POST",
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			readAll(r, tr)
			write(w, tr, "ok")
		}},
	{name: "big content not read", request: post(strings.Repeat("x", 200<<10)), method: "POST"},
	{name: "big content half read", request: post(strings.Repeat("x", 300<<10)), method: "POST",
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			_, err := io.CopyN(io.Discard, r.Body, 150<<10)
			tr.notef("%s", errorClass(err))
		}},
	{name: "big content read after the answer began", request: post(string(big)), method: "POST",
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			write(w, tr, "ok")
			flush(w, tr)
			readAll(r, tr)
		}, differences: []difference{
			{"the head says that the connection ends, as the handler might not read the rest, which is long",
				"field: Content-Type: text/plain; charset=utf-8", "field: Connection: close\nfield: Content-Type: text/plain; charset=utf-8"},
			{"as above", sentinelAnswer, ""},
		}},
	{name: "content behind MaxBytesReader", request: post("hello"), method: "POST",
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			r.Body = http.MaxBytesReader(w, r.Body, 5)
			readAll(r, tr)
			write(w, tr, "ok")
		}},
	{name: "content too large for MaxBytesReader", request: post("hello"), method: "POST",
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			r.Body = http.MaxBytesReader(w, r.Body, 3)
			readAll(r, tr)
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		}, differences: []difference{
			{"the name that RFC 9110 gives it", "413 Request Entity Too Large", "413 Content Too Large"},
			{"the rest is short, and skipped; MaxBytesReader can tell none but net/http that it is not wanted",
				"field: Connection: close\n", ""},
			{"as above", "end: FIN", sentinelAnswer + "end: FIN"},
		}},
	{name: "form", request: "POST /?a=1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 11\r\n\r\na=2&b=%C3%BC",
		method: "POST", handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			tr.notef("%s: %v %v", errorClass(r.ParseForm()), r.Form, r.PostForm)
		}},

	{name: "chunked content read", request: chunkedPost + chunks, method: "POST",
		head: true, handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			readAll(r, tr)
			tr.notef("trailers: %v", r.Trailer)
			write(w, tr, "ok")
		}},
	{name: "chunked content not read", request: chunkedPost + chunks, method: "POST"},
	{name: "chunked content half read", request: chunkedPost + chunks, method: "POST",
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			_, err := io.ReadFull(r.Body, make([]byte, 7))
			tr.notef("%s", errorClass(err))
			write(w, tr, "ok")
		}},
	{name: "big chunked content not read", method: "POST",
		request: chunkedPost + "4b000\r\n" + strings.Repeat("x", 300<<10) + "\r\n0\r\n\r\n"},
	{name: "chunked content not read", method: "POST",
		request: chunkedPost + "32000\r\n" + strings.Repeat("x", 200<<10) + "\r\n0\r\n\r\n"},
	{name: "chunked content not read, and malformed", method: "POST",
		request: chunkedPost + "5\r\nhello!\r\n0\r\n\r\n"},
	{name: "chunked content, none", request: "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		method: "POST",
		head:   true, handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) { readAll(r, tr) }},
	{name: "chunked content, malformed", request: chunkedPost + "xyz\r\n", method: "POST",
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			readAll(r, tr)
			http.Error(w, "bad content", http.StatusBadRequest)
		}, refused: &refusal{"malformed content is answered by the server, where nothing was sent yet", "400 Bad Request",
			"malformed chunk-size", "read \"\": some error\n"}},

	{name: "100-continue read", request: expectPost, waitFor: "100 Continue\r\n\r\n", then: "hello", method: "POST", head: true,
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			readAll(r, tr)
			write(w, tr, "ok")
		}},
	{name: "100-continue, client does not wait", request: expectPost + "hello", method: "POST",
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			readAll(r, tr)
			write(w, tr, "ok")
		}, differences: []difference{{
			"a client that sends content at once needs no 100 (RFC 9110, section 10.1.1)", "answer: HTTP/1.1 100 Continue\n", "",
		}}},
	{name: "100-continue not read", request: expectPost, waitFor: "no thanks", method: "POST",
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			w.WriteHeader(417)
			write(w, tr, "no thanks")
		}},
	{name: "100-continue read after the answer began", request: expectPost, waitFor: "early", then: "hello", method: "POST",
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			write(w, tr, "early")
			flush(w, tr)
			readAll(r, tr)
		}},
	{name: "100-continue by WriteHeader", request: expectPost, waitFor: "100 Continue\r\n\r\n", then: "hello", method: "POST",
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			w.WriteHeader(100)
			readAll(r, tr)
			write(w, tr, "ok")
		}},
	{name: "100-continue without content", request: "GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n"},
	{name: "100-continue of HTTP/1.0",
		request: "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", method: "POST",
		handler: func(w http.ResponseWriter, r *http.Request, tr *transcript) {
			readAll(r, tr)
			write(w, tr, "ok")
		}, differences: []difference{saysClose("field: Content-Length")}},
	{name: "other expectation", request: "GET / HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n",
		refused: &refusal{"", "417 Expectation Failed", "expectation not supported", ""}},
}
