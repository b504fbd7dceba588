package main

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

func TestMaxConns(t *testing.T) {
	t.Parallel()
	p := start(t, "--max-conns", "2", "--loops", "2")
	first, second := dial(t, p.addr), dial(t, p.addr)
	first.expectHello()
	second.expectHello()
	third := dial(t, p.addr)
	third.send("%s", head("GET", "/"))
	// Nothing says that somebody waits, so this is the one wait for a time.
	third.unanswered(200 * time.Millisecond)
	first.expectHello()
	second.Close()
	if _, body := third.response("GET"); body != hello {
		t.Errorf("the third connection got %q, want %q", body, hello)
	}
	first.expectHello()
	third.expectHello()
	p.stop()
	first.expectReset()
	third.expectReset()
	expectFree(t, p.addr)
}

// TestMaxConnsOfOne lets many clients share one place.
func TestMaxConnsOfOne(t *testing.T) {
	p := start(t, "--max-conns", "1", "--loops", "2")
	turns(t, p, 100)
	p.stop()
}

// TestShortOfFiles connects many more clients than there are descriptors. Those beyond wait, and nobody is lost.
func TestShortOfFiles(t *testing.T) {
	t.Parallel()
	p := startLimited(t, "64")
	turns(t, p, 300)
	for _, want := range []string{"accepting pauses", "open files are not near their limit any more"} {
		lingertest.Wait(t, "the log says: "+want, func() bool { return p.stderr.count(want) > 0 })
	}
	dial(t, p.addr).expectHello()
	p.stop()
}

// turns connects n clients at once, each of which holds its place until it was answered and some others have come.
func turns(t *testing.T, p *process, n int) {
	t.Helper()
	clients := make([]*client, n)
	for i := range clients {
		clients[i] = dial(t, p.addr)
	}
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() {
			defer c.Close()
			for range 3 {
				if _, err := io.WriteString(c, head("GET", "/")); err != nil {
					t.Error(err)
					return
				}
				var answer strings.Builder
				for !strings.HasSuffix(answer.String(), hello) {
					b, err := c.r.ReadByte()
					if err != nil {
						t.Errorf("answer = %q, then %v", answer.String(), err)
						return
					}
					answer.WriteByte(b)
				}
			}
		})
	}
	all.Wait()
}

// TestShortOfFilesAtTeardown lets go while clients wait in the queue.
func TestShortOfFilesAtTeardown(t *testing.T) {
	p := startLimited(t, "64")
	var clients []*client
	for range 200 {
		clients = append(clients, dial(t, p.addr))
	}
	lingertest.Wait(t, "accepting pauses", func() bool { return p.stderr.count("accepting pauses") == 1 })
	p.stop()
	for _, c := range clients {
		c.expectReset()
	}
	expectFree(t, p.addr)
}

// unanswered expects that nothing comes for a while.
func (c *client) unanswered(d time.Duration) {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(d))
	if b, err := c.r.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Errorf("got %q, %v; want no answer for %s", b, err, d)
	}
	_ = c.SetReadDeadline(time.Now().Add(lingertest.Patience))
}
