//go:build linux

package poller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/httpcodec"
	"rstserver/internal/lingertest"
)

// serve starts a server whose Handler is f.
func serve(t testing.TB, f http.HandlerFunc) *served {
	t.Helper()
	return start(t, &Server{Handler: f})
}

func TestHandlerSeesTheRequest(t *testing.T) {
	seen := make(chan *http.Request, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading the content: %v", err)
		}
		if srv := r.Context().Value(http.ServerContextKey); srv == nil {
			t.Error("no ServerContextKey in the context")
		}
		if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); !ok || addr.String() == "" {
			t.Errorf("LocalAddrContextKey is %v", addr)
		}
		seen <- r
		w.Header().Set("X-Length", fmt.Sprint(len(body)))
		fmt.Fprintf(w, "%s %s", r.Method, body)
	})
	c := s.dial(t)
	c.send("POST /a%20b/c?d=e HTTP/1.1\r\nHost: example.org\r\nx-one: 1\r\nX-One: 2\r\nTransfer-Encoding: chunked\r\n" +
		"Trailer: X-Sum\r\n\r\n5\r\nhello\r\n1;ext=2\r\n!\r\n0\r\nX-Sum: 42\r\nX-Not-Announced: yes\r\n\r\n")
	res, body := c.answer("POST")
	r := <-seen
	if res.StatusCode != 200 || body != "POST hello!" || res.Header.Get("X-Length") != "6" {
		t.Errorf("answer = %s %q %v", res.Status, body, res.Header)
	}
	if r.URL.Path != "/a b/c" || r.URL.RawQuery != "d=e" || r.Host != "example.org" || r.RequestURI != "/a%20b/c?d=e" ||
		r.ContentLength != -1 || r.Proto != "HTTP/1.1" || r.RemoteAddr != c.LocalAddr().String() {
		t.Errorf("request = %+v", r)
	}
	if got := r.Header["X-One"]; len(got) != 2 || got[0] != "1" || got[1] != "2" || r.Header.Get("Host") != "" {
		t.Errorf("header = %v", r.Header)
	}
	if r.Trailer.Get("X-Sum") != "42" || r.Trailer.Get("X-Not-Announced") != "yes" {
		t.Errorf("trailer = %v", r.Trailer)
	}
}

func TestHandlerAnswers(t *testing.T) {
	big := strings.Repeat("0123456789", 10_000)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/small":
			_, _ = io.WriteString(w, "small")
		case "/big":
			_, _ = io.WriteString(w, big)
		case "/sized":
			w.Header().Set("Content-Length", fmt.Sprint(len(big)))
			_, _ = io.Copy(w, strings.NewReader(big))
		case "/flushed":
			_, _ = io.WriteString(w, "one")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "two")
		case "/status":
			w.WriteHeader(418)
		case "/empty":
		case "/nocontent":
			w.WriteHeader(204)
			if _, err := w.Write([]byte("x")); err != http.ErrBodyNotAllowed {
				t.Errorf("Write behind 204 = %v", err)
			}
		case "/trailers":
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(w, "content")
			w.Header().Set("X-Sum", "7")
			w.Header().Set(http.TrailerPrefix+"X-Late", "8")
		case "/hostile":
			w.Header().Set("X-Split", "a\r\nX-Injected: b")
			w.Header()["Bad Name"] = []string{"x"}
		}
	})
	tests := []struct {
		path, version string
		status        int
		body          string
		length        int64
	}{
		{"/small", "1.1", 200, "small", 5},
		{"/small", "1.0", 200, "small", 5},
		{"/big", "1.1", 200, big, -1},
		{"/big", "1.0", 200, big, -1},
		{"/sized", "1.1", 200, big, int64(len(big))},
		{"/flushed", "1.1", 200, "onetwo", -1},
		{"/flushed", "1.0", 200, "onetwo", -1},
		{"/status", "1.1", 418, "", 0},
		{"/empty", "1.1", 200, "", 0},
		{"/nocontent", "1.1", 204, "", 0},
		{"/trailers", "1.1", 200, "content", -1},
		{"/hostile", "1.1", 200, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.version+tt.path, func(t *testing.T) {
			c := s.dial(t)
			for i := range 2 {
				c.send("GET " + tt.path + " HTTP/" + tt.version + "\r\nHost: x\r\nConnection: keep-alive\r\n\r\n")
				res, body := c.answer("GET")
				if res.StatusCode != tt.status || body != tt.body || res.ContentLength != tt.length {
					t.Fatalf("answer = %s, %d bytes, Content-Length %d; want %d, %d bytes, %d", res.Status, len(body),
						res.ContentLength, tt.status, len(tt.body), tt.length)
				}
				if tt.path == "/trailers" && (res.Trailer.Get("X-Sum") != "7" || res.Trailer.Get("X-Late") != "8") {
					t.Errorf("trailer = %v", res.Trailer)
				}
				if res.Header.Get("X-Injected") != "" || tt.path == "/hostile" && res.Header.Get("X-Split") != "a  X-Injected: b" {
					t.Errorf("header = %v", res.Header)
				}
				if closes := tt.version == "1.0" && tt.length < 0; closes {
					c.wantEOF()
					break
				} else if res.Close && i == 0 {
					t.Fatalf("the connection closes: %v", res.Header)
				}
			}
		})
	}
}

