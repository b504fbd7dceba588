//go:build linux

package websocket

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/linger"
	"rstserver/poller"
)

// closes collects what OnClose is told.
type closes chan string

func (c closes) on(_ *Conn, code Status, reason string) {
	c <- strings.TrimSpace(fmt.Sprintf("%d %s", code, reason))
}

func (c closes) want(t testing.TB, want string) {
	t.Helper()
	select {
	case got := <-c:
		if got != want {
			t.Errorf("OnClose was told %q, want %q", got, want)
		}
	case <-time.After(lingertest.Patience):
		t.Errorf("OnClose is not called, want %q", want)
	}
}

// eitherWay runs f with functions on the loop, and on workers.
func eitherWay(t *testing.T, f func(t *testing.T, onLoop bool)) {
	for _, onLoop := range []bool{true, false} {
		t.Run(fmt.Sprintf("on the loop: %v", onLoop), func(t *testing.T) { f(t, onLoop) })
	}
}

// OnClose is told once how it ended, whoever ended it.
func TestOnClose(t *testing.T) {
	eitherWay(t, func(t *testing.T, onLoop bool) {
		ended := make(closes, 10)
		conns := make(chan *Conn, 10)
		options := echo(Options{OnLoop: onLoop, OnClose: ended.on, OnOpen: func(c *Conn) { conns <- c }})
		s := start(t, &poller.Server{}, options, onLoop)
		for _, tt := range []struct {
			name, in string
			want     string
			end      []string
		}{
			{"code and reason", closeFrame(4000, "enough"), "4000 enough", []string{"close 4000", "FIN"}},
			{"no code", frame(0x88, ""), "1005", []string{"close", "FIN"}},
			{"malformed", frame(0xc1, ""), "1002 reserved bit set", []string{"close 1002", "FIN"}},
			{"not text", frame(0x81, "\xff"), "1007 text that is not UTF-8", []string{"close 1007", "FIN"}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				c := s.open(t)
				<-conns
				c.send(tt.in)
				c.wantAll(tt.end...)
				ended.want(t, tt.want)
			})
		}
		t.Run("FIN", func(t *testing.T) {
			c := s.open(t)
			<-conns
			lingertest.Must(t, c.CloseWrite())
			ended.want(t, "1006")
		})
		t.Run("RST", func(t *testing.T) {
			c := s.open(t)
			<-conns
			_ = c.SetLinger(0)
			_ = c.Close()
			ended.want(t, "1006")
		})
		t.Run("by us", func(t *testing.T) {
			c := s.open(t)
			conn := <-conns
			lingertest.Must(t, conn.Write(t.Context(), Text, []byte("bye")))
			lingertest.Must(t, conn.Close(4001, "go"))
			if err := conn.Write(t.Context(), Text, nil); !errors.Is(err, ErrClosed) {
				t.Errorf("Write behind Close = %v", err)
			}
			if err := conn.Close(4001, "go"); err != ErrClosed {
				t.Errorf("the second Close = %v", err)
			}
			c.want("text bye", "close 4001")
			c.send(frame(0x81, "late") + closeFrame(4001, "gone"))
			c.wantAll("FIN")
			ended.want(t, "4001 gone")
		})
		t.Run("by us, in vain", func(t *testing.T) {
			short := *options
			short.CloseTimeout = time.Millisecond
			s := start(t, &poller.Server{}, &short, onLoop)
			c := s.open(t)
			lingertest.Must(t, (<-conns).Close(Normal, ""))
			c.wantAll("close 1000", "FIN")
			ended.want(t, "1006")
		})
		t.Run("Abort", func(t *testing.T) {
			c := s.open(t)
			(<-conns).Abort()
			c.wantAll("RST")
			ended.want(t, "1006")
		})
		t.Run("codes that are not to be sent", func(t *testing.T) {
			s.open(t)
			conn := <-conns
			for _, code := range []Status{0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000} {
				if err := conn.Close(code, ""); err == nil {
					t.Errorf("Close(%d) = nil", code)
				}
			}
			if conn.Close(Normal, strings.Repeat("x", 124)) == nil || conn.Close(Normal, "\xff") == nil || conn.Write(t.Context(), Text, []byte{0xff}) == nil || conn.Write(t.Context(), 9, nil) == nil || conn.Ping(make([]byte, 126)) == nil {
				t.Error("what is not to be sent is")
			}
			conn.Abort()
			ended.want(t, "1006")
		})
	})
}

