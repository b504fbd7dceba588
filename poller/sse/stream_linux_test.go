//go:build linux

package sse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/linger"
	"rstserver/poller"
)

// The head is one that proxies and compressors respect, and says how the content ends.
func TestHead(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		s := w.start(t, &poller.Server{}, nil)
		c := w.open(t, s, get)
		h := c.res.Header
		if !c.res.Close || len(c.res.TransferEncoding) != 1 || h.Get("Cache-Control") != "no-cache, no-transform" || h.Get("X-Accel-Buffering") != "no" || h.Get("Date") == "" {
			t.Errorf("the head is %v, %v, close: %v", h, c.res.TransferEncoding, c.res.Close)
		}
		stream := s.stream(t)
		lingertest.Must(t, stream.Send(t.Context(), Event{Data: "hello"}))
		c.want("hello")
		lingertest.Must(t, stream.Close())
		if content, end := c.rest(); content != "" || end != "end" {
			t.Errorf("it ends with %q, %s", content, end)
		}

		// HTTP/1.0 has no chunks.
		c = w.open(t, s, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
		if !c.res.Close || c.res.TransferEncoding != nil || c.res.ContentLength != -1 {
			t.Errorf("the head to HTTP/1.0 is %v, %v, close: %v", c.res.Header, c.res.TransferEncoding, c.res.Close)
		}
		stream = s.stream(t)
		lingertest.Must(t, stream.Send(t.Context(), Event{Data: "hello"}))
		lingertest.Must(t, stream.Close())
		if content, end := c.rest(); content != "data: hello\n\n" || end != "end" {
			t.Errorf("it ends with %q, %s", content, end)
		}

		// HEAD has the head and nothing behind it, and the connection goes on.
		c = w.dial(t, s)
		c.ask("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if c.res.StatusCode != 200 || c.res.Header.Get("Content-Type") != "text/event-stream" || c.res.Close {
			t.Errorf("the answer to HEAD is %s with %v", c.res.Status, c.res.Header)
		}
		c.ask(get)
		s.stream(t)

		// POST is answered likewise, whatever the handler has left of its content.
		c = w.open(t, s, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello")
		stream = s.stream(t)
		lingertest.Must(t, stream.Send(t.Context(), Event{Data: "posted"}))
		c.want("posted")
	})
}

// What the handler has set in the header is sent, and wins; what stands around the handler has its say.
func TestHeader(t *testing.T) {
	streams := make(chan *Stream, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Access-Control-Allow-Origin", "*")
		s, err := Accept(w, r, nil)
		if err != nil {
			t.Errorf("Accept = %v", err)
			return
		}
		streams <- s
	})
	statuses := make(chan int, 1)
	s := way{}.start(t, &poller.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Around", "yes")
		handler.ServeHTTP(&counting{w, statuses}, r)
	})}, nil)
	c := way{}.open(t, s, get)
	h := c.res.Header
	if h.Get("Cache-Control") != "no-store" || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Around") != "yes" || len(h["Cache-Control"]) != 1 {
		t.Errorf("the head is %v", h)
	}
	if status := <-statuses; status != 200 {
		t.Errorf("what is around the handler has seen status %d", status)
	}
	lingertest.Must(t, (<-streams).Send(t.Context(), Event{Data: "hello"}))
	c.want("hello")
}

// counting sees only WriteHeader.
type counting struct {
	http.ResponseWriter
	statuses chan int
}

func (c *counting) WriteHeader(status int) {
	c.statuses <- status
	c.ResponseWriter.WriteHeader(status)
}