func TestHandlerPanic(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun")
		w.(http.Flusher).Flush()
		switch r.URL.Path {
		case "/quiet":
			panic(http.ErrAbortHandler)
		case "/loud":
			panic("a handler's mistake")
		}
	})
	quiet := s.dial(t)
	quiet.send("GET /quiet HTTP/1.1\r\nHost: x\r\n\r\n")
	quiet.wantReset()
	if s.log.Contains("level=ERROR") {
		t.Errorf("http.ErrAbortHandler was logged")
	}
	other := s.dial(t)
	other.get("/")
	loud := s.dial(t)
	loud.send("GET /loud HTTP/1.1\r\nHost: x\r\n\r\n")
	loud.wantReset()
	if !s.log.Contains("a handler's mistake") || !s.log.Contains("TestHandlerPanic") {
		t.Errorf("the panic was not logged with its stack")
	}
	other.get("/")
}

func TestHandlerGoexit(t *testing.T) {
	s := start(t, &Server{MaxHandlers: 1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/exit" {
			runtime.Goexit() // as t.FailNow does
		}
	})})
	for range 3 {
		c := s.dial(t)
		c.send("GET /exit HTTP/1.1\r\nHost: x\r\n\r\n")
		c.wantReset()
		s.dial(t).get("/")
	}
}

func TestHandlerContentLength(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		switch r.URL.Path {
		case "/short":
			_, _ = io.WriteString(w, "1234")
		case "/long":
			_, _ = io.WriteString(w, "12345")
			if n, err := io.WriteString(w, "6"); err != http.ErrContentLength || n != 0 {
				t.Errorf("Write beyond Content-Length = %d, %v", n, err)
			}
		case "/hole":
			for _, part := range []string{"123456", "12345"} {
				if n, err := io.WriteString(w, part); err != http.ErrContentLength || n != 0 {
					t.Errorf("Write beyond Content-Length, or behind one = %d, %v", n, err)
				}
			}
		}
	})
	c := s.dial(t)
	if body := c.get("/long"); body != "12345" {
		t.Errorf("content = %q", body)
	}
	for _, target := range []string{"/short", "/hole"} {
		c := s.dial(t)
		c.send("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n")
		c.wantReset()
	}
}

func TestHandlerExpectContinue(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/read" {
			body, err := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %v", body, err)
		}
	})
	const fields = " HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
	c := s.dial(t)
	c.send("POST /read" + fields)
	if res, _ := c.answer("POST"); res.StatusCode != 100 {
		t.Fatalf("got %s, want 100", res.Status)
	}
	c.send("hello")
	if _, body := c.answer("POST"); body != "hello <nil>" {
		t.Errorf("answer = %q", body)
	}
	c.send("POST /unread" + fields)
	if res, _ := c.answer("POST"); res.StatusCode != 200 || !res.Close {
		t.Errorf("answer without the content = %s, close %v; want 200 and close", res.Status, res.Close)
	}
	c.wantEOF()
}

