//go:build linux

package poller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

// What a handler leaves unread of content in chunks decides whether the connection lives on: it does if the content has come
// whole, and nothing behind content that has not, or that is malformed, is taken for a request.
func TestUnreadChunks(t *testing.T) {
	const head = "POST /%s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	const next = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
	tests := []struct {
		name, path, content string
		closes              bool
	}{
		{"whole", "ignore", "2\r\nhi\r\n0\r\n\r\n", false},
		{"whole, with a trailer", "ignore", "2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n", false},
		{"whole, and large", "ignore", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", 100_000, strings.Repeat("x", 100_000)), false},
		{"whole, its end unread", "two", "2\r\nhi\r\n0\r\n\r\n", false},
		{"whole, and answered early", "early", "2\r\nhi\r\n0\r\n\r\n", false},
		{"whole, and closed", "close", "2\r\nhi\r\n0\r\n\r\n", false},
		{"unfinished", "ignore", "2\r\nhi\r\n", true},
		{"unfinished, answered early", "early", "2\r\nhi\r\n", true},
		{"unfinished, closed", "close", "2\r\nhi\r\n", true},
		{"malformed", "ignore", "2\r\nhi!\r\n0\r\n\r\n", true},
		{"malformed, answered early", "early", "zz\r\n", true},
		{"malformed, closed", "close", "2\r\nhi\r\n0\r\nX Y: 1\r\n\r\n", true},
		{"too much", "ignore", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", 600_000, strings.Repeat("x", 600_000)), true},
	}
	answered := make(chan string, 16)
	s := start(t, &Server{Loops: 1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/two":
			_, _ = io.ReadFull(r.Body, make([]byte, 2))
		case "/early":
			w.(http.Flusher).Flush()
		case "/close":
			_ = r.Body.Close()
		}
		answered <- r.URL.Path
	})})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := s.dial(t)
			// Whole before it is looked at, so that what has come does not depend on who is quicker.
			sent := make(chan struct{})
			s.hold(t, func() {
				go func() {
					defer close(sent)
					_, _ = io.WriteString(c, fmt.Sprintf(head, tt.path)+tt.content+next)
				}()
				if len(tt.content) < 200_000 {
					<-sent
				}
			})
			res, _ := c.answer("POST")
			if <-answered; res.StatusCode != 200 || res.Close != tt.closes {
				t.Fatalf("got %s, close %v, want close %v", res.Status, res.Close, tt.closes)
			}
			if tt.closes {
				_ = c.CloseWrite()
				c.wantEOF()
			} else {
				c.answer("GET")
				<-answered
			}
			select {
			case path := <-answered:
				t.Errorf("%s was answered", path)
			default:
			}
		})
	}
}

// hold keeps the loop waiting until f has returned.
func (s *served) hold(t testing.TB, f func()) {
	t.Helper()
	begun, done := make(chan struct{}), make(chan struct{})
	if !s.run.loops[0].post(func() { close(begun); <-done }) {
		t.Fatal("the loop takes no task")
	}
	defer close(done)
	<-begun
	f()
}

// A handler that says so goes on to read when it has begun to answer, on a connection that lives on.
func TestEnableFullDuplex(t *testing.T) {
	begun := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/declared" {
			lingertest.Must(t, http.NewResponseController(w).EnableFullDuplex())
		}
		w.(http.Flusher).Flush()
		begun <- struct{}{}
		_, _ = io.Copy(w, r.Body)
	})
	for path, closes := range map[string]bool{"/declared": false, "/silent": true} {
		c := s.dial(t)
		c.send("POST " + path + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
		<-begun
		c.send("2\r\nhi\r\n0\r\n\r\n")
		if res, body := c.answer("POST"); res.Close != closes || body != "hi" {
			t.Errorf("%s: close %v, %q; want %v, %q", path, res.Close, body, closes, "hi")
		}
	}
}

