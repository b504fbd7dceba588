//go:build linux

package poller

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"io"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

var manyH2 = flag.Int("h2-connections", 0, "how many connections TestH2CloseOfMany and TestH2ShutdownOfMany open, of four streams each; 0: 5,000, and 20 under -short")

// heldH2 is a server with many connections, of which each has streams in flight.
type heldH2 struct {
	*served
	clients []*rawH2
	release chan struct{} // closed, it has handlers answer
	ended   sync.WaitGroup
}

const streamsOfMany = 4

// held is an answer of theirs.
const held = "was held"

func holdManyH2(t *testing.T, config *tls.Config) *heldH2 {
	n := *manyH2
	switch {
	case n == 0 && testing.Short():
		n = 20
	case n == 0:
		n = 5000
	}
	h := &heldH2{release: make(chan struct{})}
	var waiting sync.WaitGroup
	waiting.Add(n * streamsOfMany)
	h.ended.Add(n * streamsOfMany)
	h.served = start(t, &Server{TLSConfig: config, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer h.ended.Done()
		waiting.Done()
		select {
		case <-h.release:
			_, _ = io.WriteString(w, held)
		case <-r.Context().Done():
		}
	})})
	for range n {
		c := h.dialH2(t)
		for i := range streamsOfMany {
			c.get(uint32(2*i+1), "/")
		}
		h.clients = append(h.clients, c)
	}
	waiting.Wait()
	for _, c := range h.clients { // those that came first have waited long
		lingertest.Must(t, c.SetDeadline(time.Now().Add(lingertest.Patience)))
	}
	return h
}

// toldH2 is what a client has read up to the end of its connection.
type toldH2 struct {
	answers int // whole ones
	goAway  bool
	err     error
}

func (c *rawH2) readAll() (got toldH2) {
	content := make(map[uint32]string)
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			got.err = err
			return got
		}
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			got.goAway = true
		case *http2.DataFrame:
			content[f.StreamID] += string(f.Data())
			if f.StreamEnded() && content[f.StreamID] == held {
				got.answers++
			}
		}
	}
}

// expectTold expects that all clients are told by ECONNRESET, with so many answers and GOAWAY before, or neither. Over TLS those that have
// all that they were to get may have close_notify before.
func (h *heldH2) expectTold(t *testing.T, answers int, goAway bool) {
	t.Helper()
	all := make([]toldH2, len(h.clients))
	var reading sync.WaitGroup
	for i, c := range h.clients {
		reading.Go(func() { all[i] = c.readAll() })
	}
	reading.Wait()
	others := 0
	var other toldH2
	for _, got := range all {
		notified := h.tls != nil && answers > 0 && got.err == io.EOF
		if !errors.Is(got.err, syscall.ECONNRESET) && !notified || got.answers != answers || got.goAway != goAway {
			others++
			other = got
		}
	}
	if others > 0 {
		t.Errorf("%d of %d clients were told otherwise: %d answers, GOAWAY %t, %v; want %d, %t, ECONNRESET", others, len(all), other.answers, other.goAway, other.err, answers, goAway)
	}
}

// TestH2CloseOfMany resets all of many connections with streams in flight, and nothing is left with the kernel.
func TestH2CloseOfMany(t *testing.T) {
	inBothH2(t, func(t *testing.T, config *tls.Config) {
		h := holdManyH2(t, config)
		lingertest.Must(t, h.Close())
		h.assertGone(t)
		h.expectTold(t, 0, false)
		if rep, n := h.Report(), len(h.clients); rep.Connections != (linger.Tally{linger.HTTP2: n}) || rep.Streams != n*streamsOfMany || !rep.Complete() || !rep.Left.Free() {
			t.Errorf("report = %s", rep)
		}
		h.ended.Wait()
	})
}

// TestH2ShutdownOfMany has all streams of many connections answered.
func TestH2ShutdownOfMany(t *testing.T) {
	inBothH2(t, func(t *testing.T, config *tls.Config) {
		h := holdManyH2(t, config)
		result := h.shutdown(t, context.Background())
		for _, c := range h.clients {
			c.wantGoAway()
		}
		close(h.release)
		h.expectTold(t, streamsOfMany, false) // GOAWAY has been read
		if err := wait(t, "Shutdown", result); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		if rep, n := h.Report(), len(h.clients); rep.AtDeadline.Total() != 0 || rep.Connections != (linger.Tally{linger.HTTP2: n}) || !rep.Complete() || !rep.Left.Free() {
			t.Errorf("report = %s", rep)
		}
		h.assertGone(t)
		h.ended.Wait()
	})
}
