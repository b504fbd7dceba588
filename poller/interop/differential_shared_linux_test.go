//go:build linux

package interop

import (
	"bytes"
	"io"
	"net/http"
)

// Heads of plain requests.
const (
	get1  = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	head1 = "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
	get0  = "GET / HTTP/1.0\r\n\r\n"
	keep0 = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
)

// Reasons that several behaviours have in common.
const (
	whyReset   = "an answer that breaks off ends with RST, so that nobody takes it for whole"
	whyStatus  = "a status code is at most 599 (RFC 9110, section 15)"
	whyLength  = "the framing is the server's to decide, and it knows the length in the end"
	whyNone205 = "205 has no content (RFC 9110, section 15.3.6)"
	whyTrailer = "a short answer has not been sent when the handler returns, so that it can have trailers"
	whyCloses0 = "the side that will close says so in HTTP/1.0 too (RFC 9112, section 9.6)"
)

// Pieces of transcripts.
const (
	sentinelAnswer = "answer: HTTP/1.1 200 OK\nfield: Connection: close\nfield: Content-Length: 8\n" +
		"field: Content-Type: text/plain; charset=utf-8\nfield: Date: NOW\ncontent: \"sentinel\"\n"
	helloAnswer = "field: Content-Length: 5\nfield: Content-Type: text/plain; charset=utf-8\nfield: Date: NOW\ncontent: \"hello\""
)

// saysClose is a difference in answers to HTTP/1.0. next is the line behind the field.
func saysClose(next string) difference {
	return difference{whyCloses0, next, "field: Connection: close\n" + next}
}

// big is content that fits into no buffer of a server.
var big = bytes.Repeat([]byte("0123456789abcdef"), 40<<10)

// write is io.WriteString that notes how it ended.
func write(w io.Writer, tr *transcript, s string) {
	n, err := io.WriteString(w, s)
	tr.notef("write %d of %d: %s", n, len(s), errorClass(err))
}

func flush(w http.ResponseWriter, tr *transcript) {
	tr.notef("flush: %s", errorClass(http.NewResponseController(w).Flush()))
}
