package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"rstserver/internal/lingertest"
)

// combined is the form of a line of the access log.
var combined = regexp.MustCompile(`^127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] ("[^"]*" \d{3} \d+ "[^"]*" "[^"]*")$`)

// parts returns what is in the lines behind the time, each of which has to be whole.
func parts(t testing.TB, lines []string) []string {
	t.Helper()
	var all []string
	for _, line := range lines {
		m := combined.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("line %q is not in the combined format", line)
			continue
		}
		all = append(all, m[1])
	}
	return all
}

// fileLines returns the complete lines of a file.
func fileLines(t testing.TB, name string) []string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	return lines[:len(lines)-1]
}

// TestAccessLog asks one question after the other and looks for a line about each.
func TestAccessLog(t *testing.T) {
	name := filepath.Join(t.TempDir(), "access.log")
	t.Parallel()
	// Longer than what is no slow request ever takes.
	p := start(t, "--access-log", name, "--root", makeRoot(t), "--header-timeout", "2s", "--handler-timeout", "2s",
		"--max-body-bytes", "1000", "--max-header-bytes", "4096")
	var want []string
	var modified string
	for _, tc := range []struct {
		request string
		status  int
		line    string // $ stands for the number of bytes that came
	}{
		{head("GET", "/"), 200, `"GET / HTTP/1.1" 200 13 "-" "-"`},
		{head("GET", "/?a=b", "Referer: http://test/", `User-Agent: a "b" \c`), 200,
			`"GET /?a=b HTTP/1.1" 200 13 "http://test/" "a \x22b\x22 \x5Cc"`},
		{"GET / HTTP/1.0\r\nUser-Agent: \xc3\xa9\r\n\r\n", 200, `"GET / HTTP/1.0" 200 13 "-" "\xC3\xA9"`},
		{head("HEAD", "/"), 200, `"HEAD / HTTP/1.1" 200 0 "-" "-"`},
		{head("GET", "/bytes?n=100000"), 200, `"GET /bytes?n=100000 HTTP/1.1" 200 100000 "-" "-"`},
		{head("POST", "/echo", "Content-Length: 3", "Referer: x") + "abc", 200, `"POST /echo HTTP/1.1" 200 3 "x" "-"`},
		{head("GET", "/slow?ms=1", "User-Agent: y"), 200, `"GET /slow?ms=1 HTTP/1.1" 200 11 "-" "y"`},
		{head("GET", "/stream?chunks=3&bytes=1000&ms=1"), 200, `"GET /stream?chunks=3&bytes=1000&ms=1 HTTP/1.1" 200 3000 "-" "-"`},
		{head("GET", "/files/a.txt"), 200, `"GET /files/a.txt HTTP/1.1" 200 13 "-" "-"`},
		{head("GET", "/files/a.txt", "If-Modified-Since: MODIFIED"), 304, `"GET /files/a.txt HTTP/1.1" 304 0 "-" "-"`},
		{head("GET", "/files/a.txt", "Range: bytes=0-4"), 206, `"GET /files/a.txt HTTP/1.1" 206 5 "-" "-"`},
		{head("GET", "/nothing"), 404, `"GET /nothing HTTP/1.1" 404 $ "-" "-"`},
		{head("GET", "/files/nothing"), 404, `"GET /files/nothing HTTP/1.1" 404 $ "-" "-"`},
		{head("POST", "/slow"), 405, `"POST /slow HTTP/1.1" 405 $ "-" "-"`},
		{head("GET", "/slow"), 400, `"GET /slow HTTP/1.1" 400 $ "-" "-"`},
		{head("GET", "/upgrade"), 426, `"GET /upgrade HTTP/1.1" 426 $ "-" "-"`},
		{patientSlow, 503, `"GET /slow?ms=86400000 HTTP/1.1" 503 $ "-" "-"`},
		// Those that are not understood, or not wanted.
		{"GET / HTTP/1.1\r\n\r\n", 400, `"GET / HTTP/1.1" 400 $ "-" "-"`},
		{"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400, `"GET / HTTP/1.1" 400 $ "-" "-"`},
		{head("POST", "/echo", "Content-Length: 1001"), 413, `"POST /echo HTTP/1.1" 413 $ "-" "-"`},
		{head("GET", "/") + "GET / HTTP/1.1\r\nHo", 200, `"GET / HTTP/1.1" 200 13 "-" "-"`},
	} {
		c := dial(t, p.addr)
		c.send("%s", strings.Replace(tc.request, "MODIFIED", modified, 1))
		method, _, _ := strings.Cut(tc.request, " ")
		resp, body := c.response(method)
		if resp.StatusCode != tc.status {
			t.Errorf("%q: got %s %q, want %d", tc.request, resp.Status, body, tc.status)
		}
		modified = resp.Header.Get("Last-Modified")
		want = append(want, strings.Replace(tc.line, "$", itoa(len(body)), 1))
		if strings.HasSuffix(tc.request, "\r\nHo") {
			resp, body = c.response("GET")
			if resp.StatusCode != 408 {
				t.Errorf("half a request: got %s %q, want 408", resp.Status, body)
			}
			want = append(want, `"GET / HTTP/1.1" 408 `+itoa(len(body))+` "-" "-"`)
		}
		c.Close()
		// A worker reports its answer when that has left.
		lingertest.Wait(t, "a line about "+tc.request, func() bool { return len(fileLines(t, name)) == len(want) })
	}
	upgraded := dial(t, p.addr)
	upgraded.send("%s", upgradeRequest)
	upgraded.expectUpgrade()
	want = append(want, `"GET /upgrade HTTP/1.1" 101 0 "-" "-"`)
	lingertest.Wait(t, "a line about the upgrade", func() bool { return len(fileLines(t, name)) == len(want) })
	garbage := dial(t, p.addr)
	garbage.send("\x16\x03\x01\x02\x00\"\\\r\n\r\n")
	_, body := garbage.response("GET")
	p.stop()
	got := parts(t, fileLines(t, name))
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("line %d = %s, want %s", i, got[i], want[i])
		}
	}
	// How much of garbage is a request line is a matter of taste, but not how it is written.
	if len(got) != len(want)+1 {
		t.Fatalf("the log has %d lines, want %d", len(got), len(want)+1)
	}
	if last := got[len(want)]; !strings.HasSuffix(last, ` 400 `+itoa(len(body))+` "-" "-"`) ||
		!strings.HasPrefix(last, `"\x16\x03\x01\x02\x00\x22\x5C`) && !strings.HasPrefix(last, `"-" `) {
		t.Errorf("garbage is logged as %s", last)
	}
}

