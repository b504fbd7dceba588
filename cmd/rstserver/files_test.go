package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// secret is what lies outside of the directory that makeRoot returns.
const secret = "what nobody may see"

// makeRoot makes a directory of files, and beside it one that they try to lead to.
func makeRoot(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	for name, content := range map[string]string{
		"secret":               secret,
		"root-2/secret":        secret,
		"root/a.txt":           "content of a\n",
		"root/sub/b.html":      "<p>b</p>\n",
		"root/sub/..c":         "two dots\n",
		"root/big":             counted(3 << 20),
		"root/page/index.html": "<p>index</p>\n",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"inside":      "sub/b.html",
		"outside":     "../secret",
		"outside-abs": filepath.Join(dir, "secret"),
		"outside-dir": "..",
		"sub/outside": "../../secret",
		"loop":        "loop",
		"nowhere":     "missing",
		"etc":         "/etc",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(root, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

// fileTargets are request-targets with the answers that they get.
var fileTargets = []struct {
	target string
	status int
	body   string // in the answer
}{
	{"/files/a.txt", 200, "content of a\n"},
	{"/files/sub/b.html", 200, "<p>b</p>\n"},
	{"/files/sub/..c", 200, "two dots\n"},
	{"/files/inside", 200, "<p>b</p>\n"},
	{"/files/page/", 200, "<p>index</p>\n"},
	{"/files/", 200, `<a href="a.txt">`},
	{"/files/sub/", 200, `<a href="b.html">`},
	{"/files/sub", 301, ""},
	{"/files/a.txt/", 301, ""},
	{"/files/page/index.html", 301, ""},
	{"/files/missing", 404, ""},
	{"/files/a.txt/b", 404, ""},
	{"/files/nowhere", 404, ""},
	{"/files/loop", 404, ""},
	{"/files/fifo", 404, ""},
	{"/files/" + strings.Repeat("x", 1000), 404, ""},
	{"/files/a.txt%00", 404, ""},
	{"/files/outside", 404, ""},
	{"/files/outside-abs", 404, ""},
	{"/files/outside-dir/secret", 404, ""},
	{"/files/outside-dir/root-2/secret", 404, ""},
	{"/files/sub/outside", 404, ""},
	{"/files/etc/passwd", 404, ""},
	{"/files/../secret", 404, ""},
	{"/files/../root-2/secret", 404, ""},
	{"/files/sub/../../secret", 404, ""},
	{"/files/%2e%2e/secret", 404, ""},
	{"/files/..%2fsecret", 404, ""},
	{"/files/sub%2f..%2f..%2fsecret", 404, ""},
	{"/files/%5c..%5csecret", 404, ""},
	{"/files/....//secret", 404, ""},
	{"/files//etc/passwd", 404, ""},
	{"/files/../../../../../../../../../../etc/passwd", 404, ""},
}

func TestFileServer(t *testing.T) {
	root, err := os.OpenRoot(makeRoot(t))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	files := newFiles(root)
	for _, tc := range fileTargets {
		w := httptest.NewRecorder()
		(&site{files: files}).ServeHTTP(w, httptest.NewRequest("GET", tc.target, nil))
		body := w.Body.String()
		if w.Code != tc.status || !strings.Contains(body, tc.body) || strings.Contains(body, secret) {
			t.Errorf("GET %s = %d %q, want %d %q", tc.target, w.Code, body, tc.status, tc.body)
		}
	}
	// Without a directory there is nothing.
	w := httptest.NewRecorder()
	(&site{}).ServeHTTP(w, httptest.NewRequest("GET", "/files/a.txt", nil))
	if w.Code != 404 {
		t.Errorf("GET /files/a.txt without --root = %d, want 404", w.Code)
	}
}

// TestFiles is the same over a connection, where nobody has tidied up the targets.
func TestFiles(t *testing.T) {
	p := start(t, "--root", makeRoot(t))
	c := dial(t, p.addr)
	for _, tc := range fileTargets {
		c.send("%s", head("GET", tc.target))
		resp, body := c.response("GET")
		if resp.StatusCode != tc.status || !strings.Contains(body, tc.body) || strings.Contains(body, secret) {
			t.Errorf("GET %s = %s %q, want %d %q", tc.target, resp.Status, body, tc.status, tc.body)
		}
	}
	for _, tc := range []struct {
		name, request string
		status        int
		body          string
		fields        map[string]string
	}{
		{name: "HEAD", request: head("HEAD", "/files/a.txt"), status: 200, fields: map[string]string{"Content-Length": "13"}},
		{name: "range", request: head("GET", "/files/a.txt", "Range: bytes=8-10"), status: 206, body: "of ",
			fields: map[string]string{"Content-Range": "bytes 8-10/13", "Content-Length": "3"}},
		{name: "the last bytes", request: head("GET", "/files/a.txt", "Range: bytes=-5"), status: 206, body: "of a\n",
			fields: map[string]string{"Content-Range": "bytes 8-12/13"}},
		{name: "range beyond the end", request: head("GET", "/files/a.txt", "Range: bytes=100-"), status: 416,
			body: "invalid range: failed to overlap\n", fields: map[string]string{"Content-Range": "bytes */13"}},
		{name: "POST", request: head("POST", "/files/a.txt", "Content-Length: 1") + "x", status: 405,
			body: "405 method not allowed\n", fields: map[string]string{"Allow": "GET, HEAD"}},
		{name: "without the slash", request: head("GET", "/files"), status: 404, body: "404 not found\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := dial(t, p.addr)
			c.send("%s", tc.request)
			method, _, _ := strings.Cut(tc.request, " ")
			resp, body := c.response(method)
			if resp.StatusCode != tc.status || body != tc.body {
				t.Errorf("got %s %q, want %d %q", resp.Status, body, tc.status, tc.body)
			}
			for name, want := range tc.fields {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
			c.expectHello()
		})
	}
	t.Run("not modified", func(t *testing.T) {
		c := dial(t, p.addr)
		c.send("%s", head("GET", "/files/a.txt"))
		resp, _ := c.response("GET")
		c.send("%s", head("GET", "/files/a.txt", "If-Modified-Since: "+resp.Header.Get("Last-Modified")))
		if resp, body := c.response("GET"); resp.StatusCode != http.StatusNotModified || body != "" {
			t.Errorf("got %s %q, want 304", resp.Status, body)
		}
		c.expectHello()
	})
	t.Run("slow reader", func(t *testing.T) {
		c := dialSlow(t, p.addr)
		c.send("%s", head("GET", "/files/big")+head("GET", "/"))
		c.stalled()
		_, body := c.response("GET")
		checkCounting(t, body, 3<<20)
		if _, body := c.response("GET"); body != hello {
			t.Errorf("the answer behind it = %q, want %q", body, hello)
		}
	})
	p.stop()
	expectFree(t, p.addr)
}

func TestNoRoot(t *testing.T) {
	p := start(t)
	c := dial(t, p.addr)
	c.send("%s", head("GET", "/files/"))
	if resp, body := c.response("GET"); resp.StatusCode != 404 {
		t.Errorf("got %s %q, want 404", resp.Status, body)
	}
}

func TestRootErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing")
	for name, want := range map[string]string{missing: "no such file or directory", file: "not a directory"} {
		_, stderr, code := runCommand("--root", name)
		if code != 1 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "--root="+name) || !strings.Contains(stderr, want) {
			t.Errorf("--root=%s: exit code %d, %q; want 1, %q", name, code, stderr, want)
		}
	}
}

// TestFilesListsNothingThatIsNotServed: every entry of every list is answered with 200, and what links lead out to is in none.
func TestFilesListsNothingThatIsNotServed(t *testing.T) {
	root, err := os.OpenRoot(makeRoot(t))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	handler := newFiles(root)
	get := func(target string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
		return w
	}
	links := regexp.MustCompile(`<a href="([^"]+)">`)
	for dir, want := range map[string]int{"/files/": 5, "/files/sub/": 2} { // a.txt, big, inside, page, sub; b.html, ..c
		entries := links.FindAllStringSubmatch(get(dir).Body.String(), -1)
		if len(entries) != want {
			t.Errorf("%s lists %q, want %d", dir, entries, want)
		}
		for _, e := range entries {
			if w := get(dir + e[1]); w.Code != http.StatusOK {
				t.Errorf("%s lists %s, which is answered with %d", dir, e[1], w.Code)
			}
		}
	}
}