// Until the client has been asked for its content, an answer is the connection's last, whoever reads meanwhile: what comes
// next could be another request.
func TestAnswerBeforeContinue(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		x := w.(*responseWriter).x
		x.mu.Lock() // the client is not asked before it is unlocked
		read := make(chan struct{})
		go func() {
			defer close(read)
			_, _ = io.ReadAll(r.Body)
		}()
		lingertest.Wait(t, "content is read", func() bool {
			locked := x.body.mu.TryLock()
			if locked {
				x.body.mu.Unlock()
			}
			return !locked
		})
		time.Sleep(time.Millisecond) // for the reader to come to the lock
		if x.body.skippable(-1) {
			t.Error("content that the client has not been asked for is expected to come")
		}
		x.mu.Unlock()
		<-read
		if !x.body.skippable(-1) {
			t.Error("content that has come is not expected to have come")
		}
	})
	c := s.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	c.answer("POST")
	c.send("hello")
	if res, _ := c.answer("POST"); res.Close {
		t.Error("the connection closes although all content was read")
	}
}

// Content that the handler does not read is skipped if there is not much of it.
func TestUnreadContent(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 10))
	})
	send := func(c *client, n int) (closes bool) {
		c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", n))
		go func() { _, _ = c.Write(make([]byte, n)) }()
		res, _ := c.answer("POST")
		if res.StatusCode != 200 {
			t.Errorf("got %s", res.Status)
		}
		return res.Close
	}
	c := s.dial(t)
	for _, n := range []int{10, 1000, 200_000, 250_000} {
		if send(c, n) {
			t.Errorf("with %d bytes the connection closes", n)
		}
	}
	if !send(c, 1_000_000) {
		t.Error("with 1,000,000 bytes the connection does not close")
	}
}

// While the handler does not read, the client cannot send more than the kernel's buffers hold.
func TestUploadWaitsForTheHandler(t *testing.T) {
	plain(t, "what is sent waits beside the test")
	total := lingertest.Times(32, 64) << 20
	proceed := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		<-proceed
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	for _, chunked := range []bool{false, true} {
		c := s.dial(t)
		if chunked {
			c.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n", total))
		} else {
			c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", total))
		}
		sent := make(chan error, 1)
		go func() {
			_, err := c.Write(make([]byte, total))
			sent <- err
		}()
		lingertest.Wait(t, "the client's output stalls", func() bool { return stalls(c) })
		select {
		case err := <-sent:
			t.Fatalf("%d bytes were taken while the handler reads nothing: %v", total, err)
		default:
		}
		proceed <- struct{}{}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if chunked {
			c.send("\r\n0\r\n\r\n")
		}
		if _, body := c.answer("POST"); body != fmt.Sprint(total, nil) {
			t.Errorf("answer = %q", body)
		}
	}
}

func TestMaxBodyBytesOfHandler(t *testing.T) {
	errs := make(chan error, 1)
	s := start(t, &Server{MaxBodyBytes: 10, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/begun" {
			w.(http.Flusher).Flush()
		}
		_, err := io.ReadAll(r.Body)
		errs <- err
	})})
	const chunks = "Transfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n3\r\n901\r\n0\r\n\r\n"
	for _, request := range []string{
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n12345678901", // never comes to the handler
		"POST / HTTP/1.1\r\nHost: x\r\n" + chunks,
	} {
		c := s.dial(t)
		c.send(request)
		if res, _ := c.answer("POST"); res.StatusCode != 413 || !res.Close {
			t.Errorf("got %s, want 413 and close", res.Status)
		}
		c.wantEOF()
	}
	var tooLarge *http.MaxBytesError
	if err := <-errs; !errors.As(err, &tooLarge) || tooLarge.Limit != 10 {
		t.Errorf("Read = %v, want an http.MaxBytesError", err)
	}
	c := s.dial(t)
	c.send("POST /begun HTTP/1.1\r\nHost: x\r\n" + chunks)
	if res, _ := c.answer("POST"); res.StatusCode != 200 {
		t.Errorf("got %s, want 200, which had been sent", res.Status)
	}
	if err := <-errs; !errors.As(err, &tooLarge) {
		t.Errorf("Read = %v, want an http.MaxBytesError", err)
	}
	c.wantEOF()
}

