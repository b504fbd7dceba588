package httpcodec_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rstserver/httpcodec"
)

func TestAppendHead(t *testing.T) {
	const date = "Sun, 06 Nov 1994 08:49:37 GMT"
	for _, tt := range []struct {
		name string
		resp httpcodec.Response
		want string
		kind httpcodec.FramingKind
		keep bool
	}{
		{
			name: "length",
			resp: httpcodec.Response{Status: 200, MinorVersion: 1, KeepAlive: true, ContentLength: 13, ContentType: "text/plain", Date: []byte(date)},
			want: "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: " + date + "\r\nContent-Length: 13\r\n\r\n",
			kind: httpcodec.Length, keep: true,
		}, {
			name: "zero length",
			resp: httpcodec.Response{Status: 404, MinorVersion: 1, KeepAlive: true},
			want: "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
			kind: httpcodec.Length, keep: true,
		}, {
			name: "chunked",
			resp: httpcodec.Response{Status: 200, MinorVersion: 1, KeepAlive: true, ContentLength: -1},
			want: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
			kind: httpcodec.Chunked, keep: true,
		}, {
			name: "close",
			resp: httpcodec.Response{Status: 200, MinorVersion: 1},
			want: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
			kind: httpcodec.Length,
		}, {
			name: "1.0",
			resp: httpcodec.Response{Status: 200, ContentLength: 1},
			want: "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n",
			kind: httpcodec.Length,
		}, {
			name: "1.0 keep-alive",
			resp: httpcodec.Response{Status: 200, KeepAlive: true, ContentLength: 1},
			want: "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n",
			kind: httpcodec.Length, keep: true,
		}, {
			name: "1.0 of unknown length",
			resp: httpcodec.Response{Status: 200, KeepAlive: true, ContentLength: -1},
			want: "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n",
			kind: httpcodec.UntilClose,
		}, {
			name: "HEAD",
			resp: httpcodec.Response{Status: 200, MinorVersion: 1, Head: true, KeepAlive: true, ContentLength: 13},
			want: "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n",
			keep: true,
		}, {
			name: "HEAD of unknown length",
			resp: httpcodec.Response{Status: 200, MinorVersion: 1, Head: true, KeepAlive: true, ContentLength: -1},
			want: "HTTP/1.1 200 OK\r\n\r\n",
			keep: true,
		}, {
			name: "HEAD of unknown length in 1.0",
			resp: httpcodec.Response{Status: 200, Head: true, KeepAlive: true, ContentLength: -1},
			want: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n",
			keep: true,
		}, {
			name: "103",
			resp: httpcodec.Response{Status: 103, MinorVersion: 1, ContentLength: 5, Fields: []field{{Name: "Link", Value: "</a>; rel=preload"}}},
			want: "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n",
		}, {
			name: "101",
			resp: httpcodec.Response{Status: 101, MinorVersion: 1, KeepAlive: true, ContentLength: -1, Fields: []field{
				{Name: "Connection", Value: "Upgrade"}, {Name: "Upgrade", Value: "websocket"}}},
			want: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
			keep: true,
		}, {
			name: "204",
			resp: httpcodec.Response{Status: 204, MinorVersion: 1, KeepAlive: true, ContentLength: -1},
			want: "HTTP/1.1 204 No Content\r\n\r\n",
			keep: true,
		}, {
			name: "204 with length",
			resp: httpcodec.Response{Status: 204, MinorVersion: 1, KeepAlive: true, ContentLength: 5},
			want: "HTTP/1.1 204 No Content\r\n\r\n",
			keep: true,
		}, {
			name: "204 close",
			resp: httpcodec.Response{Status: 204, MinorVersion: 1},
			want: "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
		}, {
			name: "205",
			resp: httpcodec.Response{Status: 205, MinorVersion: 1, KeepAlive: true, ContentLength: -1},
			want: "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
			keep: true,
		}, {
			name: "304",
			resp: httpcodec.Response{Status: 304, MinorVersion: 1, KeepAlive: true},
			want: "HTTP/1.1 304 Not Modified\r\n\r\n",
			keep: true,
		}, {
			name: "304 of unknown length in 1.0",
			resp: httpcodec.Response{Status: 304, KeepAlive: true, ContentLength: -1},
			want: "HTTP/1.0 304 Not Modified\r\nConnection: keep-alive\r\n\r\n",
			keep: true,
		}, {
			name: "304 with length",
			resp: httpcodec.Response{Status: 304, MinorVersion: 1, KeepAlive: true, ContentLength: 5},
			want: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
			keep: true,
		}, {
			name: "own reason",
			resp: httpcodec.Response{Status: 200, MinorVersion: 1, KeepAlive: true, Reason: "Sehr g\xfct\t!"},
			want: "HTTP/1.1 200 Sehr g\xfct\t!\r\nContent-Length: 0\r\n\r\n",
			kind: httpcodec.Length, keep: true,
		}, {
			name: "status without phrase",
			resp: httpcodec.Response{Status: 599, MinorVersion: 1, KeepAlive: true},
			want: "HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n",
			kind: httpcodec.Length, keep: true,
		}, {
			name: "fields win over shorthands",
			resp: httpcodec.Response{Status: 200, MinorVersion: 1, KeepAlive: true, ContentType: "a/b", Date: []byte(date), Fields: []field{
				{Name: "date", Value: "now"}, {Name: "content-type", Value: "c/d"}}},
			want: "HTTP/1.1 200 OK\r\ndate: now\r\ncontent-type: c/d\r\nContent-Length: 0\r\n\r\n",
			kind: httpcodec.Length, keep: true,
		}, {
			name: "whitespace around values",
			resp: httpcodec.Response{Status: 200, MinorVersion: 1, KeepAlive: true, Fields: []field{
				{Name: "A", Value: " \tb \t"}, {Name: "C", Value: ""}, {Name: "D", Value: " "}, {Name: "E", Value: "f\tg"}}},
			want: "HTTP/1.1 200 OK\r\nA: b\r\nC: \r\nD: \r\nE: f\tg\r\nContent-Length: 0\r\n\r\n",
			kind: httpcodec.Length, keep: true,
		}, {
			name: "Connection: close given",
			resp: httpcodec.Response{Status: 200, MinorVersion: 1, KeepAlive: true, Fields: []field{{Name: "connection", Value: "Close"}}},
			want: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
			kind: httpcodec.Length,
		}, {
			name: "Connection: keep-alive given",
			resp: httpcodec.Response{Status: 200, MinorVersion: 1, Fields: []field{{Name: "Connection", Value: "keep-alive"}, {Name: "A", Value: "b"}}},
			want: "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
			kind: httpcodec.Length,
		}, {
			name: "Connection with more",
			resp: httpcodec.Response{Status: 426, MinorVersion: 1, KeepAlive: true, Fields: []field{
				{Name: "Connection", Value: "x,yy , close,upgrade,,keep-alive, z"}, {Name: "Connection", Value: " a, b"}, {Name: "Upgrade", Value: "h2c"}}},
			want: "HTTP/1.1 426 Upgrade Required\r\nConnection: x,yy,upgrade,z\r\nConnection: a, b\r\nUpgrade: h2c\r\n" +
				"Content-Length: 0\r\nConnection: close\r\n\r\n",
			kind: httpcodec.Length,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, f, err := tt.resp.AppendHead([]byte("before"))
			if err != nil {
				t.Fatalf("AppendHead(%+v) = %v", tt.resp, err)
			}
			if diff := cmp.Diff("before"+tt.want, string(out)); diff != "" {
				t.Errorf("AppendHead(%+v) differs (-want +got):\n%s", tt.resp, diff)
			}
			if want := (httpcodec.Framing{Kind: tt.kind, KeepAlive: tt.keep}); f != want {
				t.Errorf("AppendHead(%+v) = %+v, want %+v", tt.resp, f, want)
			}
		})
	}
}