// A client that goes on with content that nobody reads is cut off, however slowly it does so.
func TestUnreadContentEndsInTime(t *testing.T) {
	s := start(t, &Server{Loops: 1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
	})})
	for _, head := range []string{"Content-Length: 100000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n186a0\r\n"} {
		c := s.dial(t)
		c.send("POST / HTTP/1.1\r\nHost: x\r\n" + head + "x")
		if res, _ := c.answer("POST"); res.Close {
			t.Error("the connection closes")
		}
		lingertest.Wait(t, "the time of content that is thrown away", func() (found bool) {
			onLoop(s.run.loops[0], func() {
				for kind := range s.run.loops[0].lists {
					for c := s.run.loops[0].lists[kind].first; c != nil; c = c.next {
						if c.state == skipping {
							c.until, found = 1, true
						}
					}
				}
			})
			return found
		})
		c.send("x")
		c.wantEOF()
	}
}

// upload is a form with a file, and its Content-Type.
func upload(t *testing.T) (form []byte, kind string) {
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	part, err := m.CreateFormFile("file", "name")
	lingertest.Must(t, err)
	_, err = part.Write(make([]byte, 100_000))
	lingertest.Must(t, err)
	lingertest.Must(t, m.Close())
	return b.Bytes(), m.FormDataContentType()
}

// Parts of a form that were kept in files are deleted when the request ends, however it does.
func TestUploadedFilesAreDeleted(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	form, kind := upload(t)
	parsed := make(chan int, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/next" {
			return
		}
		if err := r.ParseMultipartForm(1); err != nil {
			t.Error(err)
		}
		files, _ := os.ReadDir(dir)
		parsed <- len(files)
		switch r.URL.Path {
		case "/panic":
			panic(http.ErrAbortHandler)
		case "/hijack":
			if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
				_ = conn.Close()
			}
		}
	})
	for _, path := range []string{"/", "/panic", "/hijack"} {
		c := s.dial(t)
		c.send(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", path,
			kind, len(form), form))
		if n := <-parsed; n != 1 {
			t.Fatalf("%s: %d files while the request is served, want 1", path, n)
		}
		switch path {
		case "/":
			c.answer("POST")
			c.get("/next") // which begins when that one has ended
		case "/panic":
			c.wantReset()
		case "/hijack":
			c.wantEOF()
			lingertest.Wait(t, "the handler returns", func() bool { return s.Report().HandlersRunning == 0 })
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
			t.Errorf("%s: %d files are left, %v", path, len(files), err)
		}
	}
}

// closeNotifier is http.CloseNotifier, which is deprecated, and which some frameworks assert.
type closeNotifier interface{ CloseNotify() <-chan bool }

func TestCloseNotify(t *testing.T) {
	running, gone := make(chan struct{}), make(chan error)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		notify := w.(closeNotifier).CloseNotify()
		if r.URL.Path == "/quick" {
			go func() {
				<-r.Context().Done()
				select {
				case <-notify:
					gone <- errors.New("the end of the handler is taken for that of the client")
				case <-time.After(time.Millisecond):
					gone <- nil
				}
			}()
			return
		}
		running <- struct{}{}
		<-notify
		gone <- context.Cause(r.Context())
	})
	c := s.dial(t)
	c.get("/quick")
	if err := <-gone; err != nil {
		t.Error(err)
	}
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-running
	lingertest.Must(t, c.CloseWrite())
	if err := <-gone; !errors.Is(err, io.EOF) {
		t.Errorf("cause = %v, want io.EOF", err)
	}
}

// The type of content is told from its first 512 bytes, however they were written.
func TestContentTypeOfPieces(t *testing.T) {
	page := "<!-- " + strings.Repeat("x", 100) + " --><html><body>hello"
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for i := range len(page) {
			_, _ = io.WriteString(w, page[i:i+1])
			if i == 2 && r.URL.Path == "/large" {
				_, _ = io.WriteString(w, page[3:]+strings.Repeat(" ", 100_000))
				return
			}
		}
	})
	want := http.DetectContentType([]byte(page))
	for _, path := range []string{"/small", "/large"} {
		c := s.dial(t)
		c.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
		if res, _ := c.answer("GET"); res.Header.Get("Content-Type") != want {
			t.Errorf("%s: Content-Type = %q, want %q", path, res.Header.Get("Content-Type"), want)
		}
	}
}
