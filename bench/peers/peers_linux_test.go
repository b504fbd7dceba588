//go:build linux

// Package peers has the tests of the programs below it.
package peers

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	// Where Debian has servers, whatever the user is.
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin"); err != nil {
		panic(err)
	}
	os.Exit(func() int {
		if os.Getenv(dirVariable) != "" {
			return m.Run()
		}
		var err error
		if built, err = os.MkdirTemp("", "peers"); err == nil {
			defer os.RemoveAll(built)
			var out []byte
			if out, err = exec.Command("go", "build", "-ldflags=-s -w", "-o", built+"/", "./...").CombinedOutput(); err != nil {
				err = fmt.Errorf("go build: %w\n%s", err, out)
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// Each program answers on every path that it has, and then lets go. Both are of one start, which costs more than they do.
func TestPrograms(t *testing.T) {
	for _, p := range programs() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := p.start(t)
			// A client of the first is gone when the second begins.
			t.Run("answers", func(t *testing.T) { s.answers(t, p.paths) })
			if p.name == "fasthttp" {
				// Its end would wait for streams whose clients are gone, of which it does not learn.
				_ = s.cmd.Process.Kill()
				_ = s.cmd.Wait()
				s = p.start(t)
			}
			t.Run("lets go", func(t *testing.T) { s.letsGo(t, p.killed) })
		})
	}
}

// answers asks for every path.
func (s *process) answers(t *testing.T, paths []string) {
	c := dial(t, s.addr)
	c.get(t, "/", "Hello, World!")
	c.get(t, "/", "Hello, World!") // keep-alive
	if slices.Contains(paths, "/slow") {
		c.get(t, "/slow?ms=100", "slept 100 ms\n")
	}
	if slices.Contains(paths, "/bytes") {
		c.get(t, "/bytes?n=1000", string(make([]byte, 1000)))
		c.get(t, "/bytes?n=1000000", string(make([]byte, 1_000_000)))
		s.streams(t, c)
	}
	if slices.Contains(paths, "/events") {
		for range 2 { // both are served at a time
			ticks(t, s.addr)
		}
	}
	if slices.Contains(paths, "/events/room") {
		tellsAll(t, s.addr)
	}
	if slices.Contains(paths, "/upgrade") {
		echoes(t, s.addr)
	}
}

// letsGo has idle clients told and the program exit with 0 on SIGTERM, or be killed by it.
func (s *process) letsGo(t *testing.T, killed bool) {
	clients := make([]*client, 20)
	for i := range clients {
		clients[i] = dial(t, s.addr)
		clients[i].get(t, "/", "Hello, World!")
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for i, c := range clients {
		if b, err := c.in.ReadByte(); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("client %d reads %q, %v, and is not told of the end", i, b, err)
		}
	}
	state := s.wait(t)
	if killed {
		if status := state.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGTERM {
			t.Errorf("its end is %v", state)
		}
	} else if state.ExitCode() != 0 {
		t.Errorf("its end is %v; stderr: %s", state, s.errors())
	}
}

// TestAddressTaken starts each program where somebody listens already.
func TestAddressTaken(t *testing.T) {
	for _, p := range programs() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			s := p.spawn(t, ln.Addr().String())
			if state, want := s.wait(t), max(p.refused, 1); state.ExitCode() != want {
				t.Errorf("its end is %v, want exit code %d", state, want)
			}
			if s.errors() == "" {
				t.Error("it does not say why")
			}
		})
	}
}

type client struct {
	net.Conn
	in *bufio.Reader
}

func dial(t *testing.T, addr string) *client {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &client{c, bufio.NewReader(c)}
}

// request sends a GET and reads the head of the answer.
func (c *client) request(t *testing.T, target string, fields ...string) *http.Response {
	head := "GET " + target + " HTTP/1.1\r\nHost: peers\r\n"
	for _, f := range fields {
		head += f + "\r\n"
	}
	if _, err := io.WriteString(c, head+"\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatalf("GET %s: %v", target, err)
	}
	return resp
}

// get checks an answer that leaves the connection open, and says how long it is: whoever measures looks for the content's end
// at the answer's end.
func (c *client) get(t *testing.T, target, want string) {
	resp := c.request(t, target)
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || resp.Close || resp.ContentLength != int64(len(want)) || string(got) != want {
		t.Fatalf("GET %s = %s with %d bytes %.30q, %v, Content-Length %d, last on its connection: %t; want 200 OK with %d bytes %.30q",
			target, resp.Status, len(got), got, err, resp.ContentLength, resp.Close, len(want), want)
	}
}

