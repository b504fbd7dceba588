//go:build linux

package poller

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReader(r) }

// bytesHandler answers /bytes with plenty, made as the client takes it.
func bytesHandler(w *Responder, r *Request) {
	switch string(r.Path) {
	case "/bytes":
		w.SetContent(io.LimitReader(pattern{}, int64(plenty())), int64(plenty()))
	case "/memory":
		_, _ = w.Write([]byte(strings.Repeat("x", plenty())))
	default:
		hello(w, r)
	}
}

// plenty is how many bytes of an answer are more than the kernel takes for a client that reads slowly: 4 MiB of its own, unless
// somebody has given it more (tcp_wmem, tcp(7)).
func plenty() int { return lingertest.Times(6, 10) << 20 }

// pattern reads as one letter for ever.
type pattern struct{}

func (pattern) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestRequests(t *testing.T) {
	echo := LoopHandlerFunc(func(w *Responder, r *Request) {
		local, err := r.LocalAddr()
		if err != nil || !local.IsValid() || !r.RemoteAddr().IsValid() {
			t.Errorf("addresses: %v, %v, %v", local, r.RemoteAddr(), err)
		}
		fmt.Fprintf(w, "%s %s %q", r.Method, r.RequestTarget, r.Body)
		for _, f := range r.Trailers {
			fmt.Fprintf(w, " %s=%s", f.Name, f.Value)
		}
	})
	s := start(t, &Server{LoopHandler: echo})
	tests := []struct {
		name, request, method string
		status                int
		want                  string
		closes                bool
	}{
		{"GET", "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n", "GET", 200, `GET /a?b ""`, false},
		{"HEAD", "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", "HEAD", 200, "", false},
		{"content", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "POST", 200, `POST / "hello"`, false},
		{"chunked", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
			"2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\nX-Sum: 7\r\n\r\n", "POST", 200, `POST / "hello" X-Sum=7`, false},
		{"close", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "GET", 200, `GET / ""`, true},
		{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", "GET", 200, `GET / ""`, true},
		{"HTTP/1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET", 200, `GET / ""`, false},
		{"malformed", "GET / HTTP/1.1\nHost: x\n\n", "GET", 400, "", true},
		{"HEAD without Host", "HEAD / HTTP/1.1\r\n\r\n", "HEAD", 400, "", true},
		{"HEAD with broken content", "\r\nHEAD / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nz", "HEAD", 400, "", true},
		{"HEAD with too much content", "HEAD / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", "HEAD", 413, "", true},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", "GET", 400, "", true},
		{"version", "GET / HTTP/2.0\r\n\r\n", "GET", 505, "", true},
		{"coding", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "POST", 501, "", true},
		{"expectation", "POST / HTTP/1.1\r\nHost: x\r\nExpect: magic\r\nContent-Length: 1\r\n\r\n", "POST", 417, "", true},
		{"broken chunk", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "POST", 400, "", true},
	}
	for _, tt := range tests {
		for _, whole := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/whole=%v", tt.name, whole), func(t *testing.T) {
				c := s.dial(t)
				if whole {
					c.send(tt.request)
				} else {
					_ = c.SetNoDelay(true)
					for i := range len(tt.request) {
						if _, err := c.Write([]byte{tt.request[i]}); err != nil {
							break // refused before the end
						}
					}
				}
				res, body := c.answer(tt.method)
				if res.StatusCode != tt.status {
					t.Fatalf("status %s, want %d", res.Status, tt.status)
				}
				if tt.want != "" && body != tt.want {
					t.Errorf("content %q, want %q", body, tt.want)
				}
				if _, err := http.ParseTime(res.Header.Get("Date")); err != nil {
					t.Errorf("Date: %v", err)
				}
				if res.Close != tt.closes && !(res.ProtoMinor == 0) {
					t.Errorf("Connection: close is %v, want %v", res.Close, tt.closes)
				}
				if tt.closes {
					c.wantEOF()
				} else if got := c.get("/again"); got != `GET /again ""` {
					t.Errorf("the next answer is %q", got)
				}
			})
		}
	}
}

