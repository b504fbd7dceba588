//go:build linux

package interop

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tree writes files to serve, and returns the folder and the content of the big one.
func tree(t *testing.T) (dir, content string) {
	dir = t.TempDir()
	var b strings.Builder
	for i := 0; b.Len() < 3<<20; i++ {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	for name, content := range map[string]string{
		"big.txt": b.String(), "index.html": "<!DOCTYPE html><title>index</title>", "a b.css": "a{}", "empty": "", "sub/x": "x",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	modified := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(dir, "big.txt"), modified, modified); err != nil {
		t.Fatal(err)
	}
	return dir, b.String()
}

const (
	modified      = "Thu, 29 Feb 2024 12:00:00 GMT"
	modifiedLater = "Fri, 01 Mar 2024 12:00:00 GMT"
)

func TestFileServer(t *testing.T) {
	dir, content := tree(t)
	servers := map[string]http.Handler{"Dir": http.FileServer(http.Dir(dir)), "FS": http.FileServerFS(os.DirFS(dir))}
	size := len(content)
	tests := []struct {
		name, method, path string
		fields             []string
		status             int
		content            string
		header             map[string]string
	}{
		{"whole", "GET", "/big.txt", nil, 200, content,
			map[string]string{"Content-Length": fmt.Sprint(size), "Last-Modified": modified, "Accept-Ranges": "bytes",
				"Content-Type": "text/plain; charset=utf-8"}},
		{"HEAD", "HEAD", "/big.txt", nil, 200, "", map[string]string{"Content-Length": fmt.Sprint(size)}},
		{"range", "GET", "/big.txt", []string{"Range", "bytes=100-299"}, 206, content[100:300],
			map[string]string{"Content-Range": fmt.Sprintf("bytes 100-299/%d", size), "Content-Length": "200"}},
		{"range to the end", "GET", "/big.txt", []string{"Range", "bytes=1000000-"}, 206, content[1000000:], nil},
		{"range from the end", "GET", "/big.txt", []string{"Range", "bytes=-100"}, 206, content[size-100:], nil},
		{"range beyond the end", "GET", "/big.txt", []string{"Range", "bytes=99999999-"}, 416, "invalid range: failed to overlap\n",
			map[string]string{"Content-Range": fmt.Sprintf("bytes */%d", size)}},
		{"range of HEAD", "HEAD", "/big.txt", []string{"Range", "bytes=0-99"}, 206, "", map[string]string{"Content-Length": "100"}},
		{"If-Range holds", "GET", "/big.txt", []string{"Range", "bytes=0-9", "If-Range", modified}, 206, content[:10], nil},
		{"If-Range does not", "GET", "/big.txt", []string{"Range", "bytes=0-9", "If-Range", modifiedLater}, 200, content, nil},
		{"If-Modified-Since, not", "GET", "/big.txt", []string{"If-Modified-Since", modified}, 304, "",
			map[string]string{"Last-Modified": modified, "Content-Length": "", "Content-Type": ""}},
		{"If-Unmodified-Since, not", "GET", "/big.txt", []string{"If-Unmodified-Since", "Wed, 28 Feb 2024 12:00:00 GMT"}, 412, "", nil},
		{"index", "GET", "/", nil, 200, "<!DOCTYPE html><title>index</title>",
			map[string]string{"Content-Type": "text/html; charset=utf-8"}},
		{"index by name", "GET", "/index.html", nil, 301, "", map[string]string{"Location": "./"}},
		{"space", "GET", "/a%20b.css", nil, 200, "a{}", map[string]string{"Content-Type": "text/css; charset=utf-8"}},
		{"empty", "GET", "/empty", nil, 200, "", map[string]string{"Content-Length": "0"}},
		{"folder", "GET", "/sub/", nil, 200,
			"<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n<a href=\"x\">x</a>\n</pre>\n", nil},
		{"folder without slash", "GET", "/sub", nil, 301, "", map[string]string{"Location": "sub/"}},
		{"outside", "GET", "/../../etc/passwd", nil, 404, "404 page not found\n", nil},
		{"none", "GET", "/none", nil, 404, "404 page not found\n", nil},
	}
	for name, handler := range servers {
		s := serve(t, handler)
		c := newClient(t)
		for _, tt := range tests {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				res, got := do(t, c, newRequest(t, tt.method, s.url+tt.path, nil, tt.fields...))
				if res.StatusCode != tt.status || got != tt.content {
					t.Errorf("%s %s = %s with %d bytes, want %d with %d", tt.method, tt.path, res.Status, len(got), tt.status, len(tt.content))
				}
				for name, want := range tt.header {
					if got := res.Header.Get(name); got != want {
						t.Errorf("%s is %q, want %q", name, got, want)
					}
				}
			})
		}
		t.Run(name+"/ranges", func(t *testing.T) {
			res, got := do(t, c, newRequest(t, "GET", s.url+"/big.txt", nil, "Range", "bytes=0-9,2000000-2000099,-5"))
			kind, params, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
			if res.StatusCode != 206 || kind != "multipart/byteranges" || err != nil || res.ContentLength != int64(len(got)) {
				t.Fatalf("%s, %s, %v, %d of %d bytes", res.Status, kind, err, len(got), res.ContentLength)
			}
			parts := multipart.NewReader(strings.NewReader(got), params["boundary"])
			for _, want := range []string{content[:10], content[2000000:2000100], content[size-5:]} {
				part, err := parts.NextPart()
				if err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(part); err != nil || string(b) != want {
					t.Errorf("the part with %s has %d bytes, %v, want %d", part.Header.Get("Content-Range"), len(b), err, len(want))
				}
			}
		})
	}
}

// ServeContent of something that is no file, with an entity tag.
func TestServeContent(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 100<<10)
	s := serveFunc(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"v1"`)
		http.ServeContent(w, r, "x.bin", time.Time{}, bytes.NewReader(content))
	})
	c := newClient(t)
	if res, got := do(t, c, newRequest(t, "GET", s.url, nil, "If-None-Match", `"v0", "v1"`)); res.StatusCode != 304 || got != "" {
		t.Errorf("If-None-Match: %s, %d bytes", res.Status, len(got))
	}
	if res, got := do(t, c, newRequest(t, "GET", s.url, nil, "If-Match", `"v2"`)); res.StatusCode != 412 || got != "" {
		t.Errorf("If-Match: %s, %d bytes", res.Status, len(got))
	}
	res, got := do(t, c, newRequest(t, "GET", s.url, nil, "Range", "bytes=5-", "If-Range", `"v1"`))
	if res.StatusCode != 206 || got != string(content[5:]) {
		t.Errorf("Range with If-Range: %s, %d bytes", res.Status, len(got))
	}
}
