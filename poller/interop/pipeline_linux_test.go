//go:build linux

package interop

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"rstserver/httpcodec"
	"rstserver/internal/lingertest"
	"rstserver/poller"
)

// bothHandlers is a server whose requests below /loop are answered on the event loops, and all others by an http.Handler. The
// answers of both are the request-target and the content.
func bothHandlers(t testing.TB) *served {
	return start(t, &poller.Server{
		OnLoop: func(r *httpcodec.Request) bool { return bytes.HasPrefix(r.Path, []byte("/loop")) },
		LoopHandler: poller.LoopHandlerFunc(func(w *poller.Responder, r *poller.Request) {
			_, _ = w.Write(r.RequestTarget)
			_, _ = w.Write(r.Body)
		}),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.RequestURI)
			switch r.URL.Path {
			case "/flush":
				_ = http.NewResponseController(w).Flush()
			case "/unread":
				return
			case "/big":
				_, _ = w.Write(big)
			}
			_, _ = io.Copy(w, r.Body)
		}),
	})
}

// exchange is a request and what the content of its answer is.
type exchange struct {
	method, request, want string
	last                  bool // the answer can be the last: nobody reads the content, and its end may come too late to be skipped
}

// randomExchange makes an exchange that can be told from all others by its number.
func randomExchange(random *rand.Rand, number int) exchange {
	path := []string{"/loop", "/loop", "/handler", "/flush", "/unread", "/big"}[random.IntN(6)]
	target := fmt.Sprintf("%s?%d", path, number)
	want := target
	if path == "/big" {
		want += string(big)
	}
	content := strings.Repeat("c", random.IntN(3000))
	if path != "/unread" {
		want += content
	}
	switch random.IntN(4) {
	case 0:
		return exchange{"POST", fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", target,
			len(content), content), want, false}
	case 1:
		chunk := ""
		if len(content) > 0 {
			chunk = fmt.Sprintf("%x\r\n%s\r\n", len(content), content)
		}
		return exchange{"POST", fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n",
			target, chunk), want, path == "/unread"}
	case 2:
		return exchange{"HEAD", fmt.Sprintf("HEAD %s HTTP/1.1\r\nHost: x\r\n\r\n", target), "", false}
	}
	if path != "/unread" {
		want = strings.TrimSuffix(want, content)
	}
	return exchange{"GET", fmt.Sprintf("GET %s HTTP/1.1\r\nHost: x\r\n\r\n", target), want, false}
}

// The answers to pipelined requests come in the order of the requests, whoever gives them, and however they are cut.
func TestPipelined(t *testing.T) {
	s := bothHandlers(t)
	var all sync.WaitGroup
	for seed := range 12 {
		c := s.dial(t)
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(seed)))
			var exchanges []exchange
			var requests strings.Builder
			for number := range lingertest.Times(20, 60) {
				e := randomExchange(random, number)
				exchanges = append(exchanges, e)
				requests.WriteString(e.request)
			}
			sent := make(chan error, 1)
			go func() { sent <- sendInPieces(c, random, requests.String()) }()
			over := false
			for number, e := range exchanges {
				res, err := http.ReadResponse(c.in, &http.Request{Method: e.method})
				if err != nil {
					t.Errorf("connection %d, answer %d: %v", seed, number, err)
					break
				}
				got, err := io.ReadAll(res.Body)
				if err != nil || string(got) != e.want {
					t.Errorf("connection %d, answer %d to %.60q: %d bytes, %.60q, %v; want %d bytes, %.60q",
						seed, number, e.request, len(got), got, err, len(e.want), e.want)
					break
				}
				if over = e.last && res.Close; over {
					break
				}
			}
			if t.Failed() || over {
				_ = c.SetLinger(0)
				_ = c.Close() // for the sender
			}
			if err := <-sent; err != nil && !t.Failed() && !over {
				t.Errorf("connection %d: sending: %v", seed, err)
			}
		})
	}
	all.Wait()
}

// sendInPieces sends s cut at random places.
func sendInPieces(w io.Writer, random *rand.Rand, s string) error {
	for len(s) > 0 {
		n := min(len(s), 1+random.IntN(1<<random.IntN(14)))
		if _, err := io.WriteString(w, s[:n]); err != nil {
			return err
		}
		s = s[n:]
	}
	return nil
}

// Clients that send one request after the other on a connection, as load generators do.
func TestKeepAlive(t *testing.T) {
	s := bothHandlers(t)
	var all sync.WaitGroup
	for i := range 32 {
		c := s.dial(t)
		all.Go(func() {
			for j := range lingertest.Times(20, 60) {
				target := fmt.Sprintf("/%s?%d.%d", []string{"loop", "handler"}[(i+j)%2], i, j)
				if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", target); err != nil {
					t.Error(err)
					return
				}
				res, err := http.ReadResponse(c.in, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := io.ReadAll(res.Body); string(got) != target || err != nil {
					t.Errorf("the answer to %s is %q, %v", target, got, err)
					return
				}
			}
		})
	}
	all.Wait()
}
