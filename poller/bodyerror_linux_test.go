//go:build linux

package poller

import (
	"errors"
	"io"
	"net/http"
	"testing"
)

// A content that is at fault is so for every Read, also where the server cannot answer any more.
func TestBodyErrorStays(t *testing.T) {
	errs := make(chan [2]error, 1)
	s := start(t, &Server{MaxBodyBytes: 4, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		_, first := io.Copy(io.Discard, r.Body)
		_, second := r.Body.Read(make([]byte, 1))
		errs <- [2]error{first, second}
	})})
	c := s.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
	got := <-errs
	var tooLarge *http.MaxBytesError
	if !errors.As(got[0], &tooLarge) || got[1] != got[0] {
		t.Errorf("Read = %v, then %v", got[0], got[1])
	}
}
