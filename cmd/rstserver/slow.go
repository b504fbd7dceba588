package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	maxPause       = 24 * 60 * 60 * 1000 // milliseconds
	maxChunks      = 1_000_000
	maxStreamChunk = 1 << 20
)

// slow answers after as many milliseconds as the query's ms says.
func slow(w http.ResponseWriter, r *http.Request) {
	n := numbers(w, r, "/slow?ms=1000", parameter{"ms", 0, maxPause})
	if n == nil {
		return
	}
	if !pause(r.Context(), n[0]) {
		return // whoever has cancelled the request answers it
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "slept %d ms\n", n[0])
}

// stream answers with chunks of the content of /bytes, each sent for itself.
func stream(w http.ResponseWriter, r *http.Request) {
	n := numbers(w, r, "/stream?chunks=10&bytes=1000&ms=100", parameter{"chunks", 1, maxChunks},
		parameter{"bytes", 1, maxStreamChunk}, parameter{"ms", 0, maxPause})
	if n == nil {
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if r.Method == http.MethodHead {
		return
	}
	chunks, size, ms := n[0], n[1], n[2]
	out := http.NewResponseController(w)
	for i := range chunks {
		if i > 0 && !pause(r.Context(), ms) {
			cut()
		}
		if _, err := w.Write(sharedBytes(i*size, size)); err != nil {
			cut()
		}
		if err := out.Flush(); err != nil {
			cut()
		}
	}
}

// sharedBytes returns so many bytes of the content of /bytes, from the given one on. All answers share the memory: a request of some bytes must not
// take a MiB.
func sharedBytes(from, size int) []byte { return allSharedBytes()[from%256:][:size] }

var allSharedBytes = sync.OnceValue(func() []byte {
	b := make([]byte, 255+maxStreamChunk)
	_, _ = new(counting).Read(b)
	return b
})

// cut ends an answer that has begun. An ordinary return would make what the client has got look whole.
func cut() { panic(http.ErrAbortHandler) }

// pause waits for that many milliseconds, and reports whether it has: the request can be cancelled before.
func pause(ctx context.Context, ms int) bool {
	if ms == 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