func TestMalformedContentForHandler(t *testing.T) {
	errs := make(chan error, 2)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		errs <- err
		_, err = w.Write(make([]byte, 10_000))
		errs <- err
	})
	c := s.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n")
	if res, _ := c.answer("POST"); res.StatusCode != 400 || !res.Close {
		t.Errorf("got %s, want 400 and close", res.Status)
	}
	if err := <-errs; err == nil {
		t.Error("Read = nil")
	}
	if err := <-errs; err == nil {
		t.Error("Write behind the server's own answer = nil")
	}
	c.wantEOF()
}

// A client that ends in the middle of its content is told what the handler makes of that.
func TestTruncatedContent(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		w.WriteHeader(400)
		fmt.Fprint(w, err)
	})
	c := s.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
	_ = c.CloseWrite()
	if res, body := c.answer("POST"); res.StatusCode != 400 || body != io.ErrUnexpectedEOF.Error() {
		t.Errorf("got %s %q", res.Status, body)
	}
	c.wantEOF()
}

func TestHandlerBodyTimeout(t *testing.T) {
	errs := make(chan error, 1)
	s := start(t, &Server{BodyTimeout: 50 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		errs <- err
	})})
	c := s.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
	if res, _ := c.answer("POST"); res.StatusCode != 408 || !res.Close {
		t.Errorf("got %s, want 408 and close", res.Status)
	}
	if err := <-errs; err == nil {
		t.Error("Read = nil")
	}
	c.wantEOF()
}

// A connection whose content is skipped and does not come is closed.
func TestSkipTimeout(t *testing.T) {
	s := start(t, &Server{BodyTimeout: 50 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})})
	c := s.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
	if res, _ := c.answer("POST"); res.StatusCode != 200 {
		t.Errorf("got %s, want 200", res.Status)
	}
	c.wantEOF()
}

func TestHandlerTimeout(t *testing.T) {
	for _, limit := range []time.Duration{5 * time.Millisecond, 50 * time.Millisecond} {
		causes := make(chan error, 2)
		s := start(t, &Server{HandlerTimeout: limit, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/begun" {
				w.(http.Flusher).Flush()
			}
			<-r.Context().Done()
			causes <- context.Cause(r.Context())
			_, err := w.Write([]byte("late"))
			causes <- err
		})})
		c := s.dial(t)
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if res, _ := c.answer("GET"); res.StatusCode != 503 || !res.Close {
			t.Errorf("got %s, want 503 and close", res.Status)
		}
		c.wantEOF()
		if err := <-causes; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cause = %v, want DeadlineExceeded", err)
		}
		if err := <-causes; err != http.ErrHandlerTimeout {
			t.Errorf("Write = %v, want http.ErrHandlerTimeout", err)
		}
		begun := s.dial(t)
		begun.send("GET /begun HTTP/1.1\r\nHost: x\r\n\r\n")
		begun.wantReset()
		<-causes
		<-causes
	}
}

// Requests wait for their turn, and each gets its answer.
func TestMaxHandlers(t *testing.T) {
	const most, clients = 3, 50
	running := make(chan struct{}, most)
	s := start(t, &Server{MaxHandlers: most, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case running <- struct{}{}:
		default:
			t.Errorf("more than %d handlers run at a time", most)
			return
		}
		time.Sleep(time.Millisecond) // long enough for others to have run beside it, if they may
		<-running
	})})
	all := make([]*client, clients)
	for i := range all {
		all[i] = s.dial(t)
		all[i].send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	for _, c := range all {
		if res, _ := c.answer("GET"); res.StatusCode != 200 {
			t.Errorf("got %s", res.Status)
		}
	}
}