func TestPipelinedAnswersLeaveInOneWrite(t *testing.T) {
	s := start(t, &Server{Loops: 1, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
		_, _ = w.Write(r.RequestTarget)
	})})
	c := s.dial(t)
	c.get("/warm")
	var batch strings.Builder
	for i := range 16 {
		fmt.Fprintf(&batch, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", i)
	}
	segments := func() uint64 {
		var n uint64
		raw, err := c.SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) {
				info, e := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
				if e != nil {
					t.Fatal(e)
				}
				n = uint64(info.Data_segs_in)
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := segments()
	c.send(batch.String())
	for i := range 16 {
		if _, body := c.answer("GET"); body != "/"+strconv.Itoa(i) {
			t.Fatalf("answer %d is %q", i, body)
		}
	}
	if n := segments() - before; n != 1 {
		t.Errorf("16 answers came in %d segments, want 1", n)
	}
}

func TestExpectContinue(t *testing.T) {
	s := start(t, &Server{MaxBodyBytes: 100, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) { _, _ = w.Write(r.Body) })})
	const head = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: "
	c := s.dial(t)
	c.send(head + "5\r\n\r\n")
	if res, _ := c.answer("POST"); res.StatusCode != 100 {
		t.Fatalf("got %s, want 100", res.Status)
	}
	c.send("hello")
	if res, body := c.answer("POST"); res.StatusCode != 200 || body != "hello" {
		t.Fatalf("got %s %q", res.Status, body)
	}
	// A client that did not wait gets no 100.
	c.send(head + "5\r\n\r\nhello")
	if res, body := c.answer("POST"); res.StatusCode != 200 || body != "hello" {
		t.Fatalf("got %s %q", res.Status, body)
	}
	c.send(head + "101\r\n\r\n")
	if res, _ := c.answer("POST"); res.StatusCode != 413 {
		t.Fatalf("got %s, want 413", res.Status)
	}
	c.wantEOF()
}

func TestLimits(t *testing.T) {
	s := start(t, &Server{MaxHeaderBytes: 1000, MaxFields: 10, MaxBodyBytes: 1000})
	const get, post = "GET / HTTP/1.1\r\nHost: x\r\n", "POST / HTTP/1.1\r\nHost: x\r\n"
	tests := []struct {
		name, request string
		status        int
	}{
		{"header", get + "A: " + strings.Repeat("a", 2000) + "\r\n\r\n", 431},
		{"fields", get + strings.Repeat("A: b\r\n", 20) + "\r\n", 431},
		{"target", "GET /" + strings.Repeat("a", 2000) + " HTTP/1.1\r\n", 414},
		{"method", strings.Repeat("A", 2000), 501},
		{"length", post + "Content-Length: 1001\r\n\r\n", 413},
		{"chunked", post + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + strings.Repeat("a", 1001), 413},
		{"chunked in pieces", post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("64\r\n"+strings.Repeat("a", 100)+"\r\n", 11), 413},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := s.dial(t)
			c.send(tt.request)
			if res, _ := c.answer("GET"); res.StatusCode != tt.status || !res.Close {
				t.Errorf("got %s, close %v; want %d", res.Status, res.Close, tt.status)
			}
			c.wantEOF()
		})
	}
	c := s.dial(t)
	c.send(post + "Content-Length: 1000\r\n\r\n" + strings.Repeat("a", 1000))
	if res, _ := c.answer("POST"); res.StatusCode != 200 {
		t.Errorf("content of the greatest length: %s", res.Status)
	}
}

// A client that is refused while it still sends must be able to read why: closing at once would reset the connection.
func TestRefusalReachesAClientThatStillSends(t *testing.T) {
	s := start(t, &Server{})
	for range lingertest.Times(4, 20) {
		c := s.dial(t)
		c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", 64<<20))
		piece := []byte(strings.Repeat("a", 1<<20))
		for range 64 {
			if _, err := c.Write(piece); err != nil {
				t.Fatalf("the connection broke under the upload: %v", err)
			}
		}
		if res, _ := c.answer("POST"); res.StatusCode != 413 {
			t.Errorf("got %s, want 413", res.Status)
		}
		c.wantEOF()
	}
}

