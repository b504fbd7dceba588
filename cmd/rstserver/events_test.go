//go:build linux

package main

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"rstserver/internal/lingertest"
)

// curl reads a stream, as people do. It prints what comes as it comes.
func curl(t *testing.T, args ...string) (lines *bufio.Scanner, cmd *exec.Cmd) {
	t.Helper()
	path, err := exec.LookPath("curl")
	if err != nil {
		if os.Getenv("RSTSERVER_DEPS") == "1" {
			t.Fatal("curl is missing: make deps")
		}
		t.Skip("curl is missing: make deps, or apt-get install curl")
	}
	cmd = exec.Command(path, append([]string{"-sSN", "--max-time", "120"}, args...)...)
	out, err := cmd.StdoutPipe()
	lingertest.Must(t, err)
	cmd.Stderr = os.Stderr
	lingertest.Must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return bufio.NewScanner(out), cmd
}

// line is the next line that is not empty.
func line(t *testing.T, s *bufio.Scanner) string {
	t.Helper()
	for s.Scan() {
		if s.Text() != "" {
			return s.Text()
		}
	}
	t.Fatalf("curl prints no more: %v", s.Err())
	return ""
}

// /events ticks, goes on where a client left off, and ends in order, with the time to come back, when the server drains.
func TestEvents(t *testing.T) {
	t.Parallel()
	p := start(t)
	s, cmd := curl(t, "-i", "http://"+p.addr.String()+"/events?ms=20")
	for want := range strings.SplitSeq("HTTP/1.1 200 OK|Cache-Control: no-cache, no-transform|Content-Type: text/event-stream|X-Accel-Buffering: no|Date: |Transfer-Encoding: chunked|Connection: close", "|") {
		if got := line(t, s); !strings.HasPrefix(got, want) {
			t.Errorf("curl prints %q, want %q", got, want)
		}
	}
	id := func(s *bufio.Scanner) int {
		t.Helper()
		n, err := strconv.Atoi(strings.TrimPrefix(line(t, s), "id: "))
		lingertest.Must(t, err)
		if data := line(t, s); !strings.HasPrefix(data, "data: 20") || !strings.HasSuffix(data, "Z") {
			t.Errorf("curl prints %q, want a time", data)
		}
		return n
	}
	first := id(s)
	for last := first; last < first+5; {
		next := id(s)
		if next <= last {
			t.Errorf("%d comes behind %d", next, last)
		}
		last = next
	}
	// Nobody else ticks, so what was sent to the other is what this one has missed.
	again, cmd2 := curl(t, "-H", "Last-Event-ID: "+strconv.Itoa(first), "http://"+p.addr.String()+"/events?ms=20")
	if n := id(again); n <= first || n > first+5 {
		t.Errorf("after %d it goes on with %d", first, n)
	}
	p.signal(syscall.SIGQUIT)
	for _, s := range []*bufio.Scanner{s, again} {
		var last string
		for s.Scan() {
			if s.Text() != "" {
				last = s.Text()
			}
		}
		if !strings.HasPrefix(last, "retry: ") {
			t.Errorf("the last that curl prints is %q", last)
		}
	}
	for _, cmd := range []*exec.Cmd{cmd, cmd2} {
		if err := cmd.Wait(); err != nil {
			t.Errorf("curl: %v", err)
		}
	}
	p.exit(0)
	expectFree(t, p.addr)
}

// What is posted to /events/room goes to all who are there, and to those who come back.
func TestEventRoom(t *testing.T) {
	t.Parallel()
	p := start(t)
	open := func() *bufio.Scanner {
		t.Helper()
		s, _ := curl(t, "-H", "Last-Event-ID: never", "http://"+p.addr.String()+"/events/room")
		if a, b := line(t, s), line(t, s); a != "event: missed" || b != "data: what came after that is not kept any more, all of it" {
			t.Errorf("curl prints %q, %q", a, b)
		}
		return s
	}
	a := open()
	post := func(body string, want int) {
		t.Helper()
		resp, err := http.Post("http://"+p.addr.String()+"/events/room", "text/plain", strings.NewReader(body))
		lingertest.Must(t, err)
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%.20q is answered with %s, want %d", body, resp.Status, want)
		}
	}
	post("hello", 204)
	post("two\nlines", 204)
	post("\xff", 400)
	const want = "event: message|data: hello|event: message|data: two|data: lines"
	expect := func(s *bufio.Scanner, want string) {
		t.Helper()
		for want := range strings.SplitSeq(want, "|") {
			got := line(t, s)
			for strings.HasPrefix(got, "id: ") {
				got = line(t, s)
			}
			if got != want {
				t.Errorf("curl prints %q, want %q", got, want)
			}
		}
	}
	expect(a, want)
	b := open()
	expect(b, want)
	post("last", 204)
	expect(a, "event: message|data: last")
	expect(b, "event: message|data: last")
	c := dial(t, p.addr)
	c.send("%s", head("PUT", "/events/room", "Content-Length: 0"))
	if resp, _ := c.response("PUT"); resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("PUT is answered with %s %v", resp.Status, resp.Header)
	}
	c = dial(t, p.addr)
	c.send("%s", head("GET", "/events?ms=0"))
	if resp, body := c.response("GET"); resp.StatusCode != 400 || !strings.Contains(string(body), "ms has to be a number from 1") {
		t.Errorf("ms=0 is answered with %s %s", resp.Status, body)
	}
	p.signal(syscall.SIGTERM)
	p.exit(0)
}
