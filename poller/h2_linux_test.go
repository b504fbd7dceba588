//go:build linux

package poller

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"rstserver/httpcodec"
	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// TestH2 has both kinds of handlers see what they see over HTTP/1.1.
func TestH2(t *testing.T) {
	inBothH2(t, func(t *testing.T, config *tls.Config) {
		var opened, ended, answered atomic.Int32
		var answers sync.Map
		type key struct{}
		srv := new(Server)
		*srv = Server{
			TLSConfig:  config,
			ConnOpened: func(Conn) { opened.Add(1) }, ConnClosed: func(Conn) { ended.Add(1) }, ConnAborted: func(Conn) { ended.Add(1) },
			ConnContext: func(ctx context.Context, c net.Conn) context.Context {
				if _, ok := c.(*tls.Conn); ok != (config != nil) || ctx.Value(http.ServerContextKey) != srv {
					t.Errorf("ConnContext got a %T, and a context of %v", c, ctx.Value(http.ServerContextKey))
				}
				return context.WithValue(ctx, key{}, c.RemoteAddr().String())
			},
			Answered: func(a Answer) { answered.Add(1); answers.Store(a.RequestLine, a) },
			OnLoop:   func(r *httpcodec.Request) bool { return strings.HasPrefix(string(r.Path), "/loop") },
			LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
				local, err := r.LocalAddr()
				if r.RemoteAddr().Addr() != local.Addr() || local != srv.ListenerAddr() || err != nil || (r.TLS() != nil) != (config != nil) {
					t.Errorf("a LoopHandler sees %s, %s, %v, TLS %v", r.RemoteAddr(), local, err, r.TLS())
				}
				w.SetContentType("text/loop")
				w.AddField("X-Method", string(r.Method))
				switch string(r.Path) {
				case "/loop/source":
					w.SetContent(strings.NewReader("from a source"), 13)
				case "/loop/short":
					w.SetContent(strings.NewReader("short"), 100)
				case "/loop/panic":
					panic("of the loop handler")
				case "/loop/bad":
					w.AddField("Content-Length", "5")
				case "/loop/empty":
					w.SetStatus(204)
				default:
					fmt.Fprintf(w, "%s %s?%s %s %q", r.Host, r.Path, r.Query, r.Get("X-Test"), r.Body)
				}
			}),
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx := r.Context()
				if ctx.Value(http.ServerContextKey) != srv || ctx.Value(key{}) != r.RemoteAddr || (r.TLS != nil) != (config != nil) ||
					ctx.Value(http.LocalAddrContextKey).(net.Addr).String() != srv.ListenerAddr().String() {
					t.Errorf("a Handler sees %v, %v, %v, TLS %v", ctx.Value(http.ServerContextKey), ctx.Value(key{}), ctx.Value(http.LocalAddrContextKey), r.TLS)
				}
				switch r.URL.Path {
				case "/panic":
					panic("of the handler")
				case "/trailer":
					w.Header().Set("Trailer", "X-End")
					defer w.Header().Set("X-End", "of it")
				}
				w.Header().Set("X-Proto", r.Proto)
				w.Header().Set("Connection", "Upgrade") // of HTTP/1.1
				w.Header().Set("Upgrade", "echo")
				if _, err := io.Copy(w, r.Body); err != nil {
					t.Error(err)
				}
			}),
		}
		s := start(t, srv)
		c := s.h2Client(t)
		big := strings.Repeat("0123456789", 200_000)
		if resp, body := s.do(t, c, "POST", "/echo", strings.NewReader(big)); resp.StatusCode != 200 || body != big || resp.Header.Get("X-Proto") != "HTTP/2.0" {
			t.Errorf("echo = %s, %d bytes, X-Proto %q", resp.Status, len(body), resp.Header.Get("X-Proto"))
		}
		if resp, _ := s.do(t, c, "GET", "/", nil); resp.Header.Get("Upgrade") != "" || resp.Header.Get("Connection") != "" {
			t.Errorf("the header is %v", resp.Header)
		}
		if resp, _ := s.do(t, c, "GET", "/trailer", nil); resp.Trailer.Get("X-End") != "of it" {
			t.Errorf("trailers = %v", resp.Trailer)
		}
		if resp, body := s.do(t, c, "POST", "/loop?q=1", strings.NewReader("content")); body != s.addr.String()+` /loop?q=1  "content"` ||
			resp.Header.Get("Content-Type") != "text/loop" || resp.Header.Get("X-Method") != "POST" || resp.Header.Get("Date") == "" {
			t.Errorf("the LoopHandler's answer = %q, %v", body, resp.Header)
		}
		for target, want := range map[string]string{"/loop/source": "200 from a source", "/loop/bad": "500 500 internal server error\n", "/loop/empty": "204 "} {
			if resp, body := s.do(t, c, "GET", target, nil); fmt.Sprintf("%d %s", resp.StatusCode, body) != want {
				t.Errorf("%s = %d %q, want %q", target, resp.StatusCode, body, want)
			}
		}
		if resp, body := s.do(t, c, "HEAD", "/loop/source", nil); body != "" || resp.ContentLength != 13 {
			t.Errorf("HEAD = %q, length %d", body, resp.ContentLength)
		}
		if resp, _ := s.do(t, c, "OPTIONS", "/loop", nil); resp.Header.Get("X-Method") != "OPTIONS" {
			t.Errorf("OPTIONS = %s", resp.Status)
		}
		for _, target := range []string{"/panic", "/loop/panic", "/loop/short"} {
			req, _ := http.NewRequest("GET", s.url(target), nil)
			resp, err := c.Do(req)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if err == nil {
				t.Errorf("%s is answered whole", target)
			}
		}
		if n := s.Report().Connections; n != (linger.Tally{linger.HTTP2: 1}) {
			t.Errorf("all of that was on %v, want one connection of HTTP/2", n)
		}
		for _, line := range []string{"POST /echo HTTP/2.0", "POST /loop?q=1 HTTP/2.0", "GET /loop/bad HTTP/2.0"} {
			a, ok := answers.Load(line)
			if a, _ := a.(Answer); !ok || a.Status == 0 || a.Conn.ID != 1 || !a.Conn.Remote.IsValid() {
				t.Errorf("Answered got %+v for %q", a, line)
			}
		}
		if n := strings.Count(s.log.String(), "panicked"); n != 2 {
			t.Errorf("%d panics are logged, want 2", n)
		}
		c.CloseIdleConnections()
		lingertest.Wait(t, "the client's end is noticed", func() bool { return ended.Load() == 1 && s.Report().Connections.Total() == 0 })
		if opened.Load() != 1 {
			t.Errorf("ConnOpened was called %d times", opened.Load())
		}
	})
}

