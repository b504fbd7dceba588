//go:build linux

package poller

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
)

// BenchmarkRoundTrip is a request and its answer over one connection: the client's system calls, the way through a loop and,
// for workers, through a worker and back. One operation is all that is pipelined.
func BenchmarkRoundTrip(b *testing.B) {
	const request = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
	onWorker := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "Hello, World!")
	})
	for _, handler := range []struct {
		name    string
		srv     func() *Server
		scraped string // not empty: somebody reads what is counted, and more often than Prometheus does
	}{
		{"loop", func() *Server { return &Server{LoopHandler: LoopHandlerFunc(hello)} }, ""},
		{"loop", func() *Server { return &Server{LoopHandler: LoopHandlerFunc(hello)} }, "/scraped"},
		{"worker", func() *Server { return &Server{Handler: onWorker} }, ""},
		{"worker", func() *Server { return &Server{Handler: onWorker} }, "/scraped"},
	} {
		for _, depth := range []struct {
			name string
			n    int
		}{{"1", 1}, {"16", 16}} {
			b.Run("handler="+handler.name+"/pipelined="+depth.name+handler.scraped, func(b *testing.B) {
				srv := handler.srv()
				srv.Logger = slog.New(slog.DiscardHandler)
				s := start(b, srv)
				c := s.dial(b)
				if handler.scraped != "" {
					ended, over := make(chan struct{}), make(chan struct{})
					go func() {
						defer close(over)
						ticker := time.NewTicker(100 * time.Millisecond)
						defer ticker.Stop()
						for {
							select {
							case <-ticker.C:
								_ = s.Stats()
							case <-ended:
								return
							}
						}
					}()
					defer func() { close(ended); <-over }()
				}
				_ = c.SetDeadline(time.Time{}) // a run may take as long as it is asked to
				answers := make([]byte, depth.n*answerLength(b, c, request))
				batch := []byte(strings.Repeat(request, depth.n))
				b.SetBytes(int64(len(batch)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := c.Write(batch); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(c, answers); err != nil {
						b.Fatal(err)
					}
				}
				if n := strings.Count(string(answers), "Hello, World!"); n != depth.n {
					b.Fatalf("%d answers in %q", n, answers)
				}
			})
		}
	}
}

// BenchmarkCount is what it takes to count an answer, which is done for each, whether or not somebody reads it.
func BenchmarkCount(b *testing.B) {
	c := new(counts)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.answered(200, time.Duration(i&0xfffff))
	}
}

// answerLength is how long the answer is, head and content. All answers to the request are as long.
func answerLength(b *testing.B, c *client, request string) int {
	c.send(request)
	answer := make([]byte, 4096)
	for n := 0; ; {
		read, err := c.Read(answer[n:])
		if err != nil {
			b.Fatal(err)
		}
		if n += read; strings.HasSuffix(string(answer[:n]), "Hello, World!") {
			return n
		}
	}
}
