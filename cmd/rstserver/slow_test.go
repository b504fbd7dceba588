package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSlow(t *testing.T) {
	for _, method := range []string{"GET", "HEAD"} {
		synctest.Test(t, func(t *testing.T) {
			w, began := httptest.NewRecorder(), time.Now()
			(&site{}).ServeHTTP(w, httptest.NewRequest(method, "/slow?ms=1500", nil))
			if took := time.Since(began); took != 1500*time.Millisecond {
				t.Errorf("%s took %s, want 1.5s", method, took)
			}
			if w.Code != 200 || w.Body.String() != "slept 1500 ms\n" || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("%s = %d %q, %s", method, w.Code, w.Body, w.Header())
			}
		})
	}
}

// flushes counts the bytes of an answer at each flush.
type flushes struct {
	*httptest.ResponseRecorder
	began time.Time
	at    []int
	when  []time.Duration
}

func (f *flushes) Flush() {
	f.at = append(f.at, f.Body.Len())
	f.when = append(f.when, time.Since(f.began))
}

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &flushes{ResponseRecorder: httptest.NewRecorder(), began: time.Now()}
		(&site{}).ServeHTTP(w, httptest.NewRequest("GET", "/stream?chunks=4&bytes=300&ms=250", nil))
		if len(w.at) != 4 {
			t.Fatalf("flushed %d times, want 4", len(w.at))
		}
		for i, n := range w.at {
			if want := time.Duration(i) * 250 * time.Millisecond; n != 300*(i+1) || w.when[i] != want {
				t.Errorf("flush %d at %d bytes after %s, want %d after %s", i, n, w.when[i], 300*(i+1), want)
			}
		}
		checkCounting(t, w.Body.String(), 1200)
	})
	w := httptest.NewRecorder()
	(&site{}).ServeHTTP(w, httptest.NewRequest("HEAD", "/stream?chunks=4&bytes=300&ms=86400000", nil))
	if w.Code != 200 || w.Body.Len() > 0 || w.Header().Get("Content-Type") != "application/octet-stream" {
		t.Errorf("HEAD = %d %q, %s", w.Code, w.Body, w.Header())
	}
}

// TestCancelled has requests end early: what has begun must not look whole.
func TestCancelled(t *testing.T) {
	for target, want := range map[string]any{
		"/slow?ms=86400000":                     nil,
		"/stream?chunks=2&bytes=10&ms=86400000": http.ErrAbortHandler,
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			w, ended := httptest.NewRecorder(), make(chan any)
			go func() {
				defer func() { ended <- recover() }()
				(&site{}).ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", target, nil))
			}()
			synctest.Wait()
			began := time.Now()
			cancel()
			if got := <-ended; got != want || time.Since(began) != 0 {
				t.Errorf("%s ended with %v after %s, want %v at once", target, got, time.Since(began), want)
			}
			if whole := strings.HasPrefix(w.Body.String(), "slept"); whole {
				t.Errorf("%s wrote %q", target, w.Body)
			}
		})
	}
}

// failing is a client that is gone.
type failing struct{ *httptest.ResponseRecorder }

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestStreamToNobody(t *testing.T) {
	defer func() {
		if got := recover(); got != http.ErrAbortHandler {
			t.Errorf("stream ended with %v, want %v", got, http.ErrAbortHandler)
		}
	}()
	stream(failing{httptest.NewRecorder()}, httptest.NewRequest("GET", "/stream?chunks=2&bytes=10&ms=86400000", nil))
}

func TestQueries(t *testing.T) {
	for _, tc := range []struct {
		target string
		want   string // in the answer
	}{
		{"/slow", "ms has to be a number from 0 to 86400000; write /slow?ms=1000"},
		{"/slow?ms=", "ms has to be"},
		{"/slow?ms=-1", "ms has to be"},
		{"/slow?ms=1.5", "ms has to be"},
		{"/slow?ms=1s", "ms has to be"},
		{"/slow?ms=86400001", "ms has to be"},
		{"/slow?ms=99999999999999999999", "ms has to be"},
		{"/slow?ms=1;ms=2", "the query cannot be understood; write /slow?ms=1000"},
		{"/stream", "chunks has to be a number from 1 to 1000000; write /stream?chunks=10&bytes=1000&ms=100"},
		{"/stream?chunks=0&bytes=1&ms=1", "chunks has to be"},
		{"/stream?chunks=1000001&bytes=1&ms=1", "chunks has to be"},
		{"/stream?chunks=1", "bytes has to be a number from 1 to 1048576"},
		{"/stream?chunks=1&bytes=0&ms=1", "bytes has to be"},
		{"/stream?chunks=1&bytes=1048577&ms=1", "bytes has to be"},
		{"/stream?chunks=1&bytes=1", "ms has to be a number from 0 to 86400000"},
		{"/stream?chunks=1&bytes=1&ms=-1", "ms has to be"},
		{"/stream?%zz", "the query cannot be understood; write /stream?chunks"},
	} {
		w := httptest.NewRecorder()
		(&site{}).ServeHTTP(w, httptest.NewRequest("GET", tc.target, nil))
		if body := w.Body.String(); w.Code != 400 || !strings.HasPrefix(body, "400 ") || !strings.Contains(body, tc.want) {
			t.Errorf("GET %s = %d %q, want 400 %q", tc.target, w.Code, body, tc.want)
		}
	}
}