func TestResponder(t *testing.T) {
	handlers := map[string]func(w *Responder){
		"/too-much":   func(w *Responder) { _, err := w.Write(make([]byte, 101)); w.SetStatus(statusIf(err)) },
		"/as-much":    func(w *Responder) { _, err := w.WriteString(strings.Repeat("a", 100)); w.SetStatus(statusIf(err)) },
		"/injection":  func(w *Responder) { w.AddField("X", "a\r\nSet-Cookie: b") },
		"/framing":    func(w *Responder) { w.AddField("Content-Length", "7") },
		"/status":     func(w *Responder) { w.SetStatus(99) },
		"/interim":    func(w *Responder) { w.SetStatus(103) },
		"/length":     func(w *Responder) { w.SetContent(pattern{}, -1) },
		"/close":      func(w *Responder) { w.AddField("Connection", "close") },
		"/no-content": func(w *Responder) { w.SetStatus(204); _, _ = w.WriteString("not sent") },
		"/source":     func(w *Responder) { w.SetContent(pattern{}, 3) },
		"/error":      func(w *Responder) { _, _ = w.WriteString("partial"); w.Error(418, "teapot") },
	}
	s := start(t, &Server{MaxOutputBytes: 100, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) { handlers[string(r.Path)](w) })})
	tests := []struct {
		path   string
		status int
		body   string
	}{
		{"/too-much", 507, ""}, {"/as-much", 200, strings.Repeat("a", 100)},
		{"/injection", 500, "500 internal server error\n"}, {"/framing", 500, "500 internal server error\n"},
		{"/status", 500, "500 internal server error\n"}, {"/interim", 500, "500 internal server error\n"},
		{"/length", 500, "500 internal server error\n"}, {"/close", 200, ""}, {"/no-content", 204, ""},
		{"/source", 200, "xxx"}, {"/error", 418, "418 teapot\n"},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			c := s.dial(t)
			c.send("GET " + tt.path + " HTTP/1.1\r\nHost: x\r\n\r\n")
			res, body := c.answer("GET")
			if res.StatusCode != tt.status || body != tt.body {
				t.Errorf("got %s %q, want %d %q", res.Status, body, tt.status, tt.body)
			}
			if tt.status == 500 && !s.log.Contains("answer cannot be sent") {
				t.Error("the reason was not logged")
			}
			if tt.path == "/close" {
				c.wantEOF()
			} else {
				c.send("HEAD " + tt.path + " HTTP/1.1\r\nHost: x\r\n\r\n")
				if res, _ := c.answer("HEAD"); res.StatusCode != tt.status {
					t.Errorf("HEAD: %s, want %d", res.Status, tt.status)
				}
			}
		})
	}
}

func statusIf(err error) int {
	if errors.Is(err, ErrOutputTooLarge) {
		return 507
	}
	return 200
}

func TestConnectOpensNoTunnel(t *testing.T) {
	s := start(t, &Server{})
	c := s.dial(t)
	c.send("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n")
	if res, _ := c.answer("CONNECT"); res.StatusCode != 500 {
		t.Errorf("got %s, want 500 in place of a handler's 200", res.Status)
	}
	if !s.log.Contains("opens a tunnel") {
		t.Error("the reason was not logged")
	}
	c.get("/")
}

// The empty line that some clients send behind the content of a request is not the beginning of another.
func TestEmptyLineBehindARequest(t *testing.T) {
	s := start(t, &Server{Loops: 1})
	c := s.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi\r\n")
	c.answer("POST")
	lingertest.Wait(t, "the connection is idle", func() bool { return s.Report().Connections[linger.Idle] == 1 })
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n\r\n")
	c.answer("GET")
	s.timeOut(t, idleTimeout, func(c *conn) bool { return len(c.in) == 2 })
	c.wantEOF() // no 408
}

func TestHandlerPanics(t *testing.T) {
	s := start(t, &Server{Loops: 1, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
		switch string(r.Path) {
		case "/panic":
			panic("a handler's mistake")
		case "/abort":
			panic(http.ErrAbortHandler)
		}
	})})
	bystander := s.dial(t)
	bystander.get("/")
	for _, path := range []string{"/panic", "/abort"} {
		c := s.dial(t)
		c.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
		c.wantReset()
	}
	bystander.get("/")
	log := s.log.String()
	if n := strings.Count(log, "the handler panicked"); n != 1 || !strings.Contains(log, "a handler's mistake") || !strings.Contains(log, "http_linux_test.go") {
		t.Errorf("%d panics logged, want one with its stack; the log:\n%s", n, log)
	}
}

// Without a handler there is net/http's default one.
func TestNoHandler(t *testing.T) {
	var zero Server
	cfg, err := zero.config()
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, &Server{Handler: cfg.handler})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if res, body := c.answer("GET"); res.StatusCode != 404 || body != "404 page not found\n" {
		t.Errorf("got %s %q, want what http.DefaultServeMux answers", res.Status, body)
	}
}