// What cannot be a stream is an error, and answered.
func TestRefused(t *testing.T) {
	refused := make(chan error, 1)
	var options atomic.Pointer[Options]
	var compress atomic.Bool
	s := way{}.start(t, &poller.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if compress.Load() {
			w.Header().Set("Content-Encoding", "gzip")
		}
		_, err := Accept(w, r, options.Load())
		refused <- err
	})}, nil)
	for _, tt := range []struct {
		name    string
		options Options
		want    string
	}{
		{"bound", Options{MaxQueuedBytes: -1}, "MaxQueuedBytes is -1"},
		{"at bound", Options{AtBound: 3}, "AtBound"},
		{"drain event", Options{DrainEvent: Event{ID: "\n"}}, "Options.DrainEvent"},
	} {
		options.Store(&tt.options)
		c := way{}.dial(t, s)
		c.ask(get)
		if c.res.StatusCode != 500 {
			t.Errorf("%s: the answer is %s", tt.name, c.res.Status)
		}
		lingertest.ExpectError(t, <-refused, tt.want)
	}
	options.Store(nil)
	compress.Store(true)
	c := way{}.dial(t, s)
	c.ask(get)
	lingertest.ExpectError(t, <-refused, "Content-Encoding")
	if content, end := c.rest(); content != "" || end != "end" {
		t.Errorf("what cannot be a stream ends with %q, %s", content, end)
	}

	// By another server.
	w := httptest.NewRecorder()
	_, err := Accept(w, httptest.NewRequest("GET", "/", nil), nil)
	lingertest.ExpectError(t, err, "not served by a poller.Server")
	if w.Code != 500 {
		t.Errorf("the answer is %d", w.Code)
	}
}

// A panic behind Accept costs the connection.
func TestPanic(t *testing.T) {
	s := way{}.start(t, &poller.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = Accept(w, r, nil)
		panic("oops")
	})}, nil)
	c := way{}.dial(t, s)
	_, err := io.WriteString(c, get)
	lingertest.Must(t, err)
	if _, err := io.ReadAll(c); err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("the connection ends with %v", err)
	}
}

// The client's end is noticed at once, in whatever way it goes, and OnClose told once.
func TestClientGoes(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		for _, onLoop := range []bool{true, false} {
			closed := make(chan *Stream, 10)
			s := w.start(t, &poller.Server{}, &Options{OnLoop: onLoop, OnClose: func(s *Stream) { closed <- s }})
			for _, tt := range []struct {
				name string
				goes func(c *client)
			}{
				{"FIN", func(c *client) { lingertest.Must(t, c.tcp.Close()) }},
				{"half-close", func(c *client) { lingertest.Must(t, c.tcp.CloseWrite()) }},
				{"RST", func(c *client) { _ = c.tcp.SetLinger(0); lingertest.Must(t, c.tcp.Close()) }},
				{"close_notify", func(c *client) { lingertest.Must(t, c.Close()) }},
				{"behind bytes", func(c *client) {
					_, err := io.WriteString(c, strings.Repeat(get, 100))
					lingertest.Must(t, err)
					lingertest.Must(t, c.tcp.CloseWrite())
				}},
			} {
				t.Run(fmt.Sprintf("%s, OnClose on the loop: %v", tt.name, onLoop), func(t *testing.T) {
					c := w.open(t, s, get)
					stream := s.stream(t)
					var g Group
					if !g.Join(stream, "") {
						t.Error("the stream does not join")
					}
					lingertest.Must(t, stream.Send(t.Context(), Event{Data: "hello"}))
					c.want("hello")
					tt.goes(c)
					select {
					case got := <-closed:
						if got != stream {
							t.Error("OnClose is told of another stream")
						}
					case <-time.After(lingertest.Patience):
						t.Fatal("the client's end is not noticed")
					}
					if err := stream.Send(t.Context(), Event{Data: "late"}); err != ErrClosed {
						t.Errorf("Send behind the end = %v", err)
					}
					if err := stream.Close(); err != ErrClosed {
						t.Errorf("Close behind the end = %v", err)
					}
					if g.Len() != 0 || g.Join(stream, "") {
						t.Error("the stream is in the group, or can join")
					}
				})
			}
			select {
			case <-closed:
				t.Error("OnClose was called twice")
			default:
			}
		}
	})
}

