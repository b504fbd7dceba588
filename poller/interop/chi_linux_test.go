//go:build linux

package interop

import (
	"bytes"
	"compress/gzip"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"rstserver/internal/lingertest"
)

// newRouter returns a router with the middleware that most who use chi use, and its log.
func newRouter() (*chi.Mux, *lingertest.Output) {
	requests := new(lingertest.Output)
	r := chi.NewRouter()
	r.Use(middleware.RequestID)
	r.Use(middleware.RequestLogger(&middleware.DefaultLogFormatter{Logger: log.New(requests, "", 0), NoColor: true}))
	r.Use(middleware.Recoverer)
	r.Use(middleware.Compress(5))
	r.Use(middleware.StripSlashes)
	return r, requests
}

func TestChi(t *testing.T) {
	text := strings.Repeat("compressible ", 10000)
	r, requests := newRouter()
	r.Get("/items/{id}", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, chi.URLParam(r, "id")) })
	r.Get("/text", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, text)
	})
	r.Get("/stream", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		for range 3 {
			_, _ = io.WriteString(w, "line\n")
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Errorf("Flush() = %v", err)
			}
		}
	})
	r.Get("/panic", func(http.ResponseWriter, *http.Request) { panic("on purpose") })
	r.Get("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	r.With(middleware.Timeout(time.Millisecond)).Get("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	r.Post("/echo", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	r.Get("/upgrade", gorillaEcho)
	s := serve(t, r)
	c := newClient(t)

	if got := get(t, c, s.url+"/items/7/", 200); got != "7" {
		t.Errorf("the parameter is %q", got)
	}
	get(t, c, s.url+"/none", 404)
	if res, _ := do(t, c, newRequest(t, "DELETE", s.url+"/items/7", nil)); res.StatusCode != 405 {
		t.Errorf("DELETE = %s, want 405", res.Status)
	}
	for path, want := range map[string]string{"/text": text, "/stream": "line\nline\nline\n"} {
		res, got := do(t, c, newRequest(t, "GET", s.url+path, nil, "Accept-Encoding", "gzip"))
		if res.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s is not compressed: %v", path, res.Header)
		}
		z, err := gzip.NewReader(strings.NewReader(got))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(z); string(b) != want || err != nil {
			t.Errorf("%s decompresses to %.100q, %v", path, b, err)
		}
	}
	get(t, c, s.url+"/panic", 500)
	get(t, c, s.url+"/slow", 504)
	if _, got := do(t, c, newRequest(t, "POST", s.url+"/echo", bytes.NewReader(big))); got != string(big) {
		t.Errorf("the echo has %d bytes, want %d", len(got), len(big))
	}
	if got, err := dialSocket(t, "gorilla", s.url+"/upgrade").roundTrip([]byte("hello")); string(got) != "hello" || err != nil {
		t.Errorf("a WebSocket through the middleware: %q, %v", got, err)
	}
	abort := s.dial(t)
	abort.send("GET /abort HTTP/1.1\r\nHost: x\r\n\r\n")
	abort.wantReset()

	for _, want := range []string{`"GET ` + s.url + `/items/7/ HTTP/1.1" from 127.0.0.1:`, " - 404 ", " - 405 ", " - 500 ",
		" - 504 "} {
		if !strings.Contains(requests.String(), want) {
			t.Errorf("the middleware's log lacks %q:\n%s", want, requests)
		}
	}
}