// Nothing is held for requests whose turn comes too late.
func TestRequestsThatDoNotWait(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s := start(t, &Server{MaxHandlers: 1, HandlerTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-leave
	})})
	defer close(leave)
	waiting := func() int {
		s.run.pool.mu.Lock()
		defer s.run.pool.mu.Unlock()
		return s.run.pool.queue.Len()
	}
	const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	s.dial(t).send(request)
	<-entered
	impatient, patient := s.dial(t), s.dial(t)
	impatient.send(request)
	patient.send(request)
	lingertest.Wait(t, "two requests wait", func() bool { return waiting() == 2 })
	_ = impatient.SetLinger(0)
	_ = impatient.Close()
	lingertest.Wait(t, "one is withdrawn as its client has gone", func() bool { return waiting() == 1 })
	if res, _ := patient.answer("GET"); res.StatusCode != 503 {
		t.Errorf("got %s, want 503", res.Status)
	}
	lingertest.Wait(t, "the other is withdrawn as its time is over", func() bool { return waiting() == 0 })
}

// The handler's Write waits for a client that does not read, and one that takes nothing is aborted.
func TestHandlerWriteTimeout(t *testing.T) {
	errs := make(chan error, 1)
	s := start(t, &Server{WriteTimeout: 100 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 100_000)); err != nil {
				<-r.Context().Done()
				errs <- err
				return
			}
		}
	})})
	c := s.dialSlow(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := <-errs; err == nil {
		t.Error("Write = nil")
	}
	c.wantReset()
}

// Clients beyond the bound on connections wait, and none of them is refused: there is a handler for every connection.
func TestMaxConnsOfHandlers(t *testing.T) {
	const most, clients = 4, 30
	g := newGate()
	s := start(t, &Server{MaxConns: most, Handler: g})
	var all []*client
	for range clients {
		c := s.dial(t)
		c.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		all = append(all, c)
	}
	for range most {
		<-g.entered // as many run at a time as there may be connections
	}
	close(g.open)
	for _, c := range all {
		if res, _ := c.answer("GET"); res.StatusCode != 200 {
			t.Errorf("got %s", res.Status)
		}
		_ = c.Close() // whoever waits behind it gets its place
	}
}

func TestHandlerDeadlines(t *testing.T) {
	errs := make(chan error, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		soon := time.Now().Add(20 * time.Millisecond)
		switch r.URL.Path {
		case "/read":
			go func() { _ = rc.SetReadDeadline(soon) }() // also for a read that waits already
			_, err := io.ReadAll(r.Body)
			errs <- err
			w.WriteHeader(400)
		case "/write":
			if err := rc.SetWriteDeadline(soon); err != nil {
				t.Error(err)
			}
			for {
				if _, err := w.Write(make([]byte, 100_000)); err != nil {
					errs <- err
					return
				}
			}
		case "/none":
			if err := errors.Join(rc.SetReadDeadline(soon), rc.SetReadDeadline(time.Time{}), rc.SetWriteDeadline(soon),
				rc.SetWriteDeadline(time.Time{}), rc.EnableFullDuplex(), rc.Flush()); err != nil {
				t.Error(err)
			}
			_, err := io.ReadAll(r.Body)
			errs <- err
		}
	})
	c := s.dialSlow(t)
	c.send("POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
	if err := <-errs; !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
		t.Errorf("Read = %v, want a timeout", err)
	}
	if res, _ := c.answer("POST"); res.StatusCode != 400 {
		t.Errorf("got %s, want the handler's 400", res.Status)
	}
	c = s.dialSlow(t)
	c.send("GET /write HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := <-errs; !isTimeout(err) {
		t.Errorf("Write = %v, want a timeout", err)
	}
	c.wantReset()
	c = s.dial(t)
	c.send("POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
	if _, err := http.ReadResponse(c.in, nil); err != nil { // the handler has come so far
		t.Fatal(err)
	}
	time.Sleep(30 * time.Millisecond) // beyond the deadlines that were taken back
	c.send("67890")
	if err := <-errs; err != nil {
		t.Errorf("Read after the deadline was taken back = %v", err)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// Answers leave in the order of the requests, whoever gives them.
func TestPipelineOfBothHandlers(t *testing.T) {
	s := start(t, &Server{
		OnLoop: func(r *httpcodec.Request) bool { return strings.HasPrefix(string(r.Path), "/loop") },
		LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
			_, _ = w.Write(r.RequestTarget)
			_, _ = w.Write(r.Body)
		}),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.RequestURI)
			_, _ = io.Copy(w, r.Body)
		}),
	})
	c := s.dial(t)
	var batch, want strings.Builder
	for i := range 200 {
		where := "/loop"
		if i%3 == 0 {
			where = "/pool"
		}
		body := strings.Repeat("x", i)
		fmt.Fprintf(&batch, "POST %s%d HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", where, i, len(body), body)
		fmt.Fprintf(&want, "%s%d%s\n", where, i, body)
	}
	go c.send(batch.String())
	var got strings.Builder
	for range 200 {
		_, body := c.answer("POST")
		got.WriteString(body + "\n")
	}
	if got.String() != want.String() {
		t.Errorf("answers = %.200s...", got.String())
	}
}