// Close and Abort of a stream, also in the handler, and what is sent before the handler has returned, however much.
func TestEnd(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		closed := make(chan *Stream, 10)
		options := &Options{OnClose: func(s *Stream) { closed <- s }}
		s := w.start(t, &poller.Server{}, options)
		c := w.open(t, s, get)
		stream := s.stream(t)
		lingertest.Must(t, stream.Send(t.Context(), Event{Data: "last"}))
		lingertest.Must(t, stream.Close())
		if err := stream.Close(); !errors.Is(err, ErrClosed) {
			t.Errorf("the second Close = %v", err)
		}
		if content, end := c.rest(); content != "data: last\n\n" || end != "end" {
			t.Errorf("it ends with %q, %s", content, end)
		}
		<-closed
		c = w.open(t, s, get)
		s.stream(t).Abort()
		if content, end := c.rest(); content != "" || end != "RST" {
			t.Errorf("it ends with %q, %s", content, end)
		}
		<-closed

		large := strings.Repeat("m", 50<<10)
		begin := func(stream *Stream, err error) {
			lingertest.Must(t, err)
			for range 3 {
				lingertest.Must(t, stream.Send(context.Background(), Event{Data: large}))
			}
			lingertest.Must(t, stream.Close())
		}
		srv := &poller.Server{}
		if w.onLoop {
			srv.LoopHandler = poller.LoopHandlerFunc(func(w *poller.Responder, r *poller.Request) { begin(AcceptOnLoop(w, r, options)) })
		} else {
			srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { begin(Accept(w, r, options)) })
		}
		s = w.start(t, srv, nil)
		c = w.open(t, s, get)
		c.want(large, large, large)
		if content, end := c.rest(); content != "" || end != "end" {
			t.Errorf("it ends with %q, %s", content, end)
		}
		<-closed
	})
}

// A comment is sent from time to time.
func TestHeartbeat(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		s := w.start(t, &poller.Server{}, &Options{Heartbeat: time.Millisecond})
		c := w.open(t, s, get)
		p := parser{in: c.in}
		for p.comments < 3 {
			if _, err := p.line(); err != nil {
				t.Fatal(err)
			}
			if line, err := c.in.Peek(1); err == nil && line[0] == ':' {
				p.comments++
			}
		}
		stream := s.stream(t)
		lingertest.Must(t, stream.Send(t.Context(), Event{Data: "hello"}))
		c.want("hello")
	})
}

// In a drain each stream ends behind what it was promised, with the time to come back, and in order.
func TestShutdown(t *testing.T) {
	for _, tt := range []struct {
		name     string
		options  Options
		spread   time.Duration
		min, max int // of retry
		last     string
		end      func(*poller.Server, context.Context) error
	}{
		{"usual", Options{}, 0, 1000, 2000, "", (*poller.Server).Shutdown},
		{"spread", Options{DrainRetry: time.Minute}, 50 * time.Millisecond, 60_000, 120_000, "", (*poller.Server).Shutdown},
		{"event", Options{DrainEvent: Event{Event: "bye", Data: "soon"}}, 0, 1000, 2000, "soon", (*poller.Server).Shutdown},
		{"silent", Options{DrainRetry: -1}, 0, 0, 0, "", (*poller.Server).Shutdown},
		{"handover", Options{}, 0, 1000, 2000, "", (*poller.Server).HandOver},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, w way) {
				s := w.start(t, &poller.Server{Spread: tt.spread, LameDuck: time.Millisecond}, &tt.options)
				const n = 20
				var clients []*client
				for i := range n {
					request := get
					if i%5 == 0 {
						request = "GET / HTTP/1.0\r\n\r\n"
					}
					clients = append(clients, w.open(t, s, request))
				}
				for range n {
					lingertest.Must(t, s.stream(t).Send(t.Context(), Event{Data: "promised"}))
				}
				result := make(chan error, 1)
				go func() { result <- tt.end(s.Server, context.Background()) }()
				var all sync.WaitGroup
				var mu sync.Mutex
				retries := map[int]bool{}
				for _, c := range clients {
					all.Go(func() {
						p := parser{in: c.in}
						if g, err := p.next(); err != nil || g.data != "promised" {
							t.Errorf("read %q, %v", g, err)
						}
						g, err := p.next()
						if tt.last != "" {
							if err != nil || g.data != tt.last {
								t.Errorf("read %q, %v, want %q", g, err, tt.last)
							}
							_, err = p.next()
						}
						if err != io.EOF || p.retry < tt.min || p.retry > tt.max {
							t.Errorf("it ends with %v, and is to come back after %d ms, want %d to %d", err, p.retry, tt.min, tt.max)
						}
						mu.Lock()
						retries[p.retry] = true
						mu.Unlock()
						_ = c.Close()
					})
				}
				all.Wait()
				lingertest.Must(t, <-result)
				if tt.max > 0 && len(retries) < 5 {
					t.Errorf("all are to come back at the same time: %v", maps.Keys(retries))
				}
				if rep := s.Report(); rep.Closed+rep.Connections.Total() != n || rep.AtDeadline.Total() != 0 || rep.Undelivered != 0 || !rep.Complete() || !rep.Left.Free() {
					t.Errorf("the Report says %+v, want %d that have ended", rep, n) // who closes late is reset when it has all
				}
			})
		})
	}
}