// The times are over when the test says so: a busy machine can keep any client from sending for any time.
func TestTimeouts(t *testing.T) {
	s := start(t, &Server{Loops: 1, HeaderTimeout: time.Hour, BodyTimeout: time.Hour, IdleTimeout: time.Hour})
	tests := []struct {
		name, send string
		answers    int // before the timeout
		waits      timeoutKind
		received   int // bytes that wait for more
		want408    bool
	}{
		{"nothing sent", "", 0, headerTimeout, 0, false},
		{"part of a head", "GET / HTTP/1.1\r\n", 0, headerTimeout, 16, true},
		{"part of a content", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe", 0, bodyTimeout, 0, true},
		{"idle", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1, idleTimeout, 0, false},
		{"part of a second head", "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET", 1, headerTimeout, 3, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := s.dial(t)
			c.send(tt.send)
			for range tt.answers {
				c.answer("GET")
			}
			s.timeOut(t, tt.waits, func(c *conn) bool { return len(c.in) == tt.received })
			if tt.want408 {
				if res, _ := c.answer("GET"); res.StatusCode != 408 || !res.Close {
					t.Errorf("got %s, want 408 and close", res.Status)
				}
			}
			c.wantEOF()
			c.Close()
			lingertest.Wait(t, "the connection is gone", func() bool { return s.Report().Connections.Total() == 0 })
		})
	}
	// Bytes that come one by one do not put the end of the head off for ever.
	t.Run("slow head", func(t *testing.T) {
		c := s.dial(t)
		var deadline time.Duration
		for received := 1; received <= 4; received++ {
			c.send("G")
			lingertest.Wait(t, "the byte has come", func() (found bool) {
				l := s.run.loops[0]
				onLoop(l, func() {
					slow := l.lists[headerTimeout].first
					if found = slow != nil && len(slow.in) == received; !found {
						return
					}
					if received > 1 && slow.deadline != deadline {
						t.Errorf("byte %d has put the deadline off by %s", received, slow.deadline-deadline)
					}
					slow.deadline -= time.Minute // a new one would be seen
					deadline = slow.deadline
				})
				return found
			})
		}
		s.timeOut(t, headerTimeout, (*conn).begun)
		if res, _ := c.answer("GET"); res.StatusCode != 408 {
			t.Errorf("got %s, want 408", res.Status)
		}
	})
}

func TestNoTimeouts(t *testing.T) {
	var s Server
	s.HandshakeTimeout = -1
	s.HeaderTimeout, s.BodyTimeout, s.IdleTimeout = -1, -1, -1
	cfg, err := s.config()
	if err != nil || cfg.headerTimeout != 0 || cfg.bodyTimeout != 0 || cfg.idleTimeout != 0 {
		t.Fatalf("config() = %+v, %v", cfg, err)
	}
	sv := start(t, &s)
	c := sv.dial(t)
	c.get("/")
	var armed bool
	done := make(chan struct{})
	sv.run.loops[0].post(func() { armed = sv.run.loops[0].alarm.at != 0; close(done) })
	<-done
	if armed {
		t.Error("a timer runs although there is no timeout")
	}
}

// The greatest durations are a common way to say for ever; added to a time they overflow.
func TestEndlessTimeouts(t *testing.T) {
	for _, forever := range []time.Duration{1<<63 - 1, 1<<63 - 1 - 50*time.Millisecond} {
		s := start(t, &Server{IdleTimeout: forever, HeaderTimeout: forever, WriteTimeout: forever, BodyTimeout: 50 * time.Millisecond})
		idle, silent := s.dial(t), s.dial(t)
		idle.get("/")
		silent.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe")
		if res, _ := silent.answer("POST"); res.StatusCode != 408 {
			t.Errorf("got %s, want 408", res.Status)
		}
		idle.get("/")
	}
}

// What a user of the package wrote costs its own connection, wherever it is called from.
func TestPanicsElsewhere(t *testing.T) {
	boom := func(Conn) { panic("a hook's mistake") }
	s := start(t, &Server{Loops: 1, ConnOpened: boom, ConnClosed: boom, ConnAborted: boom,
		LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) { w.SetContent(panicsOnClose{}, 3) })})
	for range 3 {
		c := s.dial(t)
		if body := c.get("/"); body != "xxx" {
			t.Errorf("got %q", body)
		}
		c.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
		c.answer("HEAD")
		_ = c.CloseWrite()
		c.wantEOF()
	}
	kept := s.dial(t)
	kept.get("/")
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	for _, what := range []string{"connection hook panicked", "content's Close panicked"} {
		if !s.log.Contains(what) {
			t.Errorf("the log does not say: %s", what)
		}
	}
}

type panicsOnClose struct{ pattern }

func (panicsOnClose) Close() error { panic("a source's mistake") }

// The answers before that of a handler that panics are complete, and have a chance.
func TestAnswersBeforeAPanic(t *testing.T) {
	s := start(t, &Server{LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
		if string(r.Path) == "/panic" {
			panic(http.ErrAbortHandler)
		}
	})})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /panic HTTP/1.1\r\nHost: x\r\n\r\n")
	c.answer("GET")
	c.wantReset()
}
