//go:build linux

package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rstserver/httpcodec"
	"rstserver/internal/lingertest"
	"rstserver/poller"
)

// mixedHandler has a bit of everything.
func mixedHandler(dir string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	mux.HandleFunc("/unread", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "unread") })
	mux.HandleFunc("/trailers", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
		fmt.Fprint(w, n)
	})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, _ *http.Request) {
		for range 10 {
			_, _ = io.WriteString(w, "line\n")
			_ = http.NewResponseController(w).Flush()
		}
	})
	mux.HandleFunc("/abort", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "part")
		if r.URL.Query().Has("flush") {
			_ = http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 8\r\n\r\nhijacked")
		_ = rw.Flush()
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(big); err != nil {
				return
			}
		}
	})
	mux.Handle("/timeout", http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		var err error
		for err == nil { // or it could be in time
			_, err = io.WriteString(w, "never sent")
		}
	}), time.Millisecond, "late"))
	mux.Handle("/files/", http.StripPrefix("/files", http.FileServer(http.Dir(dir))))
	return mux
}

// mixedRequest is one kind of request to mixedHandler, with a check of its answer.
type mixedRequest struct {
	name string
	do   func(t testing.TB, c *http.Client, url string) error
}

// exact wants an answer to have a status and a content.
func exact(c *http.Client, req *http.Request, status int, want string) error {
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != status || string(got) != want) {
		err = fmt.Errorf("%s with %d bytes, %.40q, want %d with %d", res.Status, len(got), got, status, len(want))
	}
	return err
}

func mixedRequests(content string) []mixedRequest {
	return []mixedRequest{
		{"loop", func(t testing.TB, c *http.Client, url string) error {
			return exact(c, newRequest(t, "GET", url+"/loop", nil), 200, "on the loop")
		}},
		{"echo", func(t testing.TB, c *http.Client, url string) error {
			content := strings.Repeat("e", rand.IntN(20000))
			return exact(c, newRequest(t, "POST", url+"/echo", strings.NewReader(content)), 200, content)
		}},
		{"big echo", func(t testing.TB, c *http.Client, url string) error {
			return exact(c, newRequest(t, "POST", url+"/echo", strings.NewReader(string(big))), 200, string(big))
		}},
		{"unread", func(t testing.TB, c *http.Client, url string) error {
			content := strings.Repeat("u", rand.IntN(20000))
			return exact(c, newRequest(t, "POST", url+"/unread", strings.NewReader(content)), 200, "unread")
		}},
		{"100-continue", func(t testing.TB, c *http.Client, url string) error {
			req := newRequest(t, "POST", url+"/echo", strings.NewReader("hello"), "Expect", "100-continue")
			continued := false
			req = req.WithContext(httptrace.WithClientTrace(req.Context(),
				&httptrace.ClientTrace{Got100Continue: func() { continued = true }}))
			err := exact(c, req, 200, "hello")
			if err == nil && !continued {
				err = errors.New("no 100 (Continue)")
			}
			return err
		}},
		{"trailers", func(t testing.TB, c *http.Client, url string) error {
			req := newRequest(t, "POST", url+"/trailers", io.MultiReader(strings.NewReader("hello")))
			req.Trailer = http.Header{"X-Sum": {"7"}}
			res, err := c.Do(req)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			got, err := io.ReadAll(res.Body)
			if err == nil && (string(got) != "5" || res.Trailer.Get("X-Sum") != "7") {
				err = fmt.Errorf("%q with trailers %v", got, res.Trailer)
			}
			return err
		}},
		{"stream", func(t testing.TB, c *http.Client, url string) error {
			return exact(c, newRequest(t, "GET", url+"/stream", nil), 200, strings.Repeat("line\n", 10))
		}},
		{"HEAD", func(t testing.TB, c *http.Client, url string) error {
			return exact(c, newRequest(t, "HEAD", url+"/files/big.txt", nil), 200, "")
		}},
		{"range", func(t testing.TB, c *http.Client, url string) error {
			from := rand.IntN(len(content) - 1000)
			to := from + rand.IntN(100000)
			to = min(to, len(content)-1)
			return exact(c, newRequest(t, "GET", url+"/files/big.txt", nil, "Range", fmt.Sprintf("bytes=%d-%d", from, to)), 206,
				content[from:to+1])
		}},
		{"timeout", func(t testing.TB, c *http.Client, url string) error {
			return exact(c, newRequest(t, "GET", url+"/timeout", nil), 503, "late")
		}},
		{"hijack", func(t testing.TB, c *http.Client, url string) error {
			return exact(c, newRequest(t, "GET", url+"/hijack", nil), 200, "hijacked")
		}},
		{"abort", func(t testing.TB, c *http.Client, url string) error {
			// With content that the client cannot send again, so that it does not try.
			req := newRequest(t, "POST", url+"/abort?"+[]string{"", "flush"}[rand.IntN(2)], io.MultiReader(strings.NewReader("hello")))
			if err := exact(c, req, 200, ""); !errors.Is(err, syscall.ECONNRESET) {
				return fmt.Errorf("ended with %w, want ECONNRESET", err)
			}
			return nil
		}},
		{"client gives up", func(t testing.TB, c *http.Client, url string) error {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			res, err := c.Do(newRequest(t, "GET", url+"/endless", nil).WithContext(ctx))
			if err != nil {
				return err
			}
			defer res.Body.Close()
			_, err = io.CopyN(io.Discard, res.Body, int64(rand.IntN(1<<20)))
			return err
		}},
	}
}

func TestMixed(t *testing.T) {
	dir, content := tree(t)
	s := start(t, &poller.Server{
		Handler:     mixedHandler(dir),
		OnLoop:      func(r *httpcodec.Request) bool { return string(r.Path) == "/loop" },
		LoopHandler: poller.LoopHandlerFunc(func(w *poller.Responder, _ *poller.Request) { _, _ = w.WriteString("on the loop") }),
	})
	requests := mixedRequests(content)
	c := newClient(t)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for range lingertest.Times(8, 32) {
				r := requests[rand.IntN(len(requests))]
				if err := r.do(t, c, s.url); err != nil {
					t.Errorf("%s: %v", r.name, err)
					return
				}
			}
		})
	}
	all.Wait()
	lingertest.Wait(t, "all handlers have returned", func() bool { return s.Report().HandlersRunning == 0 })
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	if rep := s.Report(); !rep.Complete() || rep.HandlersRunning != 0 {
		t.Errorf("the Report says %+v", rep)
	}
}