// Who does not take its events is reset at the deadline, and what it was promised and not sent is counted.
func TestShutdownDeadline(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		s := w.start(t, &poller.Server{}, &Options{MaxQueuedBytes: 64 << 20})
		w.open(t, s, get)
		stream := s.stream(t)
		large := strings.Repeat("m", 1<<20)
		const promised = 20
		for range promised {
			lingertest.Must(t, stream.Send(t.Context(), Event{Data: large}))
		}
		ctx, cancel := context.WithCancel(context.Background())
		result := make(chan error, 1)
		go func() { result <- s.Shutdown(ctx) }()
		lingertest.Wait(t, "the stream is told", func() bool { return stream.Close() == ErrClosed })
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown = %v", err)
		}
		rep := s.Report()
		if rep.AtDeadline[linger.Upgraded] != 1 || rep.AtDeadline.Total() != 1 || !rep.Complete() {
			t.Errorf("the Report says %+v, want one cut at the deadline", rep)
		}
		if rep.Undelivered < 5 || rep.Undelivered > promised {
			t.Errorf("the Report counts %d events that were not delivered, of %d", rep.Undelivered, promised)
		}
	})
}

// Close resets all, and says nothing before.
func TestClose(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		closed := make(chan *Stream, 100)
		s := w.start(t, &poller.Server{}, &Options{OnClose: func(s *Stream) { closed <- s }})
		var clients []*client
		for range 20 {
			clients = append(clients, w.open(t, s, get))
		}
		lingertest.Wait(t, "all are upgraded", func() bool { return s.Report().Connections[linger.Upgraded] == 20 })
		lingertest.Must(t, s.Close())
		for _, c := range clients {
			if content, end := c.rest(); content != "" || end != "RST" {
				t.Errorf("it ends with %q, %s", content, end)
			}
			<-closed
		}
		if rep := s.Report(); rep.Connections[linger.Upgraded] != 20 || rep.Connections.Total() != 20 || !rep.Complete() || !rep.Left.Free() {
			t.Errorf("the Report says %+v", rep)
		}
	})
}

// Release lets them live on.
func TestRelease(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		s := w.start(t, &poller.Server{}, nil)
		c := w.open(t, s, get)
		stream := s.stream(t)
		lingertest.Must(t, s.Release())
		lingertest.Must(t, stream.Send(t.Context(), Event{Data: "hello"}))
		c.want("hello")
		lingertest.Must(t, stream.Close())
		if content, end := c.rest(); content != "" || end != "end" {
			t.Errorf("it ends with %q, %s", content, end)
		}
		_ = c.Close()
		s.result <- <-s.result
		if rep := s.Report(); rep.Mode != linger.ModeRelease || rep.Closed != 1 || !rep.Complete() {
			t.Errorf("the Report says %+v", rep)
		}
	})
}

