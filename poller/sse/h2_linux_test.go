//go:build linux

package sse

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/poller"
)

// h2Client speaks HTTP/2.
func (w way) h2Client(t *testing.T) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: protocols, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func (w way) h2Open(t *testing.T, ctx context.Context, s *served, c *http.Client, id string) *client {
	t.Helper()
	url := "http://" + s.addr.String() + "/"
	if w.tls {
		url = "https" + strings.TrimPrefix(url, "http")
	}
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	lingertest.Must(t, err)
	if id != "" {
		req.Header.Set("Last-Event-ID", id)
	}
	res, err := c.Do(req)
	lingertest.Must(t, err)
	t.Cleanup(func() { _ = res.Body.Close() })
	h := res.Header
	if res.ProtoMajor != 2 || res.StatusCode != 200 || h.Get("Content-Type") != "text/event-stream" || h.Get("Cache-Control") != "no-cache, no-transform" ||
		h.Get("Connection") != "" || h.Get("Content-Length") != "" {
		t.Fatalf("the answer is %s %s with %v", res.Proto, res.Status, h)
	}
	return &client{res: res, in: bufio.NewReader(res.Body), t: t}
}

// With HTTP/2 all is as with HTTP/1.1.
func TestHTTP2(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		t.Run("events", func(t *testing.T) {
			g := &Group{KeepEvents: 10}
			s := w.joining(t, &poller.Server{MaxHandlers: 1}, g, &Options{Heartbeat: time.Millisecond})
			c := w.h2Client(t)
			for _, e := range []string{"a", "b", "c"} {
				_, err := g.Broadcast(t.Context(), Event{ID: e, Data: e})
				lingertest.Must(t, err)
			}
			one, two := w.h2Open(t, t.Context(), s, c, "a"), w.h2Open(t, t.Context(), s, c, "c")
			one.want("b", "c")
			large := strings.Repeat("m", 300<<10) // more than a window
			for _, e := range []string{"d", large} {
				told, err := g.Broadcast(t.Context(), Event{ID: "x" + e[:1], Data: e})
				if err != nil || told.Sent+told.Behind != 2 {
					t.Errorf("Broadcast = %+v, %v", told, err)
				}
			}
			one.want("d", large)
			two.want("d", large)
			p := parser{in: one.in}
			for {
				line, err := p.line()
				lingertest.Must(t, err)
				if strings.HasPrefix(line, ":") {
					break
				}
			}
			a, b := s.stream(t), s.stream(t)
			lingertest.Must(t, a.Close())
			lingertest.Must(t, b.Close())
			for _, c := range []*client{one, two} {
				if _, end := c.rest(); end != "end" {
					t.Errorf("it ends with %s", end)
				}
			}
			if err := a.Send(t.Context(), Event{Data: "late"}); err != ErrClosed {
				t.Errorf("Send behind the end = %v", err)
			}
		})
		t.Run("the client goes", func(t *testing.T) {
			closed := make(chan *Stream, 10)
			s := w.start(t, &poller.Server{}, &Options{OnClose: func(s *Stream) { closed <- s }})
			ctx, cancel := context.WithCancel(t.Context())
			w.h2Open(t, ctx, s, w.h2Client(t), "")
			stream := s.stream(t)
			cancel()
			if got := <-closed; got != stream || stream.Send(t.Context(), Event{}) != ErrClosed {
				t.Error("the client's end is not noticed")
			}
		})
		t.Run("Abort", func(t *testing.T) {
			closed := make(chan *Stream, 10)
			s := w.start(t, &poller.Server{}, &Options{OnClose: func(s *Stream) { closed <- s }})
			c := w.h2Open(t, t.Context(), s, w.h2Client(t), "")
			s.stream(t).Abort()
			if _, err := io.ReadAll(c.in); err == nil || !strings.Contains(err.Error(), "INTERNAL_ERROR") {
				t.Errorf("the stream ends with %v", err)
			}
			<-closed
		})
		t.Run("Shutdown", func(t *testing.T) {
			s := w.start(t, &poller.Server{}, nil)
			client := w.h2Client(t)
			c := w.h2Open(t, t.Context(), s, client, "")
			lingertest.Must(t, s.stream(t).Send(t.Context(), Event{Data: "promised"}))
			result := make(chan error, 1)
			go func() { result <- s.Shutdown(context.Background()) }()
			p := parser{in: c.in}
			if g, err := p.next(); err != nil || g.data != "promised" {
				t.Errorf("read %q, %v", g, err)
			}
			if _, err := p.next(); err != io.EOF || p.retry < 1000 || p.retry > 2000 {
				t.Errorf("it ends with %v, and a retry of %d", err, p.retry)
			}
			client.CloseIdleConnections()
			lingertest.Must(t, <-result)
			if rep := s.Report(); rep.Undelivered != 0 || !rep.Complete() || !rep.Left.Free() {
				t.Errorf("the Report says %+v", rep)
			}
		})
		t.Run("deadline", func(t *testing.T) {
			s := w.start(t, &poller.Server{}, &Options{MaxQueuedBytes: 64 << 20})
			c := w.h2Open(t, t.Context(), s, w.h2Client(t), "")
			stream := s.stream(t)
			large := strings.Repeat("m", 1<<20)
			for range 8 { // a client's window is 4 MiB
				lingertest.Must(t, stream.Send(t.Context(), Event{Data: large}))
			}
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("Shutdown = %v", err)
			}
			if _, end := c.rest(); end == "end" {
				t.Error("the stream looks whole")
			}
			if rep := s.Report(); rep.Undelivered < 3 || !rep.Complete() {
				t.Errorf("the Report says %+v", rep)
			}
		})
		t.Run("Close", func(t *testing.T) {
			closed := make(chan *Stream, 10)
			s := w.start(t, &poller.Server{}, &Options{OnClose: func(s *Stream) { closed <- s }})
			c := w.h2Open(t, t.Context(), s, w.h2Client(t), "")
			s.stream(t)
			lingertest.Must(t, s.Close())
			if content, end := c.rest(); content != "" || end == "end" {
				t.Errorf("it ends with %q, %s", content, end)
			}
			<-closed
		})
	})
	t.Run("HandlerTimeout", func(t *testing.T) {
		w := way{}
		s := w.start(t, &poller.Server{HandlerTimeout: time.Hour}, nil)
		c := w.h2Open(t, t.Context(), s, w.h2Client(t), "")
		stream := s.stream(t)
		lingertest.Must(t, stream.Send(t.Context(), Event{Data: "hello"}))
		c.want("hello")
		lingertest.Must(t, stream.Close())
		if content, end := c.rest(); content != "" || end != "end" {
			t.Errorf("it ends with %q, %s", content, end)
		}
	})
}
