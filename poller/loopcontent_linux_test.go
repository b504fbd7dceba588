//go:build linux

package poller

import (
	"fmt"
	"strings"
	"testing"

	"rstserver/httpcodec"
	"rstserver/internal/lingertest"
)

// TestLoopContent asks for as much content as each path allows, and more.
func TestLoopContent(t *testing.T) {
	s := start(t, &Server{
		Loops: 1, MaxBodyBytes: 1 << 20,
		LoopContent: func(r *httpcodec.Request) int64 {
			return map[string]int64{"/some": 1000, "/any": -1, "/more": 1 << 30}[string(r.Path)]
		},
		LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) { fmt.Fprintf(w, "%s %d", r.Method, len(r.Body)) }),
	})
	sized := func(n int) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", n, strings.Repeat("a", n)) }
	chunked := func(n int) string {
		return fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", n, strings.Repeat("a", n))
	}
	for _, tt := range []struct {
		name, path, rest string
		status           int
		body             string
		lives            bool // the connection does
	}{
		{"within", "/some", sized(1000), 200, "POST 1000", true},
		{"beyond", "/some", sized(1001), 413, "", false},
		{"chunks beyond", "/some", chunked(1001), 413, "", false},
		{"any", "/any", sized(1 << 20), 200, "POST 1048576", true},
		{"any chunks", "/any", chunked(1 << 20), 200, "POST 1048576", true},
		{"any, but beyond the bound", "/any", "Content-Length: 1048577\r\n\r\n", 413, "", false},
		{"more than the bound", "/more", "Content-Length: 1048577\r\n\r\n", 413, "", false},
		{"none", "/none", sized(1000), 200, "POST 0", true},
		{"none, and much comes", "/none", sized(maxSkip), 200, "POST 0", true},
		{"none, and too much comes", "/none", sized(maxSkip + 1), 200, "POST 0", false},
		{"none, and whole chunks come", "/none", chunked(1000), 200, "POST 0", true},
		{"none, and chunks come that may have no end", "/none", "Transfer-Encoding: chunked\r\n\r\n10\r\n", 200, "POST 0", false},
		{"none, and bad chunks come", "/none", "Transfer-Encoding: chunked\r\n\r\nx\r\n", 400, "", false},
		{"none, and the client asks first", "/none", "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n", 200, "POST 0", false},
		{"none, and beyond the bound", "/none", "Content-Length: 1048577\r\n\r\n", 413, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := s.dial(t)
			go fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\n%s", tt.path, tt.rest)
			res, body := c.answer("POST")
			if res.StatusCode != tt.status || tt.status == 200 && body != tt.body || res.Close == tt.lives {
				t.Fatalf("got %s %q, close %v; want %d %q, %v", res.Status, body, res.Close, tt.status, tt.body, !tt.lives)
			}
			if tt.lives {
				lingertest.Wait(t, "all is sent", func() bool { return c.sendQueue() == 0 })
				if body := c.get("/none"); body != "GET 0" {
					t.Errorf("the next request got %q", body)
				}
			}
		})
	}
}

// The content of a request that is answered ahead is not kept while it comes.
func TestLoopContentIsNotKept(t *testing.T) {
	s := start(t, &Server{
		Loops: 1, LoopContent: func(*httpcodec.Request) int64 { return 0 }, LoopHandler: LoopHandlerFunc(hello),
	})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat("a", 100_000))
	c.answer("GET")
	lingertest.Wait(t, "what has come is thrown away", func() bool { return c.sendQueue() == 0 })
	lingertest.Wait(t, "nothing is buffered", func() bool { return s.tls != nil || s.buffered() == 0 })
	c.send(strings.Repeat("a", 100_000))
	c.get("/")
}

// Without LoopContent and MaxBodyBytes it is a small number of bytes.
func TestDefaultLoopContent(t *testing.T) {
	s := start(t, &Server{Loops: 1})
	for _, n := range []int{DefaultLoopContent, DefaultLoopContent + 1} {
		c := s.dial(t)
		c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", n, strings.Repeat("a", n)))
		if res, _ := c.answer("POST"); (res.StatusCode == 200) != (n <= DefaultLoopContent) {
			t.Errorf("%d bytes: %s", n, res.Status)
		}
	}
}

func TestLoopContentPanics(t *testing.T) {
	s := start(t, &Server{Loops: 1, LoopContent: func(*httpcodec.Request) int64 { panic("on purpose") }, LoopHandler: LoopHandlerFunc(hello)})
	c := s.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na")
	c.wantReset()
	s.dial(t).get("/")
}