// A panic costs its own connection.
func TestPanic(t *testing.T) {
	eitherWay(t, func(t *testing.T, onLoop bool) {
		ended := make(closes, 10)
		s := start(t, &poller.Server{}, &Options{OnLoop: onLoop, OnClose: ended.on, OnMessage: func(*Conn, Type, []byte) { panic("oops") }}, onLoop)
		c := s.open(t)
		c.send(frame(0x81, "a") + frame(0x81, "b"))
		c.wantAll("RST")
		ended.want(t, "1006")
		lingertest.Wait(t, "it is logged", func() bool { return strings.Contains(s.log.String(), "oops") })
	})
}

// Pings are sent after a time of silence, and who does not answer is reset.
func TestPings(t *testing.T) {
	eitherWay(t, func(t *testing.T, onLoop bool) {
		ended := make(closes, 10)
		s := start(t, &poller.Server{}, echo(Options{OnLoop: onLoop, OnClose: ended.on, PingInterval: 20 * time.Millisecond, PongTimeout: time.Minute}), onLoop)
		c := s.open(t)
		for range 3 {
			c.want("ping")
			c.send(frame(0x8a, ""))
		}
		s = start(t, &poller.Server{}, echo(Options{OnLoop: onLoop, OnClose: ended.on, PingInterval: time.Millisecond, PongTimeout: time.Millisecond}), onLoop)
		c = s.open(t)
		c.wantAll("ping", "RST")
		ended.want(t, "1006")
	})
}

// In a drain each is told behind what it was promised, and who answers ends in order.
func TestShutdown(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options Options
		spread  time.Duration
		code    string
		end     func(*poller.Server, context.Context) error
	}{
		{"going away", Options{}, 0, "close 1001", (*poller.Server).Shutdown},
		{"spread", Options{}, 50 * time.Millisecond, "close 1001", (*poller.Server).Shutdown},
		{"restart", Options{DrainStatus: ServiceRestart}, 0, "close 1012", (*poller.Server).Shutdown},
		{"handover", Options{}, 0, "close 1012", (*poller.Server).HandOver},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eitherWay(t, func(t *testing.T, onLoop bool) {
				tt.options.OnLoop = onLoop
				conns := make(chan *Conn, 100)
				tt.options.OnOpen = func(c *Conn) { conns <- c }
				s := start(t, &poller.Server{Spread: tt.spread, LameDuck: time.Millisecond}, echo(tt.options), onLoop)
				const n = 20
				var clients []*client
				for range n {
					c := s.open(t)
					c.send(frame(0x81, "hello"))
					c.want("text hello")
					clients = append(clients, c)
				}
				for range n {
					lingertest.Must(t, (<-conns).Write(t.Context(), Text, []byte("promised")))
				}
				result := make(chan error, 1)
				go func() { result <- tt.end(s.Server, context.Background()) }()
				var all sync.WaitGroup
				for _, c := range clients {
					all.Go(func() {
						for _, want := range []string{"text promised", tt.code} {
							if g, err := c.read(); err != nil || g.String() != want {
								t.Errorf("read %q, %v, want %q", g, err, want)
							}
						}
						c.send(closeFrame(1001, ""))
						if end := c.all(); !slices.Equal(end, []string{"FIN"}) {
							t.Errorf("it ends with %q", end)
						}
						_ = c.TCPConn.Close() // by FIN, at once: TIME_WAIT must not be the server's
					})
				}
				all.Wait()
				if err := <-result; err != nil {
					t.Errorf("Shutdown = %v", err)
				}
				if rep := s.Report(); rep.Closed != n || rep.Connections.Total() != 0 || rep.Undelivered != 0 || !rep.Complete() || !rep.Left.Free() {
					t.Errorf("the Report says %+v, want %d closed in order", rep, n)
				}
			})
		})
	}
}

