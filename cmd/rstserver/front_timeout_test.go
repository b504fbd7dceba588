package main

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/poller"
	"rstserver/poller/admin"
)

// piped is a listener on which whoever sends a connection to it is accepted.
type piped chan net.Conn

func (p piped) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p piped) Close() error   { close(p); return nil }
func (p piped) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// Who does not take its answer is ended after frontWriteTimeout, and holds no place for ever. What goes on, and is taken, goes on.
func TestFrontWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status := admin.New(admin.Options{Server: func() *poller.Server { return nil }})
		ended := make(chan time.Duration, 1) // how long an answer took
		f := front{log: slog.New(slog.DiscardHandler)}
		server := f.on(nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			start := time.Now()
			if r.URL.Path == "/metrics" {
				_, _ = w.Write(make([]byte, 1<<20))
			} else {
				status.ServeHTTP(w, r)
			}
			ended <- time.Since(start)
		}))
		ln := make(piped)
		go server.Serve(ln)
		defer server.Close()
		ask := func(path string) net.Conn {
			client, served := net.Pipe()
			ln <- served
			_, err := fmt.Fprintf(client, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
			lingertest.Must(t, err)
			return client
		}

		silent := ask("/metrics")
		if took := <-ended; took != frontWriteTimeout {
			t.Errorf("an answer that nobody takes took %s, want %s", took, frontWriteTimeout)
		}
		_ = silent.Close()

		watching := ask("/events")
		r := bufio.NewReader(watching)
		begun := time.Now()
		for n := 0; time.Since(begun) < 10*frontWriteTimeout; n++ {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("the stream ends after %s with %v", time.Since(begun), err)
			}
			if n == 0 && !strings.HasPrefix(line, "HTTP/1.1 200 ") {
				t.Fatalf("/events answers %q", line)
			}
		}
		lingertest.Must(t, watching.SetReadDeadline(time.Time{}))
		if took := <-ended; took > 12*frontWriteTimeout {
			t.Errorf("the stream ends %s after it has begun, though nobody took anything for %s", took, took-10*frontWriteTimeout)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Errorf("the stream ends with %v", err)
		}
	})
}