// streams checks that an answer which the client takes only in part is not in the server's memory as a whole.
func (s *process) streams(t *testing.T, c *client) {
	const n, taken = 1_000_000_000, 64 << 20
	resp := c.request(t, fmt.Sprintf("/bytes?n=%d", n))
	if resp.StatusCode != 200 || resp.ContentLength != n {
		t.Fatalf("%s with Content-Length %d", resp.Status, resp.ContentLength)
	}
	if _, err := io.CopyN(io.Discard, resp.Body, taken); err != nil {
		t.Fatal(err)
	}
	if peak := s.peakMemory(t); peak > n/2/1024 {
		t.Errorf("%d KiB in memory for an answer of %d bytes", peak, n)
	}
}

// event is the data of the next one.
func event(t *testing.T, in *bufio.Reader) string {
	t.Helper()
	data := ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("reading an event: %v", err)
		}
		if line == "\n" && data != "" {
			return data
		}
		if value, is := strings.CutPrefix(line, "data: "); is {
			data = strings.TrimSuffix(value, "\n")
		}
	}
}

func (c *client) stream(t *testing.T, target string) *bufio.Reader {
	t.Helper()
	resp := c.request(t, target)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || !slices.Equal(resp.TransferEncoding, []string{"chunked"}) {
		t.Fatalf("GET %s = %s with %v, %v, want an event stream in chunks", target, resp.Status, resp.Header, resp.TransferEncoding)
	}
	return bufio.NewReader(resp.Body)
}

// ticks reads two events, which are not the same.
func ticks(t *testing.T, addr string) {
	in := dial(t, addr).stream(t, "/events?ms=10")
	if one, two := event(t, in), event(t, in); one == two {
		t.Errorf("two events say %q", one)
	}
}

// tellsAll has two get what is posted.
func tellsAll(t *testing.T, addr string) {
	a, b := dial(t, addr).stream(t, "/events/room"), dial(t, addr).stream(t, "/events/room")
	publisher := dial(t, addr)
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() { // a client can have its head before it is in the room
		defer close(stopped)
		for {
			if _, err := io.WriteString(publisher, "POST /events/room HTTP/1.1\r\nHost: peers\r\nContent-Length: 5\r\n\r\nhello"); err != nil {
				t.Error(err)
				return
			}
			if resp, err := http.ReadResponse(publisher.in, &http.Request{Method: "POST"}); err != nil || resp.StatusCode != 204 {
				t.Errorf("POST = %v, %v", resp, err)
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	for _, in := range []*bufio.Reader{a, b} {
		if got := event(t, in); got != "hello" {
			t.Errorf("a client got %q", got)
		}
	}
	close(stop)
	<-stopped
}

// echoes upgrades a connection.
func echoes(t *testing.T, addr string) {
	c := dial(t, addr)
	resp := c.request(t, "/upgrade", "Connection: Upgrade", "Upgrade: echo")
	if resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "echo" {
		t.Fatalf("%s, Upgrade: %q", resp.Status, resp.Header.Get("Upgrade"))
	}
	for _, size := range []int{1, 10, 10_000} {
		want := bytes.Repeat([]byte("\x00\xffe"), size)
		if _, err := c.Write(want); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c.in, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("the echo of %d bytes is another, or none: %v", len(want), err)
		}
	}
}

// TestServing has the figures of serving made, too few of each to mean anything.
func TestServing(t *testing.T) {
	dir := os.Getenv(dirVariable)
	if dir == "" {
		dir = built
	}
	program := filepath.Join(t.TempDir(), "rstserver")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", program, "./cmd/rstserver")
	build.Dir = filepath.Join("..", "..") // it is of another module
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for what, want := range map[string][]string{
		"costs":   {"GET /      rstserver", "pipelined  gnet", "1 MiB      nethttp", "an http.Handler × net/http"},
		"latency": {"alone      of its most", "nine tenths", "10 idle", "broadcast to 10", "nethttp"},
	} {
		var errs bytes.Buffer
		cmd := exec.Command(filepath.Join(dir, "serving"), "-rounds", "1", "-for", "20ms", "-held", "10", "-program", program, "-peers", dir, what)
		cmd.Stderr = &errs
		out, err := cmd.Output()
		// Bounds may not hold.
		if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || what == "latency" || !strings.Contains(errs.String(), "the bound is")) {
			t.Errorf("%s: %v: %s", what, err, &errs)
		}
		for _, part := range want {
			if !strings.Contains(string(out), part) {
				t.Errorf("%s: there is no %q in\n%s", what, part, out)
			}
		}
	}
}