// Who does not answer is reset at the deadline, and what it was promised and not sent is counted.
func TestShutdownDeadline(t *testing.T) {
	eitherWay(t, func(t *testing.T, onLoop bool) {
		conns := make(chan *Conn, 100)
		s := start(t, &poller.Server{}, echo(Options{OnLoop: onLoop, MaxQueuedBytes: 64 << 20, OnOpen: func(c *Conn) { conns <- c }}), onLoop)
		silent, full := s.open(t), s.open(t)
		a, b := <-conns, <-conns
		if a.RemoteAddr().String() == full.LocalAddr().String() {
			a, b = b, a
		}
		const promised = 20
		for range promised {
			lingertest.Must(t, b.Write(t.Context(), Binary, make([]byte, 1<<20)))
		}
		waiting := promised - (promised<<20-b.Queued())>>20
		ctx, cancel := context.WithCancel(context.Background())
		result := make(chan error, 1)
		go func() { result <- s.Shutdown(ctx) }()
		silent.want("close 1001")
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown = %v", err)
		}
		silent.wantAll("RST")
		rep := s.Report()
		if rep.AtDeadline[linger.Upgraded] != 2 || rep.AtDeadline.Total() != 2 || !rep.Complete() {
			t.Errorf("the Report says %+v, want two cut at the deadline", rep)
		}
		if rep.Undelivered != waiting || waiting < 5 {
			t.Errorf("the Report counts %d messages that were not delivered, want %d", rep.Undelivered, waiting)
		}
		if err := a.Write(context.Background(), Text, nil); err != ErrClosed {
			t.Errorf("Write behind the end = %v", err)
		}
	})
}

// A drain waits for the function that a message is with, and then for nothing.
func TestShutdownBehindHandler(t *testing.T) {
	entered, goOn := make(chan struct{}), make(chan struct{})
	s := start(t, &poller.Server{}, &Options{OnMessage: func(c *Conn, _ Type, data []byte) {
		close(entered)
		<-goOn
		_ = c.Write(context.Background(), Text, []byte("answer"))
	}}, false)
	c := s.open(t)
	c.send(frame(0x81, "question"))
	<-entered
	result := make(chan error, 1)
	go func() { result <- s.Shutdown(context.Background()) }()
	lingertest.Wait(t, "the port is given up", func() bool { return s.Report().Steps.Refused != 0 })
	close(goOn)
	c.want("text answer", "close 1001")
	c.send(closeFrame(1001, ""))
	c.wantAll("FIN")
	lingertest.Must(t, <-result)
}

// Close resets all, and says nothing before.
func TestClose(t *testing.T) {
	eitherWay(t, func(t *testing.T, onLoop bool) {
		ended := make(closes, 100)
		s := start(t, &poller.Server{}, echo(Options{OnLoop: onLoop, OnClose: ended.on}), onLoop)
		var clients []*client
		for range 20 {
			clients = append(clients, s.open(t))
		}
		// A client can have its answer before the loop has the connection back.
		lingertest.Wait(t, "all are upgraded", func() bool { return s.Report().Connections[linger.Upgraded] == 20 })
		lingertest.Must(t, s.Close())
		for _, c := range clients {
			c.wantAll("RST")
			ended.want(t, "1006")
		}
		if rep := s.Report(); rep.Connections[linger.Upgraded] != 20 || rep.Connections.Total() != 20 || !rep.Complete() || !rep.Left.Free() {
			t.Errorf("the Report says %+v", rep)
		}
	})
}

// Release lets them live on.
func TestRelease(t *testing.T) {
	s := start(t, &poller.Server{}, echo(Options{}), false)
	c := s.open(t)
	lingertest.Must(t, s.Release())
	c.send(frame(0x81, "hello"))
	c.want("text hello")
	c.send(closeFrame(1000, ""))
	c.wantAll("close 1000", "FIN")
	_ = c.TCPConn.Close()
	s.result <- <-s.result
	if rep := s.Report(); rep.Mode != linger.ModeRelease || rep.Closed != 1 || !rep.Complete() {
		t.Errorf("the Report says %+v", rep)
	}
}