// At the bound an event waits, is left out, or ends the stream.
func TestAtBound(t *testing.T) {
	large := strings.Repeat("m", 1<<18)
	for _, atBound := range []AtBound{Wait, Drop, End} {
		eachWay(t, func(t *testing.T, w way) {
			var counters Counters
			s := w.start(t, &poller.Server{}, &Options{MaxQueuedBytes: 1 << 20, AtBound: atBound, Counters: &counters})
			c := w.open(t, s, get)
			stream := s.stream(t)
			lingertest.Must(t, stream.Send(t.Context(), Event{Data: "begun"}))
			c.want("begun")
			var written []string
			for stream.Queued() < 1<<20 {
				lingertest.Must(t, stream.Send(t.Context(), Event{Data: large}))
				written = append(written, large)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			switch atBound {
			case Wait:
				result := make(chan error, 1)
				go func() { result <- stream.Send(ctx, Event{Data: "never"}) }()
				lingertest.Wait(t, "it waits", func() bool { return counters.Waited.Load() == 1 })
				cancel()
				if err := <-result; err != context.Canceled {
					t.Errorf("Send = %v", err)
				}
				go func() { result <- stream.Send(context.Background(), Event{Data: "hello"}) }()
				lingertest.Wait(t, "it waits", func() bool { return counters.Waited.Load() == 2 })
				c.want(append(written, "hello")...)
				lingertest.Must(t, <-result)
			case Drop:
				if err := stream.Send(ctx, Event{Data: "never"}); err != ErrFull || counters.Dropped.Load() != 1 {
					t.Errorf("Send = %v, %d", err, counters.Dropped.Load())
				}
				c.want(written...)
				lingertest.Wait(t, "there is room", func() bool { return stream.Queued() == 0 })
				lingertest.Must(t, stream.Send(ctx, Event{Data: "hello"}))
				c.want("hello")
			case End:
				if err := stream.Send(ctx, Event{Data: "never"}); err != ErrClosed || counters.Ended.Load() != 1 {
					t.Errorf("Send = %v, %d", err, counters.Ended.Load())
				}
				c.want(written...)
				if content, end := c.rest(); content != "" || end != "end" {
					t.Errorf("it ends with %q, %s", content, end)
				}
			}
		})
	}
}

// A drain promises what waits already, however much that is: it is not cut, and the end follows it. Who waits to send more is told.
func TestShutdownBehindFullQueue(t *testing.T) {
	large := strings.Repeat("m", 1<<18)
	eachWay(t, func(t *testing.T, w way) {
		var counters Counters
		s := w.start(t, &poller.Server{}, &Options{MaxQueuedBytes: 1 << 20, Counters: &counters})
		c := w.open(t, s, get)
		stream := s.stream(t)
		lingertest.Must(t, stream.Send(t.Context(), Event{Data: "begun"}))
		c.want("begun")
		var promised []string
		for stream.Queued() < 1<<20 {
			lingertest.Must(t, stream.Send(t.Context(), Event{Data: large}))
			promised = append(promised, large)
		}
		waiting := make(chan error, 1)
		go func() { waiting <- stream.Send(context.Background(), Event{Data: "never"}) }()
		lingertest.Wait(t, "it waits", func() bool { return counters.Waited.Load() == 1 })
		result := make(chan error, 1)
		go func() { result <- s.Shutdown(context.Background()) }()
		if err := <-waiting; err != ErrClosed {
			t.Errorf("Send that has waited = %v", err)
		}
		c.want(promised...)
		if content, end := c.rest(); !strings.HasPrefix(content, "retry: ") || end != "end" {
			t.Errorf("it ends with %.100q, %s", content, end)
		}
		_ = c.Close()
		lingertest.Must(t, <-result)
		if rep := s.Report(); rep.Undelivered != 0 || !rep.Complete() || !rep.Left.Free() {
			t.Errorf("the Report says %+v", rep)
		}
	})
}

// Behind a proxy the stream is of the client that the proxy names.
func TestBehindProxy(t *testing.T) {
	for _, w := range []way{{}, {onLoop: true}} {
		s := w.start(t, &poller.Server{ProxyProtocol: true, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, nil)
		w.open(t, s, "PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n"+get)
		if got := s.stream(t).RemoteAddr().String(); got != "192.0.2.1:1234" {
			t.Errorf("on the loop: %v: the client's address is %s", w.onLoop, got)
		}
	}
}

// A request whose content is more than is thrown away gets no stream, and is told so.
func TestContentTooLong(t *testing.T) {
	refused := make(chan error, 1)
	w := way{}
	s := w.start(t, &poller.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := Accept(w, r, nil)
		refused <- err
	})}, nil)
	content := strings.Repeat("a", maxRest+1)
	c := w.dial(t, s)
	c.ask(fmt.Sprintf("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(content), content))
	if c.res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("the answer is %s with %v", c.res.Status, c.res.Header)
	}
	lingertest.ExpectError(t, <-refused, "256 KiB")
	res, err := w.h2Client(t).Post("http://"+s.addr.String()+"/", "text/plain", strings.NewReader(content))
	lingertest.Must(t, err)
	defer res.Body.Close()
	if res.ProtoMajor != 2 || res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("the answer is %s %s", res.Proto, res.Status)
	}
	lingertest.ExpectError(t, <-refused, "256 KiB")
}