// TestH2Bounds has the bounds of the Server hold for streams.
// Parts of a form that were kept in files are deleted when the handler has returned, also one whose time was over.
func TestH2UploadedFilesAreDeleted(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	form, kind := upload(t)
	for _, timeout := range []time.Duration{0, time.Hour} {
		ended := make(chan struct{}, 1)
		s := start(t, &Server{HandlerTimeout: timeout, Answered: func(Answer) { ended <- struct{}{} }, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if err := r.ParseMultipartForm(1); err != nil {
				t.Error(err)
			}
			if files, _ := os.ReadDir(dir); len(files) != 1 {
				t.Errorf("%d files while the request is served, want 1", len(files))
			}
			if r.URL.Path == "/panic" {
				panic(http.ErrAbortHandler)
			}
		})})
		for _, path := range []string{"/", "/panic"} {
			req, err := http.NewRequest("POST", s.url(path), bytes.NewReader(form))
			lingertest.Must(t, err)
			req.Header.Set("Content-Type", kind)
			resp, err := s.h2Client(t).Do(req)
			if broken := err != nil; broken != (path == "/panic") {
				t.Fatalf("%s: %v", path, err)
			} else if !broken {
				lingertest.Must(t, resp.Body.Close())
			}
			<-ended
			lingertest.Wait(t, "no file is left", func() bool {
				files, err := os.ReadDir(dir)
				return err == nil && len(files) == 0
			})
		}
	}
}

