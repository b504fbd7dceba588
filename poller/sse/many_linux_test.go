//go:build linux

package sse

import (
	"context"
	"flag"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/poller"
)

var many = flag.Int("streams", 200, "how many streams TestShutdownOfMany opens, and says how long their end took, and TestMemory, and says what memory each takes")

// All of many read the last event in a drain, whose end follows that of the spread.
func TestShutdownOfMany(t *testing.T) {
	const spread = 500 * time.Millisecond
	w := way{}
	g := &Group{}
	s := w.joining(t, &poller.Server{Spread: spread}, g, &Options{DrainEvent: Event{Event: "bye", Data: "soon"}})
	clients := make([]*client, *many)
	for i := range clients {
		clients[i] = w.open(t, s, get)
	}
	_, err := g.Broadcast(t.Context(), Event{Data: "hello"})
	lingertest.Must(t, err)
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() {
			if content, err := io.ReadAll(c.in); err != nil || !strings.HasPrefix(string(content), "data: hello\n\nevent: bye\nretry: ") || !strings.HasSuffix(string(content), "\ndata: soon\n\n") {
				t.Errorf("a client has read %q, %v", content, err)
			}
			_ = c.Close()
		})
	}
	began := time.Now()
	lingertest.Must(t, s.Shutdown(context.Background()))
	t.Logf("%d streams have ended %s after the end of the spread", *many, time.Since(began)-spread)
	all.Wait()
	if rep := s.Report(); rep.Undelivered != 0 || !rep.Complete() || !rep.Left.Free() {
		t.Errorf("the Report says %+v", rep)
	}
}