// What says that it is compressed is none that this package could go on with, on the loop either.
func TestEncodedOnLoop(t *testing.T) {
	refused := make(chan error, 1)
	w := way{onLoop: true}
	s := w.start(t, &poller.Server{LoopHandler: poller.LoopHandlerFunc(func(w *poller.Responder, r *poller.Request) {
		w.AddField("content-encoding", "gzip")
		_, err := AcceptOnLoop(w, r, nil)
		refused <- err
	})}, nil)
	c := w.dial(t, s)
	c.ask(get)
	lingertest.ExpectError(t, <-refused, "Content-Encoding")
	if content, end := c.rest(); content != "" || end != "end" {
		t.Errorf("what cannot be a stream ends with %q, %s", content, end)
	}
}

// An event that a stream cannot express is not sent.
func TestSendChecks(t *testing.T) {
	s := way{}.start(t, &poller.Server{}, nil)
	c := way{}.open(t, s, get)
	stream := s.stream(t)
	lingertest.ExpectError(t, stream.Send(t.Context(), Event{ID: "a\x00"}), "control character")
	var g Group
	_, err := g.Broadcast(t.Context(), Event{Event: "\n"})
	lingertest.ExpectError(t, err, "line end")
	lingertest.Must(t, stream.Send(t.Context(), Event{Data: "hello"}))
	c.want("hello")
	stream.SetValue(7)
	if stream.Value() != 7 || stream.RemoteAddr().String() != c.LocalAddr().String() {
		t.Errorf("the stream has %v and is of %v", stream.Value(), stream.RemoteAddr())
	}
}

// Each field of the head is there once, whoever has set it before: the handler's word counts for those that proxies read, and is not asked for the rest.
func TestFieldsOnce(t *testing.T) {
	want := map[string][2]string{ // what the handler sets, and what comes of it
		"Content-Type":      {"text/html", "text/event-stream"},
		"Cache-Control":     {"no-store", "no-store"},
		"X-Accel-Buffering": {"yes", "yes"},
		"Connection":        {"keep-alive", "close"},
		"X-Other":           {"a", "a"},
	}
	var answered atomic.Bool
	for _, w := range []way{{}, {onLoop: true}} {
		srv := &poller.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for name, value := range want {
				w.Header().Set(name, value[0])
			}
			if _, err := Accept(w, r, nil); err != nil && err != ErrHead {
				t.Errorf("Accept = %v", err)
			}
			answered.Store(true)
		})}
		if w.onLoop {
			srv = &poller.Server{LoopHandler: poller.LoopHandlerFunc(func(w *poller.Responder, r *poller.Request) {
				for name, value := range want {
					w.AddField(strings.ToLower(name), value[0])
				}
				if _, err := AcceptOnLoop(w, r, nil); err != nil && err != ErrHead {
					t.Errorf("AcceptOnLoop = %v", err)
				}
				answered.Store(true)
			})}
		}
		s := w.start(t, srv, nil)
		for _, method := range []string{"GET", "HEAD"} {
			for _, version := range []int{1, 2} {
				var h http.Header
				if version == 1 {
					c := w.dial(t, s)
					c.ask(method + " / HTTP/1.1\r\nHost: localhost\r\n\r\n")
					h = c.res.Header
					if method == "GET" != c.res.Close {
						t.Errorf("%s, on the loop: %v: close is %v", method, w.onLoop, c.res.Close)
					}
				} else {
					req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.addr.String()+"/", nil)
					lingertest.Must(t, err)
					res, err := w.h2Client(t).Do(req)
					lingertest.Must(t, err)
					t.Cleanup(func() { _ = res.Body.Close() })
					h = res.Header
				}
				for name, value := range want {
					if got := h[name]; name != "Connection" && (len(got) != 1 || got[0] != value[1]) {
						t.Errorf("%s by HTTP/%d, on the loop: %v: %s is %q, want %q", method, version, w.onLoop, name, got, value[1])
					}
				}
			}
		}
	}
	if !answered.Load() {
		t.Error("no handler was called")
	}
}
