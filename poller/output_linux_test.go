//go:build linux

package poller

import (
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// slowly reads c to its end in small pieces, with a small receive buffer, and returns the number of bytes.
func slowly(t *testing.T, r io.Reader) int {
	t.Helper()
	total, buf := 0, make([]byte, 10_000)
	for {
		n, err := r.Read(buf)
		total += n
		if err == io.EOF {
			return total
		}
		if err != nil {
			t.Fatalf("the connection ended with %v after %d bytes", err, total)
		}
	}
}

func TestSlowReaderGetsAll(t *testing.T) {
	s := start(t, &Server{Loops: 1, LoopHandler: LoopHandlerFunc(bytesHandler)})
	for _, path := range []string{"/bytes", "/memory"} {
		for _, halfClosed := range []bool{false, true} {
			t.Run(path, func(t *testing.T) {
				c := s.dialSlow(t)
				c.send("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				if halfClosed {
					_ = c.CloseWrite()
				}
				lingertest.Wait(t, "the answer waits for its reader", func() bool {
					n := s.Report().Connections
					return n[linger.Sending] == 1 || n[linger.Closing] == 1
				})
				if n := slowly(t, c.in); n < plenty() {
					t.Errorf("%d bytes came, want %d and a head", n, plenty())
				}
				c.Close()
				lingertest.Wait(t, "the connection is gone", func() bool { return s.Report().Connections.Total() == 0 })
			})
		}
	}
}

// While an answer waits for its reader, the requests behind it stay in the kernel; all are answered in the end.
func TestAnswersBehindASlowReader(t *testing.T) {
	s := start(t, &Server{Loops: 1, LoopHandler: LoopHandlerFunc(bytesHandler)})
	c := s.dialSlow(t)
	n := lingertest.Times(2, 5)
	c.send(strings.Repeat("GET /bytes HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", n))
	for range n {
		if _, body := c.answer("GET"); len(body) != plenty() {
			t.Fatalf("%d bytes came, want %d", len(body), plenty())
		}
		if _, body := c.answer("GET"); body != "Hello, World!" {
			t.Fatalf("got %q", body)
		}
	}
	lingertest.Wait(t, "the connection is idle", func() bool { return s.Report().Connections[linger.Idle] == 1 })
	c.get("/")
}

// One client that reads as fast as it can must not keep the loop to itself.
func TestFastReaderLeavesOthersTheirTurn(t *testing.T) {
	s := start(t, &Server{Loops: 1, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
		if string(r.Path) == "/endless" {
			w.SetContent(pattern{}, 1<<62)
			return
		}
		hello(w, r)
	})})
	greedy := s.dial(t)
	greedy.send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
	go func() { _, _ = io.Copy(io.Discard, greedy.in) }()
	other := s.dial(t)
	for range 100 {
		other.get("/")
	}
}

type failing struct {
	after  int
	err    error
	closed *atomic.Bool
}

func (f *failing) Read(p []byte) (int, error) {
	if f.after == 0 {
		if f.err == nil {
			panic("a reader's mistake")
		}
		return 0, f.err
	}
	n := min(f.after, len(p))
	f.after -= n
	return n, nil
}

func (f *failing) Close() error { f.closed.Store(true); return nil }

// Content that cannot be delivered whole must not look whole.
func TestFailingSourceAborts(t *testing.T) {
	sources := map[string]error{"/EOF": io.EOF, "/error": errors.New("disk on fire"), "/panic": nil}
	var closed atomic.Bool
	s := start(t, &Server{LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
		w.SetContent(&failing{1000, sources[string(r.Path)], &closed}, 2000)
	})})
	for path := range sources {
		t.Run(path, func(t *testing.T) {
			closed.Store(false)
			c := s.dial(t)
			c.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
			c.wantReset()
			lingertest.Wait(t, "the source is closed", closed.Load)
			if !s.log.Contains("content of its answer cannot be read") {
				t.Error("nothing was logged")
			}
		})
	}
}

func TestSourceIsClosed(t *testing.T) {
	var closed atomic.Bool
	s := start(t, &Server{LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
		w.SetContent(&failing{1 << 30, io.EOF, &closed}, 1<<30)
	})})
	t.Run("HEAD", func(t *testing.T) {
		c := s.dial(t)
		c.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
		if res, _ := c.answer("HEAD"); res.ContentLength != 1<<30 {
			t.Errorf("Content-Length: %d", res.ContentLength)
		}
		lingertest.Wait(t, "the source is closed", closed.Load)
	})
	t.Run("client leaves", func(t *testing.T) {
		closed.Store(false)
		c := s.dial(t)
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		_, _ = c.in.ReadByte()
		_ = c.SetLinger(0)
		_ = c.Close()
		lingertest.Wait(t, "the source is closed", closed.Load)
	})
	t.Run("teardown", func(t *testing.T) {
		closed.Store(false)
		c := s.dial(t)
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		lingertest.Wait(t, "the answer waits for its reader", func() bool { return s.Report().Connections[linger.Sending] == 1 })
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if !closed.Load() {
			t.Error("the source is still open after Close")
		}
		c.wantReset()
	})
}

// A half-closed client gets the answers to all it has sent.
func TestHalfClosedClientGetsItsAnswers(t *testing.T) {
	s := start(t, &Server{})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
	_ = c.CloseWrite()
	c.answer("GET")
	c.answer("GET")
	c.wantEOF()
}