func TestOptionsAsterisk(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
	c := s.dial(t)
	c.send("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
	if res, body := c.answer("OPTIONS"); res.StatusCode != 200 || body != "" {
		t.Errorf("got %s %q", res.Status, body)
	}
}

func TestStrictTargets(t *testing.T) {
	for _, strict := range []bool{false, true} {
		s := start(t, &Server{StrictTargets: strict, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.URL.Query().Get("a[]"))
		})})
		c := s.dial(t)
		c.send("GET /?a[]=1|2 HTTP/1.1\r\nHost: x\r\n\r\n")
		res, body := c.answer("GET")
		if ok := res.StatusCode == 200 && body == "1|2"; ok == strict {
			t.Errorf("with StrictTargets %v: %s %q", strict, res.Status, body)
		}
	}
}

func TestContexts(t *testing.T) {
	type key string
	s := start(t, &Server{
		BaseContext: func(ln net.Listener) context.Context {
			return context.WithValue(context.Background(), key("base"), ln.Addr().String())
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("Read of the connection in ConnContext = nil")
			}
			return context.WithValue(ctx, key("conn"), c.RemoteAddr().String())
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.Context().Value(key("base")), " ", r.Context().Value(key("conn")))
		}),
	})
	c := s.dial(t)
	want := s.addr.String() + " " + c.LocalAddr().String()
	for range 2 {
		if got := c.get("/"); got != want {
			t.Errorf("contexts = %q, want %q", got, want)
		}
	}
}

func TestHijack(t *testing.T) {
	plain(t, "a client ends its side in two steps, and the server may close in between")
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("Hijack = %v", err)
			return
		}
		if _, err := w.Write([]byte("x")); err != http.ErrHijacked {
			t.Errorf("Write after Hijack = %v", err)
		}
		go func() {
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			if n := rw.Reader.Buffered(); n != 5 {
				t.Errorf("%d bytes are buffered, want 5", n)
			}
			_, _ = io.Copy(conn, rw)
		}()
	})
	const request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly"
	c := s.dial(t)
	c.send(request)
	if res, _ := c.answer("GET"); res.StatusCode != 101 {
		t.Fatalf("got %s", res.Status)
	}
	c.send(" bird")
	got := make([]byte, len("early bird"))
	if _, err := io.ReadFull(c.in, got); err != nil || string(got) != "early bird" {
		t.Fatalf("echo = %q, %v", got, err)
	}
	_ = c.CloseWrite()
	c.wantEOF()

	c = s.dial(t)
	c.send(request)
	if res, _ := c.answer("GET"); res.StatusCode != 101 {
		t.Fatalf("got %s", res.Status)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	c.wantReset()
	s.assertGone(t)
	if rep := s.Report(); rep.Connections.Total() != 1 {
		t.Errorf("report = %s", rep)
	}
}

// A connection that was reset before it could be hijacked is reported as reset.
func TestHijackTooLate(t *testing.T) {
	inLoop, unblock, results := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	ends := make(chan string, 1)
	s := start(t, &Server{
		Loops: 1, WriteTimeout: 50 * time.Millisecond, StuckGrace: time.Minute,
		ConnAborted: func(Conn) { ends <- "aborted" },
		ConnClosed:  func(Conn) { ends <- "closed" },
		OnLoop:      func(r *httpcodec.Request) bool { return string(r.Path) == "/block" },
		LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
			close(inLoop)
			<-unblock
		}),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-inLoop
			_, _ = io.Copy(w, pattern{}) // until the client is reset, of which the loop learns later
			_, _, err := w.(http.Hijacker).Hijack()
			results <- err
		}),
	})
	c, blocker := s.dialSlow(t), s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	lingertest.Wait(t, "the handler runs", func() bool { return s.run.pool.handlers() == 1 })
	blocker.send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := wait(t, "the handler", results); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Hijack = %v, want ECONNRESET", err)
	}
	close(unblock)
	if end := <-ends; end != "aborted" {
		t.Errorf("the connection was reported as %s", end)
	}
}