func TestAppendHeadRefuses(t *testing.T) {
	ok := httpcodec.Response{Status: 200, MinorVersion: 1, Date: []byte("now"), ContentType: "a/b", Fields: []field{{Name: "A", Value: "b"}}}
	for _, tt := range []struct {
		name   string
		change func(r *httpcodec.Response)
		want   error
	}{
		{name: "status 0", change: func(r *httpcodec.Response) { r.Status = 0 }, want: httpcodec.ErrInvalidStatus},
		{name: "status 99", change: func(r *httpcodec.Response) { r.Status = 99 }, want: httpcodec.ErrInvalidStatus},
		{name: "status 600", change: func(r *httpcodec.Response) { r.Status = 600 }, want: httpcodec.ErrInvalidStatus},
		{name: "status -200", change: func(r *httpcodec.Response) { r.Status = -200 }, want: httpcodec.ErrInvalidStatus},
		{name: "103 to 1.0", change: func(r *httpcodec.Response) { r.Status = 103; r.MinorVersion = 0 }, want: httpcodec.ErrInvalidStatus},
		{name: "reason with LF", change: func(r *httpcodec.Response) { r.Reason = "a\nb" }, want: httpcodec.ErrInvalidReason},
		{name: "reason with CRLF", change: func(r *httpcodec.Response) { r.Reason = "a\r\nA: b" }, want: httpcodec.ErrInvalidReason},
		{name: "reason with NUL", change: func(r *httpcodec.Response) { r.Reason = "\x00" }, want: httpcodec.ErrInvalidReason},
		{name: "empty name", change: func(r *httpcodec.Response) { r.Fields[0].Name = "" }, want: httpcodec.ErrInvalidFieldName},
		{name: "name with colon", change: func(r *httpcodec.Response) { r.Fields[0].Name = "A:" }, want: httpcodec.ErrInvalidFieldName},
		{name: "name with space", change: func(r *httpcodec.Response) { r.Fields[0].Name = "A " }, want: httpcodec.ErrInvalidFieldName},
		{name: "name with CRLF", change: func(r *httpcodec.Response) { r.Fields[0].Name = "A\r\nB" }, want: httpcodec.ErrInvalidFieldName},
		{name: "name with obs-text", change: func(r *httpcodec.Response) { r.Fields[0].Name = "\xe4" }, want: httpcodec.ErrInvalidFieldName},
		{name: "value with CRLF", change: func(r *httpcodec.Response) { r.Fields[0].Value = "b\r\nC: d" }, want: httpcodec.ErrInvalidFieldValue},
		{name: "value with LF at end", change: func(r *httpcodec.Response) { r.Fields[0].Value = "b\n" }, want: httpcodec.ErrInvalidFieldValue},
		{name: "value with CR", change: func(r *httpcodec.Response) { r.Fields[0].Value = "\r" }, want: httpcodec.ErrInvalidFieldValue},
		{name: "value with NUL", change: func(r *httpcodec.Response) { r.Fields[0].Value = "\x00" }, want: httpcodec.ErrInvalidFieldValue},
		{name: "value with DEL", change: func(r *httpcodec.Response) { r.Fields[0].Value = "\x7f" }, want: httpcodec.ErrInvalidFieldValue},
		{name: "type with CRLF", change: func(r *httpcodec.Response) { r.ContentType = "a/b\r\n" }, want: httpcodec.ErrInvalidFieldValue},
		{name: "date with LF", change: func(r *httpcodec.Response) { r.Date = []byte("\n") }, want: httpcodec.ErrInvalidFieldValue},
		{name: "Content-Length", change: func(r *httpcodec.Response) { r.Fields[0].Name = "content-length" }, want: httpcodec.ErrFramingField},
		{name: "Transfer-Encoding", change: func(r *httpcodec.Response) { r.Fields[0].Name = "TRANSFER-ENCODING" }, want: httpcodec.ErrFramingField},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := ok
			r.Fields = []field{ok.Fields[0]}
			tt.change(&r)
			dst := make([]byte, 6, 1024)
			copy(dst, "before")
			out, f, err := r.AppendHead(dst)
			if err != tt.want || string(out) != "before" || f != (httpcodec.Framing{}) {
				t.Errorf("AppendHead(%+v) = %q, %+v, %v, want nothing appended and %v", r, out, f, err, tt.want)
			}
		})
	}
}

