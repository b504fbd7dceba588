//go:build linux

package interop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"rstserver/poller"
)

func TestMaxBytesReader(t *testing.T) {
	s := serveFunc(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1000))
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			http.Error(w, fmt.Sprint("at most ", tooLarge.Limit), http.StatusRequestEntityTooLarge)
			return
		}
		fmt.Fprint(w, len(b))
	})
	c := newClient(t)
	tests := []struct {
		name    string
		content io.Reader
		status  int
		want    string
	}{
		{"as much", strings.NewReader(strings.Repeat("x", 1000)), 200, "1000"},
		{"one more", strings.NewReader(strings.Repeat("x", 1001)), 413, "at most 1000\n"},
		{"far more", strings.NewReader(strings.Repeat("x", 4<<20)), 413, "at most 1000\n"},
		{"as much, chunked", io.MultiReader(strings.NewReader(strings.Repeat("x", 1000))), 200, "1000"},
		{"far more, chunked", io.MultiReader(strings.NewReader(strings.Repeat("x", 4<<20))), 413, "at most 1000\n"},
		{"as much again", strings.NewReader(strings.Repeat("x", 1000)), 200, "1000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, got := do(t, c, newRequest(t, "POST", s.url, tt.content))
			if res.StatusCode != tt.status || got != tt.want {
				t.Errorf("%s %q, want %d %q", res.Status, got, tt.status, tt.want)
			}
		})
	}
}

// The server's own bound answers in the handler's place.
func TestMaxBodyBytes(t *testing.T) {
	s := start(t, &poller.Server{MaxBodyBytes: 1000, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil && errorClass(err) != "MaxBytesError(1000)" {
			t.Errorf("reading too much: %v", err)
		}
		fmt.Fprint(w, len(b))
	})})
	c := newClient(t)
	for _, wrap := range []func(io.Reader) io.Reader{
		func(r io.Reader) io.Reader { return r },
		func(r io.Reader) io.Reader { return io.MultiReader(r) }, // chunked
	} {
		if res, got := do(t, c, newRequest(t, "POST", s.url, wrap(strings.NewReader(strings.Repeat("x", 1000))))); got != "1000" {
			t.Errorf("as much: %s %q", res.Status, got)
		}
		if res, got := do(t, c, newRequest(t, "POST", s.url, wrap(strings.NewReader(strings.Repeat("x", 2000))))); res.StatusCode != 413 {
			t.Errorf("more: %s %q", res.Status, got)
		}
	}
}

// countingReader notes whether it was read at all.
type countingReader struct {
	io.Reader
	read atomic.Bool
}

func (r *countingReader) Read(p []byte) (int, error) {
	r.read.Store(true)
	return r.Reader.Read(p)
}

func TestClientWaitsForContinue(t *testing.T) {
	s := serveFunc(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	c := newClient(t)
	for i := range 3 {
		body := &countingReader{Reader: strings.NewReader("hello")}
		req := newRequest(t, "POST", s.url+"/yes", body, "Expect", "100-continue")
		if i > 0 {
			req.ContentLength = 5
		}
		if res, got := do(t, c, req); res.StatusCode != 200 || got != "5 <nil>" {
			t.Errorf("with 100: %s %q", res.Status, got)
		}
		body = &countingReader{Reader: strings.NewReader("hello")}
		req = newRequest(t, "POST", s.url+"/no", body, "Expect", "100-continue")
		req.ContentLength = 5
		if res, _ := do(t, c, req); res.StatusCode != 403 || body.read.Load() {
			t.Errorf("without 100: %s, content read: %v", res.Status, body.read.Load())
		}
	}
}

func TestMultipartUpload(t *testing.T) {
	s := serveFunc(t, func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(64 << 10); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		defer r.MultipartForm.RemoveAll()
		f, header, err := r.FormFile("file")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		defer f.Close()
		fmt.Fprintln(w, r.FormValue("text"), header.Filename, header.Size)
		_, _ = io.Copy(w, f)
	})
	c := newClient(t)
	for _, size := range []int{0, 100, 3 << 20} {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		_ = form.WriteField("text", "some text")
		file, err := form.CreateFormFile("file", "a.bin")
		if err != nil {
			t.Fatal(err)
		}
		content := strings.Repeat("x", size)
		_, _ = io.WriteString(file, content)
		_ = form.Close()
		for _, chunked := range []bool{false, true} {
			var r io.Reader = bytes.NewReader(body.Bytes())
			if chunked {
				r = io.MultiReader(r)
			}
			res, got := do(t, c, newRequest(t, "POST", s.url, r, "Content-Type", form.FormDataContentType()))
			if want := fmt.Sprintf("some text a.bin %d\n%s", size, content); res.StatusCode != 200 || got != want {
				t.Errorf("%d bytes: %s, %.100q", size, res.Status, got)
			}
		}
	}
}

// Trailers of a request are there when its content has been read.
func TestRequestTrailers(t *testing.T) {
	s := serveFunc(t, func(w http.ResponseWriter, r *http.Request) {
		_, announced := r.Trailer["X-Sum"]
		_, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, announced, err, r.Trailer.Get("X-Sum"))
	})
	req := newRequest(t, "POST", s.url, io.MultiReader(strings.NewReader("hello")))
	req.Trailer = http.Header{"X-Sum": {"7"}}
	if _, got := do(t, newClient(t), req); got != "true <nil>7" {
		t.Errorf("the handler saw %q", got)
	}
}