// At the bound a message waits, is dropped, or ends the connection.
func TestAtBound(t *testing.T) {
	for _, tt := range []struct {
		name    string
		atBound AtBound
	}{{"wait", Wait}, {"drop", Drop}, {"end", End}} {
		t.Run(tt.name, func(t *testing.T) {
			var counters Counters
			conns := make(chan *Conn, 1)
			s := start(t, &poller.Server{}, &Options{MaxQueuedBytes: 1 << 20, AtBound: tt.atBound, Counters: &counters, OnOpen: func(c *Conn) { conns <- c }}, false)
			c := s.open(t)
			conn := <-conns
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			written := 0
			message := make([]byte, 1<<18)
			for conn.Queued() < 1<<20 {
				lingertest.Must(t, conn.Write(ctx, Binary, message))
				written++
			}
			switch tt.atBound {
			case Wait:
				result := make(chan error, 1)
				go func() { result <- conn.Write(ctx, Binary, message) }()
				lingertest.Wait(t, "it waits", func() bool { return counters.Waited.Load() == 1 })
				cancel()
				if err := <-result; err != context.Canceled {
					t.Errorf("Write = %v", err)
				}
				go func() { result <- conn.Write(context.Background(), Binary, message) }()
				lingertest.Wait(t, "it waits", func() bool { return counters.Waited.Load() == 2 })
				for range written + 1 {
					if g, err := c.read(); err != nil || len(g.payload) != len(message) {
						t.Fatalf("read %v, %v", g, err)
					}
				}
				lingertest.Must(t, <-result)
				if got := [2]int64{counters.Dropped.Load(), counters.Ended.Load()}; got != [2]int64{} {
					t.Errorf("%v are counted", got)
				}
			case Drop:
				if err := conn.Write(ctx, Binary, message); err != ErrFull || counters.Dropped.Load() != 1 {
					t.Errorf("Write = %v, %d", err, counters.Dropped.Load())
				}
				for range written {
					if g, err := c.read(); err != nil || len(g.payload) != len(message) {
						t.Fatalf("read %v, %v", g, err)
					}
				}
				lingertest.Wait(t, "there is room", func() bool { return conn.Queued() == 0 })
				lingertest.Must(t, conn.Write(ctx, Text, []byte("hello")))
				c.want("text hello")
			case End:
				if err := conn.Write(ctx, Binary, message); err != ErrClosed || counters.Ended.Load() != 1 {
					t.Errorf("Write = %v, %d", err, counters.Ended.Load())
				}
				for range written {
					if g, err := c.read(); err != nil || len(g.payload) != len(message) {
						t.Fatalf("read %v, %v", g, err)
					}
				}
				c.want("close 1013")
			}
		})
	}
}

// What is written before the handler has returned comes behind the answer to the handshake, however much it is; and a Close from there has its time.
func TestWriteInHandler(t *testing.T) {
	for _, onLoop := range []bool{true, false} {
		t.Run(fmt.Sprintf("on the loop: %v", onLoop), func(t *testing.T) {
			options := &Options{CloseTimeout: time.Millisecond}
			large := make([]byte, 100<<10)
			greet := func(c *Conn, err error) {
				if err != nil {
					t.Errorf("Accept = %v", err)
					return
				}
				for range 3 {
					if err := c.Write(context.Background(), Binary, large); err != nil {
						t.Errorf("Write = %v", err)
					}
				}
				_ = c.Close(Normal, "")
			}
			srv := &poller.Server{}
			if onLoop {
				srv.LoopHandler = poller.LoopHandlerFunc(func(w *poller.Responder, r *poller.Request) { greet(AcceptOnLoop(w, r, options)) })
			} else {
				srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { greet(Accept(w, r, options)) })
			}
			c := start(t, srv, options, false).open(t)
			for range 3 {
				if g, err := c.read(); err != nil || len(g.payload) != len(large) {
					t.Fatalf("read %v, %v", g, err)
				}
			}
			c.wantAll("close 1000", "FIN")
		})
	}
}