// Behind the last answer the server waits for the client's FIN: requests that come after Connection: close must not reset
// the answer away.
func TestRequestsBehindTheLast(t *testing.T) {
	s := start(t, &Server{Loops: 1, LoopHandler: LoopHandlerFunc(bytesHandler)})
	c := s.dialSlow(t)
	c.send("GET /bytes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	c.send(strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1000))
	if _, body := c.answer("GET"); len(body) != plenty() {
		t.Fatalf("%d bytes came", len(body))
	}
	c.send(strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1000))
	c.wantEOF()
}

// The server must not be the one that resets when everything went well, although its connections are armed.
func TestOrdinaryEndsAreDisarmed(t *testing.T) {
	s := start(t, &Server{})
	c := s.dial(t)
	c.get("/")
	_ = c.CloseWrite()
	c.wantEOF()
	lingertest.Wait(t, "the connection is gone", func() bool { return s.Report().Connections.Total() == 0 })
	// A RST would have made this an error.
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		if e, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); err != nil || e != 0 {
			t.Errorf("the socket's error is %v (%v)", syscall.Errno(e), err)
		}
	})
}

// Content that is replaced before it was sent is closed too.
func TestReplacedSourceIsClosed(t *testing.T) {
	var first, second, third atomic.Bool
	s := start(t, &Server{LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
		first.Store(false)
		second.Store(false)
		third.Store(false)
		w.SetContent(&failing{3, io.EOF, &first}, 3)
		same := &failing{3, io.EOF, &second}
		w.SetContent(same, 2)
		w.SetContent(same, 3)
		if second.Load() {
			t.Error("content was closed although it was set again")
		}
		if string(r.Path) == "/error" {
			w.Error(404, "not found")
			return
		}
		w.SetContent(&failing{3, io.EOF, &third}, 3)
	})})
	c := s.dial(t)
	c.get("/")
	lingertest.Wait(t, "the content that was sent is closed", third.Load)
	if !first.Load() || !second.Load() || !third.Load() {
		t.Errorf("closed: %v, %v, %v", first.Load(), second.Load(), third.Load())
	}
	c.send("GET /error HTTP/1.1\r\nHost: x\r\n\r\n")
	c.answer("GET")
	if !first.Load() || !second.Load() {
		t.Errorf("with Error, closed: %v, %v", first.Load(), second.Load())
	}
}

// A client that takes nothing of its answer is aborted.
func TestWriteTimeout(t *testing.T) {
	s := start(t, &Server{Loops: 1, WriteTimeout: 50 * time.Millisecond, LoopHandler: LoopHandlerFunc(bytesHandler)})
	for _, path := range []string{"/memory", "/bytes"} {
		c := s.dialSlow(t)
		lingertest.Wait(t, "the connection is there", func() bool { return s.Report().Connections.Total() == 1 })
		c.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
		lingertest.Wait(t, "the connection is gone", func() bool { return s.Report().Connections.Total() == 0 })
		c.wantReset()
	}
}

// A client that takes little by little of its answer is not aborted, until it takes no more. The timeout is over when the test says
// so: a busy machine can keep any client from reading for any time.
func TestWriteTimeoutOfSlowReader(t *testing.T) {
	s := start(t, &Server{Loops: 1, WriteTimeout: time.Hour, LoopHandler: LoopHandlerFunc(bytesHandler)})
	l := s.run.loops[0]
	for _, path := range []string{"/memory", "/bytes"} {
		client := s.dialBuffered(t, 256<<10)
		client.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
		var c *conn
		lingertest.Wait(t, "the answer waits for its reader", func() bool {
			onLoop(l, func() { c = l.lists[writeTimeout].first })
			return c != nil
		})
		for range 5 {
			// Where the kernel takes more itself, the timeout begins anew anyway, and at another time.
			lingertest.Wait(t, "the client has taken more, and the kernel has not", func() (over bool) {
				if _, err := io.ReadFull(client, make([]byte, 8<<10)); err != nil {
					t.Fatalf("a client that reads got %v", err)
				}
				onLoop(l, func() {
					noted := c.progress
					over = c.countUnacked() < noted
					c.progress = noted
					if over {
						c.deadline = 1
						l.expire()
					}
				})
				return over
			})
		}
		lingertest.Wait(t, "the connection is gone", func() bool {
			onLoop(l, func() {
				if first := l.lists[writeTimeout].first; first != nil {
					first.deadline = 1
					l.expire()
				}
			})
			return s.Report().Connections.Total() == 0
		})
		client.wantReset()
	}
}

// However many clients read as fast as they can, others are accepted and answered.
func TestFastReadersLeaveOthersTheirTurn(t *testing.T) {
	s := start(t, &Server{Loops: 1, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
		if string(r.Path) == "/endless" {
			w.SetContent(pattern{}, 1<<62)
			return
		}
		hello(w, r)
	})})
	var all sync.WaitGroup
	for range 64 {
		greedy := s.dial(t)
		greedy.send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
		all.Go(func() { _, _ = io.Copy(io.Discard, greedy) })
	}
	for range 10 {
		s.dial(t).get("/")
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	all.Wait()
}

// Between two rounds the loop gets to its other connections.
func TestRoundsAreBounded(t *testing.T) {
	s := start(t, &Server{Loops: 1})
	l := s.run.loops[0]
	const n = 3*perRound + 1
	var sizes []int
	done := make(chan struct{})
	l.post(func() {
		// On the loop nothing can come between.
		for range n {
			l.turn(&conn{loop: l, state: gone})
		}
		for len(l.turns.waiting) > 0 {
			before := len(l.turns.waiting)
			l.round()
			sizes = append(sizes, before-len(l.turns.waiting))
		}
		close(done)
	})
	<-done
	if want := []int{perRound, perRound, perRound, 1}; !slices.Equal(sizes, want) {
		t.Errorf("rounds of %v, want %v", sizes, want)
	}
}
