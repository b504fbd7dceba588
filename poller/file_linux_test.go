//go:build linux

package poller

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/felixge/httpsnoop"
	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// aFile writes a file that is told apart from every other order of its parts.
func aFile(t *testing.T, size int) (name, content string) {
	t.Helper()
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	content = b.String()[:size]
	name = filepath.Join(t.TempDir(), "file.txt")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name, content
}

// What is long and comes from a file is sent by the kernel, by whatever way it comes to ReadFrom; everything else is copied.
func TestFile(t *testing.T) {
	plain(t, "over TLS all is copied")
	const size = 1 << 20
	name, content := aFile(t, size)
	announce := func(w http.ResponseWriter, n int) { w.Header().Set("Content-Length", strconv.Itoa(n)) }
	serve := func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, name) }
	open := func(f func(http.ResponseWriter, *os.File)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				announce(w, size)
				return
			}
			file, err := os.Open(name)
			if err != nil {
				panic(err)
			}
			defer file.Close()
			f(w, file)
		}
	}
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		request string // fields
		want    string
		sent    bool // by the kernel
	}{
		{"ServeFile", serve, "", content, true},
		{"a range", serve, "Range: bytes=1000-700000\r\n", content[1000:700001], true},
		{"a small range", serve, "Range: bytes=1000-2000\r\n", content[1000:2001], false},
		{"in httpsnoop", func(w http.ResponseWriter, r *http.Request) { httpsnoop.CaptureMetrics(http.HandlerFunc(serve), w, r) }, "", content, true},
		{"Copy", open(func(w http.ResponseWriter, f *os.File) {
			announce(w, size)
			_, _ = io.Copy(w, f)
		}), "", content, true},
		{"behind what is written", open(func(w http.ResponseWriter, f *os.File) {
			announce(w, size+5)
			_, _ = io.WriteString(w, "head\n")
			_, _ = io.Copy(w, f)
		}), "", "head\n" + content, true},
		{"between what is written", open(func(w http.ResponseWriter, f *os.File) {
			announce(w, size/2+10)
			_, _ = io.WriteString(w, "head\n")
			_ = http.NewResponseController(w).Flush()
			_, _ = io.CopyN(w, f, size/2)
			_, _ = io.WriteString(w, "tail\n")
		}), "", "head\n" + content[:size/2] + "tail\n", true},
		{"two files", open(func(w http.ResponseWriter, f *os.File) {
			announce(w, 2*size)
			_, _ = io.Copy(w, f)
			_, _ = f.Seek(0, io.SeekStart)
			_, _ = io.Copy(w, f)
		}), "", content + content, true},
		{"more than is announced", open(func(w http.ResponseWriter, f *os.File) {
			announce(w, size/2)
			if n, err := io.Copy(w, f); !errors.Is(err, http.ErrContentLength) || n != size/2 {
				t.Errorf("Copy = %d, %v, want %d, ErrContentLength", n, err, size/2)
			}
		}), "", content[:size/2], true},
		{"of no announced length", open(func(w http.ResponseWriter, f *os.File) { _, _ = io.Copy(w, f) }), "", content, false},
		{"a pipe", open(func(w http.ResponseWriter, f *os.File) {
			announce(w, size)
			r, in, err := os.Pipe()
			if err != nil {
				panic(err)
			}
			defer r.Close()
			go func() {
				defer in.Close()
				_, _ = io.WriteString(in, content)
			}()
			_, _ = io.Copy(w, r)
		}), "", content, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, &Server{Loops: 1, Handler: tt.handler})
			c := s.dial(t)
			for range 2 {
				c.send("GET / HTTP/1.1\r\nHost: x\r\n" + tt.request + "\r\n")
				res, body := c.answer("GET")
				if body != tt.want {
					t.Fatalf("%s: %d bytes came, want %d, or others", res.Status, len(body), len(tt.want))
				}
				if mime := res.Header.Get("Content-Type"); mime != "text/plain; charset=utf-8" {
					t.Errorf("Content-Type: %s", mime)
				}
			}
			s.waitConn(t, "the connection is the loop's", func(c *conn) bool { return c.state == idle || c.state == quiet || c.state == left })
			s.waitConn(t, fmt.Sprintf("sent by the kernel: %t", tt.sent), func(c *conn) bool { return c.borrowed == tt.sent })
			c.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
			if _, body := c.answer("HEAD"); body != "" {
				t.Errorf("HEAD has %d bytes of content", len(body))
			}
		})
	}
}

// A client that reads slowly gets all of a file, and the next answer behind it.
func TestFileSlowly(t *testing.T) {
	name, content := aFile(t, plenty())
	s := start(t, &Server{Loops: 1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, name) })})
	c := s.dialBuffered(t, 128<<10)
	c.send(strings.Repeat(getRoot, 2))
	lingertest.Wait(t, "the answer waits for its reader", func() bool { return s.buffered() >= waitingBytes })
	for range 2 {
		if _, body := c.answer("GET"); body != content {
			t.Fatalf("%d bytes came, want %d, or others", len(body), len(content))
		}
	}
}

// A file that is shorter than what was announced is no whole answer, and one that waits for its reader ends with the connection.
func TestFileCutOff(t *testing.T) {
	name, content := aFile(t, plenty())
	var failed atomic.Pointer[error]
	s := start(t, &Server{Loops: 1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(name)
		if err != nil {
			panic(err)
		}
		defer f.Close()
		w.Header().Set("Content-Length", strconv.Itoa(len(content)+1))
		if _, err = io.Copy(w, f); err != nil {
			failed.Store(&err)
		}
	})})
	c := s.dial(t)
	c.send(getRoot)
	c.wantReset()
	if err := failed.Load(); err != nil {
		t.Errorf("Copy = %v", *err)
	}
	c = s.dialSlow(t)
	c.send(getRoot)
	lingertest.Wait(t, "the answer waits for its reader", func() bool { return s.buffered() >= waitingBytes })
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	lingertest.Wait(t, "Copy fails", func() bool { return failed.Load() != nil })
	s.assertGone(t)
}

// While a handler has a descriptor of a connection that its loop has closed, as it waits for a disk, the loop is not kept busy with what the
// kernel has to say of that.
func TestBorrowedIsForgotten(t *testing.T) {
	plain(t, "nothing is borrowed over TLS")
	goOn := make(chan bool)
	borrowed := make(chan int, 1)
	s := start(t, &Server{Loops: 1, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fd, err := w.(*responseWriter).x.borrow()
		if err != nil {
			t.Error(err)
			return
		}
		borrowed <- w.(*responseWriter).x.fd
		<-goOn
		_ = unix.Close(fd)
	})})
	defer close(goOn)
	c := s.dial(t)
	c.send(getRoot)
	number := wait(t, "the handler", borrowed)
	watched := func() (n int) {
		all, err := filepath.Glob("/proc/self/fdinfo/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range all {
			info, _ := os.ReadFile(name) // it may be closed by now
			for line := range strings.Lines(string(info)) {
				if f := strings.Fields(line); len(f) > 1 && f[0] == "tfd:" && f[1] == strconv.Itoa(number) {
					n++
				}
			}
		}
		return n
	}
	if watched() == 0 {
		t.Fatal("nobody watches the connection")
	}
	_ = c.SetLinger(0)
	c.Close()
	lingertest.Wait(t, "the connection is gone", func() bool { return s.Report().Connections.Total() == 0 })
	lingertest.Wait(t, "nobody watches it", func() bool { return watched() == 0 })
}
