//go:build linux

package poller

import (
	"strings"
	"testing"
)

// A request whose content comes later is the client's own still when its loop has served others in between, whose bytes are where
// its head was.
func TestHeadOutlivesTheBuffer(t *testing.T) {
	s := start(t, &Server{Loops: 1, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
		for _, part := range [][]byte{r.Method, r.RequestTarget, r.Path, r.Query, r.Host, r.Get("A"), r.Get("Empty"), r.Body} {
			_, _ = w.WriteString(string(part) + "\n")
		}
	})})
	other := strings.Repeat("!", 8<<10)
	for _, tt := range []struct{ target, want string }{
		{"/p?q", "POST\n/p?q\n/p\nq\nx\n1\n\nhello\n"},
		{"http://y", "POST\nhttp://y\n/\n\ny\n1\n\nhello\n"},
	} {
		c := s.dial(t)
		c.send("POST " + tt.target + " HTTP/1.1\r\nHost: x\r\nA: 1\r\nEmpty:\r\nContent-Length: 5\r\n\r\nhel")
		s.waitState(t, content)
		s.dial(t).get("/" + other)
		c.send("lo")
		if _, body := c.answer("POST"); body != tt.want {
			t.Errorf("the handler has got %q, want %q", body, tt.want)
		}
	}
}
