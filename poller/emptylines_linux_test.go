//go:build linux

package poller

import (
	"net/http"
	"testing"
)

// Behind content there can be two empty lines, and one before any request.
func TestEmptyLines(t *testing.T) {
	const post = "POST /first HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
	const chunked = "POST /first HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
	const get = "GET /first HTTP/1.1\r\nHost: x\r\n\r\n"
	tests := []struct {
		name, first, lines string
		status             int // of the second answer
	}{
		{"content, none", post, "", 200},
		{"content, one", post, "\r\n", 200},
		{"content, two", post, "\r\n\r\n", 200},
		{"content, three", post, "\r\n\r\n\r\n", 400},
		{"content, bare LF", post, "\n\n", 400},
		{"chunks, two", chunked, "\r\n\r\n", 200},
		{"none, one", get, "\r\n", 200},
		{"none, two", get, "\r\n\r\n", 400},
	}
	for name, s := range map[string]*served{
		"loop":    start(t, &Server{LoopHandler: LoopHandlerFunc(hello)}),
		"handler": start(t, &Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}),
	} {
		for _, tt := range tests {
			for _, whole := range []bool{true, false} {
				t.Run(name+"/"+tt.name, func(t *testing.T) {
					c := s.dial(t)
					_ = c.SetNoDelay(true)
					send := func(text string) {
						for i := 0; !whole && i < len(text); i++ {
							if _, err := c.Write([]byte{text[i]}); err != nil {
								return // refused before the end
							}
						}
						if whole {
							c.send(text)
						}
					}
					send(tt.first)
					if !whole {
						c.answer("POST") // so that what follows comes by itself
					}
					send(tt.lines + "GET /second HTTP/1.1\r\nHost: x\r\n\r\n")
					if whole {
						c.answer("POST")
					}
					if res, _ := c.answer("GET"); res.StatusCode != tt.status {
						t.Errorf("got %s, want %d", res.Status, tt.status)
					}
				})
			}
		}
	}
}