// TestReasonPhrases has net/http as oracle but for the phrases that RFC 9110 changed.
func TestReasonPhrases(t *testing.T) {
	changed := map[int]string{413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content", 203: "Non-Authoritative Information"}
	for status := 100; status <= 599; status++ {
		want, ok := changed[status]
		if !ok {
			want = http.StatusText(status)
		}
		r := httpcodec.Response{Status: status, MinorVersion: 1}
		out, _, err := r.AppendHead(nil)
		line, _, _ := bytes.Cut(out, []byte("\r\n"))
		if got := string(line[len("HTTP/1.1 200 "):]); err != nil || got != want {
			t.Errorf("AppendHead(%d) has reason %q, %v, want %q", status, got, err, want)
		}
	}
}

// TestResponseReadBack sends content in each framing through net/http.ReadResponse, followed by a second answer.
func TestResponseReadBack(t *testing.T) {
	const content = "hello, world"
	for _, minor := range []int{0, 1} {
		for _, method := range []string{"GET", "HEAD"} {
			for _, status := range []int{200, 204, 205, 304, 404, 500} {
				for _, length := range []int64{-1, 0, int64(len(content))} {
					for _, keep := range []bool{false, true} {
						r := httpcodec.Response{Status: status, MinorVersion: minor, Head: method == "HEAD", KeepAlive: keep, ContentLength: length,
							Fields: []field{{Name: "A", Value: "b"}}}
						testReadBack(t, r, method, content)
					}
				}
			}
		}
	}
}

func testReadBack(t *testing.T, r httpcodec.Response, method, content string) {
	t.Helper()
	out, f, err := r.AppendHead(nil)
	if err != nil {
		t.Fatalf("AppendHead(%+v) = %v", r, err)
	}
	want, next := "", "HTTP/1.1 200 OK\r\n\r\n"
	var trailers []field
	switch f.Kind {
	case httpcodec.Length:
		want = content[:r.ContentLength]
		out = append(out, want...)
	case httpcodec.Chunked:
		want = content
		out = httpcodec.AppendChunk(out, []byte(want[:5]))
		out = httpcodec.AppendChunk(out, nil)
		out = httpcodec.AppendChunk(out, []byte(want[5:]))
		trailers = []field{{Name: "Sum", Value: "1"}}
		if out, err = httpcodec.AppendLastChunk(out, trailers); err != nil {
			t.Fatalf("AppendLastChunk = %v", err)
		}
	case httpcodec.UntilClose:
		want, next = content, ""
		out = append(out, want...)
	}
	br := bufio.NewReader(io.MultiReader(bytes.NewReader(out), strings.NewReader(next)))
	resp, err := http.ReadResponse(br, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("ReadResponse(%q) = %v", out, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != want {
		t.Errorf("ReadResponse(%q) has content %q, %v, want %q", out, body, err, want)
	}
	if rest, _ := io.ReadAll(br); string(rest) != next {
		t.Errorf("ReadResponse(%q) left %q, want %q", out, rest, next)
	}
	if resp.StatusCode != r.Status || resp.Close == f.KeepAlive || resp.Header.Get("A") != "b" || resp.ProtoMinor != r.MinorVersion {
		t.Errorf("ReadResponse(%q) = %+v, want %+v", out, resp, f)
	}
	if len(trailers) > 0 && resp.Trailer.Get("Sum") != "1" {
		t.Errorf("ReadResponse(%q) has trailers %v, want %v", out, resp.Trailer, trailers)
	}
}

func TestAppendChunk(t *testing.T) {
	for _, tt := range []struct {
		name string
		data string
		want string
	}{
		{name: "empty", want: "before"},
		{name: "one", data: "x", want: "before1\r\nx\r\n"},
		{name: "hexadecimal", data: strings.Repeat("x", 0xaf), want: "beforeaf\r\n" + strings.Repeat("x", 0xaf) + "\r\n"},
	} {
		if got := httpcodec.AppendChunk([]byte("before"), []byte(tt.data)); string(got) != tt.want {
			t.Errorf("%s: AppendChunk(%q) = %q, want %q", tt.name, tt.data, got, tt.want)
		}
	}
}

func TestAppendLastChunk(t *testing.T) {
	for _, tt := range []struct {
		name     string
		trailers []field
		want     string
		err      error
	}{
		{name: "none", want: "before0\r\n\r\n"},
		{name: "two", trailers: []field{{Name: "A", Value: " b"}, {Name: "C"}}, want: "before0\r\nA: b\r\nC: \r\n\r\n"},
		{name: "framing", trailers: []field{{Name: "A"}, {Name: "Content-length"}}, want: "before", err: httpcodec.ErrFramingField},
		{name: "control", trailers: []field{{Name: "Set-Cookie"}}, want: "before", err: httpcodec.ErrFramingField},
		{name: "bad name", trailers: []field{{Name: "A:"}}, want: "before", err: httpcodec.ErrInvalidFieldName},
		{name: "bad value", trailers: []field{{Name: "A", Value: "\r"}}, want: "before", err: httpcodec.ErrInvalidFieldValue},
	} {
		got, err := httpcodec.AppendLastChunk([]byte("before"), tt.trailers)
		if string(got) != tt.want || err != tt.err {
			t.Errorf("%s: AppendLastChunk(%v) = %q, %v, want %q, %v", tt.name, tt.trailers, got, err, tt.want, tt.err)
		}
	}
}

func TestAppendContinue(t *testing.T) {
	out := httpcodec.AppendContinue(nil)
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(out)), nil)
	if err != nil || resp.StatusCode != 100 || !strings.HasSuffix(string(out), "\r\n\r\n") {
		t.Errorf("ReadResponse(%q) = %v, %v, want 100", out, resp, err)
	}
}

func TestAppendDate(t *testing.T) {
	for _, tt := range []struct {
		in   time.Time
		want string
	}{
		{in: time.Unix(784111777, 999_999_999), want: "Sun, 06 Nov 1994 08:49:37 GMT"}, // the example of RFC 9110 5.6.7
		{in: time.Date(2024, 2, 29, 23, 59, 59, 0, time.FixedZone("", -3600)), want: "Fri, 01 Mar 2024 00:59:59 GMT"},
		{in: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), want: "Mon, 01 Jan 0001 00:00:00 GMT"},
	} {
		if got := string(httpcodec.AppendDate([]byte("x"), tt.in)); got != "x"+tt.want {
			t.Errorf("AppendDate(%v) = %q, want %q", tt.in, got, "x"+tt.want)
		}
	}
}
