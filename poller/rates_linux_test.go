//go:build linux

package poller

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"rstserver/httpcodec"
	"rstserver/internal/lingertest"
)

func TestPatience(t *testing.T) {
	const rate = 100 // bytes per second
	var p patience
	p.begin(10*time.Second, 5*time.Second)
	for _, step := range []struct {
		at   time.Duration
		came int64
		slow bool
	}{
		{15 * time.Second, 0, false}, // the grace is used up
		{15*time.Second + 1, 0, true},
		{15 * time.Second, 200, false}, // which are worth two seconds
		{17 * time.Second, 0, false},
		{18 * time.Second, 50, true}, // half a second too late
	} {
		if step.came > 0 {
			p.moved(step.at, step.came, rate)
		}
		if got := p.isSlow(step.at, rate); got != step.slow {
			t.Errorf("at %s, with %d bytes: isSlow() = %v", step.at, step.came, got)
		}
	}
	if p.isSlow(time.Hour, 0) {
		t.Error("without a rate nobody is too slow")
	}
}

// A client that sends content too slowly gets 408 while it is waited for, and not while the handler does something else.
func TestMinBodyRate(t *testing.T) {
	goOn, read := make(chan struct{}), make(chan error, 1)
	s := start(t, &Server{
		Loops: 1, MinBodyRate: 1 << 30, RateGrace: 50 * time.Millisecond, BodyTimeout: -1,
		LoopHandler: LoopHandlerFunc(hello), OnLoop: func(r *httpcodec.Request) bool { return string(r.Path) == "/" },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/waits" {
				<-goOn
			} else {
				_, err := io.ReadAll(r.Body)
				read <- err
			}
		}),
	})
	const half = " HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello"
	waits := s.dial(t)
	waits.send("POST /waits" + half)
	for _, path := range []string{"/", "/reads"} {
		c := s.dial(t)
		c.send("POST " + path + half)
		if res, _ := c.answer("POST"); res.StatusCode != 408 || !res.Close {
			t.Errorf("%s got %s, want 408 and close", path, res.Status)
		}
		// What it goes on to send wins it no more time.
		c.send("world")
		s.timeOut(t, lingerTimeout, func(c *conn) bool { return c.until <= c.loop.clock.now })
	}
	if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the handler read %v", err)
	}
	close(goOn)
	if res, _ := waits.answer("POST"); res.StatusCode != 200 {
		t.Errorf("a handler that does not read: %s", res.Status)
	}
}

// A client that takes its answer too slowly is reset, unless it is a stream of events.
func TestMinWriteRate(t *testing.T) {
	s := start(t, &Server{
		Loops: 1, MinWriteRate: 1 << 30, RateGrace: 50 * time.Millisecond, WriteTimeout: -1,
		LoopHandler: LoopHandlerFunc(bytesHandler), OnLoop: func(r *httpcodec.Request) bool { return string(r.Path) == "/bytes" },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/events" {
				w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
			}
			_, _ = io.CopyN(w, pattern{}, int64(plenty()))
		}),
	})
	events := s.dialSlow(t)
	events.send("GET /events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	for _, path := range []string{"/bytes", "/handler"} {
		c := s.dialSlow(t)
		c.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
		lingertest.Wait(t, path+" is reset", func() bool { return s.peerState(t, c) == "none" })
	}
	if n := slowly(t, events.in); n < plenty() {
		t.Errorf("%d bytes of the events came", n)
	}
}

// A drain waits for uploads, but not for those that make no progress.
func TestDrainAndStalledUploads(t *testing.T) {
	s := start(t, &Server{
		Loops: 2, MinBodyRate: -1, BodyTimeout: -1,
		LoopHandler: LoopHandlerFunc(hello), OnLoop: func(r *httpcodec.Request) bool { return string(r.Path) == "/" },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }),
	})
	var clients []*client
	for _, path := range []string{"/", "/", "/handler"} {
		for _, framing := range []string{"Content-Length: 10\r\n\r\n12345", "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"} {
			c := s.dial(t)
			c.send("POST " + path + " HTTP/1.1\r\nHost: x\r\n" + framing)
			clients = append(clients, c)
		}
	}
	lingertest.Wait(t, "all have come", func() bool {
		n := 0
		for _, l := range s.run.loops {
			onLoop(l, func() {
				for c := range l.holding() {
					if c.pending != nil || c.lease != nil && c.lease.held.Load() > 0 {
						n++
					}
				}
			})
		}
		return n == len(clients)
	})
	ctx, cancel := context.WithTimeout(context.Background(), lingertest.Patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	for _, c := range clients {
		if res, _ := c.answer("POST"); res.StatusCode != 408 {
			t.Errorf("got %s", res.Status)
		}
	}
}

// The head of an answer has a bound, and the client gets 500 in its place.
func TestMaxAnswerHead(t *testing.T) {
	write := make(chan error, 1)
	s := start(t, &Server{
		Loops: 1, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
			w.AddField("A", strings.Repeat("a", int(r.MinorVersion)*(MaxAnswerHead-5)+len(r.Query)))
		}),
		OnLoop: func(r *httpcodec.Request) bool { return string(r.Path) == "/" },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fields, size := 1, MaxAnswerHead-len("A: \r\n")+len(r.URL.RawQuery)
			if r.URL.Path == "/many" {
				fields, size = 2, size/2+10
			}
			if r.URL.Path == "/trailer" {
				w.Header().Set("Trailer", "A")
				w.Write([]byte("x"))
				w.(http.Flusher).Flush()
			}
			for range fields {
				w.Header().Add("A", strings.Repeat("a", size))
			}
			_, err := w.Write(make([]byte, contentBuffer))
			w.(http.Flusher).Flush()
			_, after := w.Write([]byte("x"))
			write <- errors.Join(err, after)
		}),
	})
	for _, tt := range []struct {
		target string
		status int
		logged bool
	}{
		{"/", 200, false}, {"/?x", 500, true}, {"/handler", 200, false}, {"/handler?x", 500, true}, {"/many", 500, true}, {"/trailer?x", 200, false},
	} {
		t.Run(tt.target, func(t *testing.T) {
			before := strings.Count(s.log.String(), ErrAnswerHead.Error())
			c := s.dial(t)
			c.send("GET " + tt.target + " HTTP/1.1\r\nHost: x\r\n\r\n")
			if res, _ := c.answer("GET"); res.StatusCode != tt.status || len(res.Trailer["A"]) > 0 {
				t.Errorf("got %s, trailers %d", res.Status, len(res.Trailer["A"]))
			}
			if tt.target[1:] != "" && tt.target[1] != '?' {
				if err := <-write; errors.Is(err, ErrAnswerHead) != (tt.status == 500) {
					t.Errorf("Write = %.200v", err)
				}
			}
			lingertest.Wait(t, "it is logged why", func() bool {
				return !tt.logged || strings.Count(s.log.String(), ErrAnswerHead.Error()) > before
			})
		})
	}
}

// An upgraded connection on which nothing happens is closed.
func TestUpgradeIdle(t *testing.T) {
	ended := make(chan error, 1)
	s := start(t, &Server{Loops: 1, UpgradeIdle: 50 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			ended <- err
			return
		}
		defer c.Close()
		_, err = rw.ReadByte()
		ended <- err
	})})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if s.tls == nil {
		c.wantEOF()
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the handler's Read = %v", err)
	}
	lingertest.Wait(t, "it is counted off", func() bool { return s.run.live.Load() == 0 && s.buffered() == 0 })
}