func TestH2Bounds(t *testing.T) {
	inBothH2(t, func(t *testing.T, config *tls.Config) {
		entered := make(chan struct{}, 1)
		s := start(t, &Server{
			TLSConfig: config, MaxBodyBytes: 1000, MaxFields: 20, StrictTargets: true, BodyTimeout: 50 * time.Millisecond, HandlerTimeout: 100 * time.Millisecond,
			OnLoop:      func(r *httpcodec.Request) bool { return strings.HasPrefix(string(r.Path), "/loop") },
			LoopHandler: LoopHandlerFunc(hello),
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/late":
					<-r.Context().Done()
					if cause := context.Cause(r.Context()); !errors.Is(cause, errHandlerTimeout) {
						t.Errorf("the cause is %v", cause)
					}
					if _, err := io.WriteString(w, "too late"); err == nil {
						lingertest.Wait(t, "writes fail", func() bool { _, err := io.WriteString(w, "too late"); return err != nil })
					}
					entered <- struct{}{}
				case "/cut":
					_, _ = io.WriteString(w, "begun")
					w.(http.Flusher).Flush()
					<-r.Context().Done()
				default:
					_, _ = io.Copy(io.Discard, r.Body)
				}
			}),
		})
		c := s.h2Client(t)
		slow, end := io.Pipe()
		defer end.Close()
		defer slow.Close()
		many := make(http.Header)
		for i := range 30 {
			many.Set(fmt.Sprintf("X-%d", i), "y")
		}
		for _, tc := range []struct {
			name, target string
			header       http.Header
			body         io.Reader
			status       int
		}{
			{"content of a known length", "/", nil, strings.NewReader(strings.Repeat("x", 1001)), 413},
			{"content for the loop", "/loop", nil, strings.NewReader(strings.Repeat("x", 1001)), 413},
			{"content for the loop of no known length", "/loop", nil, io.MultiReader(strings.NewReader(strings.Repeat("x", 1001))), 413},
			{"fields", "/", many, nil, 431},
			{"fields for the loop", "/loop", many, nil, 431},
			{"a target that is not RFC 3986's", "/?a[]=1", nil, nil, 400},
			{"content that does not come, for the loop", "/loop", nil, slow, 408},
			{"a handler that takes too long", "/late", nil, nil, 503},
		} {
			req, err := http.NewRequest("POST", s.url(tc.target), tc.body)
			lingertest.Must(t, err)
			req.Header = tc.header
			resp, err := c.Do(req)
			if err != nil {
				t.Errorf("%s: %v, want %d", tc.name, err, tc.status)
				continue
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != tc.status {
				t.Errorf("%s: %s, want %d", tc.name, resp.Status, tc.status)
			}
		}
		<-entered
		raw := s.dialH2(t)
		raw.get(1, "/cut")
		if status, content, _ := raw.answer(1); status != 0 {
			t.Errorf("an answer that had begun ended with %d %q, want RST_STREAM", status, content)
		}
		raw.get(3, "/loop")
		if status, _, _ := raw.answer(3); status != 200 {
			t.Errorf("the next stream got %d", status)
		}
	})
}

// TestH2MaxHandlers counts handlers of both protocols together.
func TestH2MaxHandlers(t *testing.T) {
	plain(t, "one connection is to speak HTTP/1.1")
	g := newGate()
	s := start(t, &Server{Handler: g, MaxHandlers: 1})
	old := s.dial(t)
	old.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-g.entered
	c := s.dialH2(t)
	c.get(1, "/")
	lingertest.Wait(t, "the stream waits", func() bool {
		s.run.pool.mu.Lock()
		defer s.run.pool.mu.Unlock()
		return s.run.pool.queue.Len() == 1
	})
	third := s.dial(t)
	third.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	lingertest.Wait(t, "and one behind it", func() bool {
		s.run.pool.mu.Lock()
		defer s.run.pool.mu.Unlock()
		return s.run.pool.queue.Len() == 2
	})
	// A stream that its client gives up waits no more.
	c.get(3, "/")
	lingertest.Wait(t, "one more", func() bool {
		s.run.pool.mu.Lock()
		defer s.run.pool.mu.Unlock()
		return s.run.pool.queue.Len() == 3
	})
	lingertest.Must(t, c.framer.WriteRSTStream(3, 8))
	lingertest.Wait(t, "it is forgotten", func() bool {
		s.run.pool.mu.Lock()
		defer s.run.pool.mu.Unlock()
		return s.run.pool.queue.Len() == 2
	})
	g.open <- struct{}{}
	old.answer("GET")
	<-g.entered
	if n := s.Report().HandlersRunning; n != 1 {
		t.Errorf("%d handlers run, want 1", n)
	}
	g.open <- struct{}{}
	if status, _, _ := c.answer(1); status != 200 {
		t.Errorf("the stream got %d", status)
	}
	<-g.entered
	g.open <- struct{}{}
	third.answer("GET")
}

// TestH2Protocols turns each of them off.
func TestH2Protocols(t *testing.T) {
	plain(t, "it does both")
	protocols := new(http.Protocols)
	if err := (&Server{Protocols: protocols, Addr: "127.0.0.1:0"}).ListenAndServe(); err == nil || !strings.Contains(err.Error(), "SetHTTP1") {
		t.Errorf("without HTTP/1: %v", err)
	}
	protocols.SetHTTP1(true)
	s := start(t, &Server{Protocols: protocols})
	c := s.dial(t)
	c.send(string(h2Preface))
	if resp, _ := c.answer("GET"); resp.StatusCode != 505 {
		t.Errorf("HTTP/2 without TLS got %s, want 505", resp.Status)
	}
	over := start(t, &Server{Protocols: protocols, TLSConfig: serverTLS.Clone()})
	config := over.tls.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	conn, err := tls.Dial("tcp", over.addr.String(), config)
	lingertest.Must(t, err)
	defer conn.Close()
	if p := conn.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
		t.Errorf("ALPN chose %q", p)
	}
}

