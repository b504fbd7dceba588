//go:build linux

package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/linger/lingertest"
)

// What TestDescriptors has a server hold, and what it is allowed to: together they do not fit.
const (
	fileLimit = 12_000
	manyFiles = 10_000
	fewFiles  = 100
	manyConns = 2_500
)

// hoarder serves a handler that opens as many files as it is asked to, and holds them until it is asked to close them.
func hoarder() error {
	limit := unix.Rlimit{Cur: fileLimit, Max: fileLimit}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("setrlimit", err)
	}
	var mu sync.Mutex
	var held []int
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "Hello, World!") })
	mux.HandleFunc("/open", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		n, _ := strconv.Atoi(r.FormValue("n"))
		free, _ := strconv.Atoi(r.FormValue("free"))
		opened := 0
		for ; opened < n; opened++ {
			fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				// There are no more. Some of them may be given back.
				for range min(free, len(held)) {
					_ = unix.Close(held[len(held)-1])
					held = held[:len(held)-1]
				}
				fmt.Fprintf(w, "%d opened, then %s", opened, err)
				return
			}
			held = append(held, fd)
		}
		fmt.Fprintf(w, "%d opened", opened)
	})
	mux.HandleFunc("/close", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		for _, fd := range held {
			_ = unix.Close(fd)
		}
		fmt.Fprintf(w, "%d closed", len(held))
		held = nil
	})
	return serveHandler(mux)
}

// control is a connection by which the handler is told what to do.
type control struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dialControl(t testing.TB, addr netip.AddrPort) *control {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &control{t, c, bufio.NewReader(c)}
}

func (c *control) ask(target string) string {
	c.t.Helper()
	_ = c.SetDeadline(time.Now().Add(lingertest.Patience))
	if _, err := io.WriteString(c, get(target)); err != nil {
		c.t.Fatalf("%s: %v", target, err)
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("%s: %v", target, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		c.t.Fatalf("%s: %s, %v", target, resp.Status, err)
	}
	return string(body)
}

// log is what a server writes on stderr.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// opening is a Fleet on its way.
type opening struct {
	fleets []*Fleet
	errs   []error
	all    sync.WaitGroup
}

// openAll opens as many idle connections in each of several fleets at a time.
func openAll(addr netip.AddrPort, fleets, n int) *opening {
	o := &opening{fleets: make([]*Fleet, fleets), errs: make([]error, fleets)}
	for i := range fleets {
		o.all.Go(func() { o.fleets[i], o.errs[i] = Open(addr, All(n, Idle), patience) })
	}
	return o
}

// served expects that all of them are served, and still are.
func (o *opening) served(t *testing.T) {
	t.Helper()
	o.all.Wait()
	for i, f := range o.fleets {
		if o.errs[i] != nil {
			t.Error(o.errs[i])
			continue
		}
		if err := f.Repeat(Idle, patience); err != nil {
			t.Error(err)
		}
		f.Close()
	}
}

// A handler that uses up the descriptors costs no client its connection: those who are there are served, and those who come are
// kept waiting until there are descriptors again.
func TestDescriptors(t *testing.T) {
	const pauses = "accepting pauses"
	tests := []struct {
		name string
		run  func(t *testing.T, c *control, addr netip.AddrPort, paused func()) *opening
	}{
		{"files first", func(_ *testing.T, c *control, addr netip.AddrPort, paused func()) *opening {
			c.ask(fmt.Sprintf("/open?n=%d", manyFiles))
			o := openAll(addr, 1, manyConns)
			paused()
			return o
		}},
		{"all that there are first", func(_ *testing.T, c *control, addr netip.AddrPort, paused func()) *opening {
			c.ask(fmt.Sprintf("/open?n=%d&free=%d", fileLimit, 50))
			o := openAll(addr, 1, 100)
			paused()
			return o
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd, addr := peer("hoarder")()
			stderr := &log{}
			cmd.Stderr = stderr
			p, err := Start(cmd, addr, patience)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Kill)
			c := dialControl(t, p.Addr)
			o := tt.run(t, c, p.Addr, func() {
				lingertest.Wait(t, "accepting pauses", func() bool { return strings.Contains(stderr.String(), pauses) })
			})
			c.ask("/close")
			o.served(t)
			if strings.Contains(stderr.String(), "ended unasked") {
				t.Errorf("an event loop has ended: %s", stderr)
			}
		})
	}
}

var _ = errors.New
var _ = exec.Command