// A handler can reset a connection that it has hijacked.
func TestHijackedConnThatLingers(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Errorf("Hijack = %v", err)
			return
		}
		if r.URL.Path == "/reset" {
			_ = conn.(interface{ SetLinger(sec int) error }).SetLinger(0)
		}
		_ = conn.Close()
	})
	closed, reset := s.dial(t), s.dial(t)
	closed.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	closed.wantEOF()
	reset.send("GET /reset HTTP/1.1\r\nHost: x\r\n\r\n")
	reset.wantReset()
}

// A teardown ends the context of a handler that has hijacked its connection, too.
func TestHijackInTeardown(t *testing.T) {
	running, causes := make(chan struct{}), make(chan error, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Errorf("Hijack = %v", err)
			return
		}
		defer conn.Close()
		close(running)
		<-r.Context().Done()
		causes <- context.Cause(r.Context())
	})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-running
	lingertest.Wait(t, "the loop has let go of it", func() bool { return s.run.closed.Load() == 1 })
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := wait(t, "the handler", causes); err != ErrServerClosed {
		t.Errorf("cause in a teardown = %v, want ErrServerClosed", err)
	}
	c.wantReset()
	s.assertGone(t)
}

func TestAnswered(t *testing.T) {
	answers := make(chan Answer, 10)
	s := start(t, &Server{
		OnLoop:      func(r *httpcodec.Request) bool { return string(r.Path) == "/loop" },
		LoopHandler: LoopHandlerFunc(hello),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(404)
			_, _ = w.Write(make([]byte, 100_000))
		}),
		Answered: func(a Answer) { answers <- a },
	})
	c := s.dial(t)
	c.get("/loop")
	c.send("GET /pool HTTP/1.1\r\nHost: x\r\nTraceparent: 00-1-2-01\r\nReferer: here\r\nUser-Agent: test\r\n\r\n")
	c.answer("GET")
	c.send("nonsense\r\n\r\n")
	c.answer("GET")
	for _, want := range []Answer{
		{RequestLine: "GET /loop HTTP/1.1", Status: 200, Bytes: 13},
		{RequestLine: "GET /pool HTTP/1.1", Status: 404, Bytes: 100_000, Referer: "here", UserAgent: "test", Traceparent: "00-1-2-01"},
		{RequestLine: "nonsense", Status: 400, Bytes: int64(len("400 malformed request line\n"))},
	} {
		got := <-answers
		if time.Since(got.Began) > lingertest.Patience || got.Conn.Remote.String() != c.LocalAddr().String() || got.Took <= 0 ||
			(got.TLS != 0) != (c.tls != nil) {
			t.Errorf("answer = %+v", got)
		}
		got.Began, got.Took, got.TLS, got.Conn = time.Time{}, 0, 0, Conn{}
		if got != want {
			t.Errorf("answer = %+v, want %+v", got, want)
		}
	}
}

func TestHandlersAreUnambiguous(t *testing.T) {
	handler := http.NotFoundHandler()
	for _, srv := range []*Server{
		{Handler: handler, LoopHandler: LoopHandlerFunc(hello)},
		{Handler: handler, OnLoop: func(*httpcodec.Request) bool { return true }},
	} {
		srv.Logger = slog.New(slog.DiscardHandler)
		if err := srv.Serve(listenAlone(t)); err == nil || !strings.Contains(err.Error(), "OnLoop") {
			t.Errorf("Serve = %v, want an error about OnLoop", err)
		}
	}
}

// stalls reports whether the kernel takes nothing of c's output any more.
func stalls(c *client) bool {
	before := c.sendQueue()
	for range 50 {
		time.Sleep(time.Millisecond)
		if now := c.sendQueue(); now == 0 || now != before {
			return false
		}
	}
	return true
}