// TestAccessLogOnStdout looks for the lines between the address and the report.
func TestAccessLogOnStdout(t *testing.T) {
	p := start(t, "--access-log", "-")
	const n, clients = 500, 4
	done := make(chan struct{})
	for range clients {
		c := dial(t, p.addr)
		go func() {
			defer func() { done <- struct{}{} }()
			_, _ = io.WriteString(c, strings.Repeat(head("GET", "/", "User-Agent: "+strings.Repeat("x", 100)), n))
			_, _ = io.Copy(io.Discard, c)
		}()
	}
	lingertest.Wait(t, "all requests are logged", func() bool { return p.stdout.count(`"GET / HTTP/1.1" 200 13`) == n*clients })
	p.stop()
	for range clients {
		<-done
	}
	lines := p.stdout.lines()
	if !strings.HasPrefix(lines[0], "listening on ") {
		t.Errorf("stdout begins with %q, want the address", lines[0])
	}
	if got := parts(t, lines[1:min(n*clients+1, len(lines))]); len(got) != n*clients {
		t.Errorf("%d lines are in the combined format, want %d", len(got), n*clients)
	}
	if len(lines) < n*clients+2 || !strings.HasPrefix(lines[n*clients+1], "teardown of ") {
		t.Errorf("behind the log comes %q, want the report", lines[min(n*clients+1, len(lines)):])
	}
}

// TestStalledAccessLog stops reading stdout. Clients, teardown and exit do not wait for it.
func TestStalledAccessLog(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(binary, "--addr", "127.0.0.1:0", "--access-log", "-")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.Stdout = w
	p := launch(t, cmd)
	w.Close()
	line, err := bufio.NewReaderSize(io.LimitReader(r, 200), 16).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := p.addr.UnmarshalText([]byte(strings.TrimPrefix(strings.TrimSpace(line), "listening on http://"))); err != nil {
		t.Fatal(err)
	}
	c := dial(t, p.addr)
	for range 2000 {
		c.expectHello()
	}
	p.signal(syscall.SIGTERM)
	c.expectReset()
	expectFree(t, p.addr)
	p.exit(0)
}

func TestAccessLogErrors(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]string{
		dir:                                "is a directory",
		filepath.Join(dir, "missing", "x"): "no such file or directory",
	} {
		_, stderr, code := runCommand("--access-log", name)
		if code != 1 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "--access-log="+name) || !strings.Contains(stderr, want) {
			t.Errorf("--access-log=%s: exit code %d, %q; want 1, %q", name, code, stderr, want)
		}
	}
}

// TestAccessLogThatIsTruncated is what logrotate's copytruncate does.
func TestAccessLogThatIsTruncated(t *testing.T) {
	name := filepath.Join(t.TempDir(), "access.log")
	p := start(t, "--access-log", name)
	c := dial(t, p.addr)
	for range 3 {
		c.expectHello()
		lingertest.Wait(t, "the request is logged", func() bool {
			info, err := os.Stat(name)
			return err == nil && info.Size() > 0
		})
		if err := os.Truncate(name, 0); err != nil {
			t.Fatal(err)
		}
	}
	c.get("/bytes?n=1")
	p.stop()
	if got := parts(t, fileLines(t, name)); len(got) != 1 || got[0] != `"GET /bytes?n=1 HTTP/1.1" 200 1 "-" "-"` {
		t.Errorf("the log has the lines %q, want one", got)
	}
}
