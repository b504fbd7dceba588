//go:build linux

package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rstserver/bench/internal/process"
)

// streamed is the length of one request or answer: far more than a server may hold.
func streamed() int64 {
	if testing.Short() {
		return 200_000_000
	}
	return 1_000_000_000
}

// maxStreamingMB is all that a server may ever have held resident, its program included.
const maxStreamingMB = 24

// zeros reads as any number of zero bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// What goes through a server does not stay in it, either way, however it is framed.
func TestStreamingMemory(t *testing.T) {
	root, length := t.TempDir(), streamed()
	sparse, err := os.Create(filepath.Join(root, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer sparse.Close()
	if err := sparse.Truncate(length); err != nil {
		t.Fatal(err)
	}
	command, handler := ours("--root", root), plain("sink")
	tests := []struct {
		name   string
		server Server
		target string
		length int64 // of the request's content, -1 for chunks; 0: a GET
	}{
		{"down in chunks", command, fmt.Sprintf("/stream?chunks=%d&bytes=1000000&ms=0", length/1_000_000), 0},
		{"down from the loop", command, fmt.Sprint("/bytes?n=", length), 0},
		{"down from a file", command, "/files/sparse", 0},
		{"up with a length", handler, "/", length},
		{"up in chunks", handler, "/", -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := startServer(t, tt.server, os.Stderr)
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			url := "http://" + p.Addr.String() + tt.target
			r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
			if tt.length != 0 {
				r, err = http.NewRequestWithContext(ctx, "POST", url, io.LimitReader(zeros{}, length))
			}
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = tt.length
			began := time.Now()
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var answer strings.Builder
			n, err := io.Copy(io.MultiWriter(io.Discard, &first{&answer}), resp.Body)
			switch {
			case err != nil || resp.StatusCode != 200:
				t.Fatalf("got %s, %d bytes, %v", resp.Status, n, err)
			case tt.length == 0 && n != length:
				t.Errorf("got %d bytes, want %d", n, length)
			case tt.length != 0 && answer.String() != fmt.Sprintln(length):
				t.Errorf("the server has read %q, want %d", answer.String(), length)
			}
			bytes, err := process.Memory(p.PID(), "VmHWM")
			if err != nil {
				t.Fatal(err)
			}
			most := float64(bytes) / 1e6
			t.Logf("at the most %.1f MB resident, %s", most, time.Since(began).Round(time.Millisecond))
			if most > maxStreamingMB {
				t.Errorf("the server held %.1f MB resident, want at most %d", most, maxStreamingMB)
			}
		})
	}
}

// first keeps the beginning of what is written.
type first struct{ *strings.Builder }

func (f *first) Write(p []byte) (int, error) {
	f.Builder.Write(p[:min(len(p), max(0, 100-f.Len()))])
	return len(p), nil
}