// TestH2Preface comes byte by byte, and only at the beginning.
func TestH2Preface(t *testing.T) {
	plain(t, "it is about clients without TLS")
	s := start(t, &Server{})
	c := s.dial(t)
	for i := range h2Preface {
		c.send(string(h2Preface[i : i+1])) // mostly a segment of its own
	}
	c.send("\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	var settings [9]byte
	if _, err := io.ReadFull(c, settings[:]); err != nil || settings[3] != 4 {
		t.Errorf("got % x, %v; want SETTINGS", settings, err)
	}
	for _, before := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n"} {
		c := s.dial(t)
		c.send(before + string(h2Preface))
		if before != "\r\n" {
			c.answer("GET")
		}
		if resp, _ := c.answer("GET"); resp.StatusCode != 505 {
			t.Errorf("behind %q it got %s, want 505", before, resp.Status)
		}
	}
	for _, begins := range []string{"P", "PR", "PRI", "PRI * HTTP/2.0\r\n"} {
		c := s.dial(t)
		c.send(begins)
		lingertest.Wait(t, "it is being received", func() bool { return s.Report().Connections[linger.Receiving] == 1 })
		_ = c.Close()
		lingertest.Wait(t, "it has gone", func() bool { return s.Report().Connections[linger.Receiving] == 0 })
	}
}

// TestH2LoopContent allows each request so much content.
func TestH2LoopContent(t *testing.T) {
	inBothH2(t, func(t *testing.T, config *tls.Config) {
		allowed := map[string]int64{"/none": 0, "/some": 10, "/any": -1}
		s := start(t, &Server{
			TLSConfig: config, MaxBodyBytes: 200_000,
			LoopContent: func(r *httpcodec.Request) int64 { return allowed[string(r.Path)] },
			LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) { fmt.Fprint(w, len(r.Body)) }),
		})
		c := s.h2Client(t)
		for _, tc := range []struct {
			target string
			n      int
			want   string
		}{
			{"/none", 0, "200 0"}, {"/none", 1000, "200 0"}, {"/some", 10, "200 10"}, {"/some", 11, "413"}, {"/any", 200_000, "200 200000"}, {"/any", 200_001, "413"},
		} {
			for _, body := range []io.Reader{strings.NewReader(strings.Repeat("x", tc.n)), io.MultiReader(strings.NewReader(strings.Repeat("x", tc.n)))} {
				resp, got := s.do(t, c, "POST", tc.target, body)
				if got := fmt.Sprint(resp.StatusCode, " ", got); !strings.HasPrefix(got, tc.want) {
					t.Errorf("%s with %d bytes = %q, want %s", tc.target, tc.n, got, tc.want)
				}
			}
		}
		c.CloseIdleConnections()
		lingertest.Wait(t, "nothing is charged any more", func() bool { return s.Report().Memory.Buffered == 0 })
	})
}

// TestH2WriteTimeout ends the connection of a client that takes nothing, and that of no other.
func TestH2WriteTimeout(t *testing.T) {
	inBothH2(t, func(t *testing.T, config *tls.Config) {
		var failed atomic.Bool
		s := start(t, &Server{TLSConfig: config, WriteTimeout: 200 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				return
			}
			var err error
			for b := make([]byte, 64<<10); err == nil; {
				_, err = w.Write(b)
			}
			failed.Store(true)
		})})
		other := s.dialH2(t)
		other.get(1, "/")
		other.answer(1)
		c := s.dialH2(t)
		lingertest.Must(t, c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30}))
		lingertest.Must(t, c.framer.WriteWindowUpdate(0, 1<<30))
		// A stream that takes nothing ends, and the connection when the kernel takes nothing more.
		for stream := uint32(1); s.Report().Connections.Total() > 1; stream += 2 {
			c.block.Reset()
			for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/endless"}} {
				lingertest.Must(t, c.enc.WriteField(f))
			}
			// It may have been closed by now.
			_ = c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.block.Bytes(), EndStream: true, EndHeaders: true})
			lingertest.Wait(t, "a write fails, or the connection is gone", func() bool { return failed.CompareAndSwap(true, false) || s.Report().Connections.Total() == 1 })
		}
		other.get(3, "/")
		if status, _, _ := other.answer(3); status != 200 {
			t.Errorf("another client got %d", status)
		}
	})
}
