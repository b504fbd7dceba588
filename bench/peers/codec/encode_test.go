package codec

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"rstserver/httpcodec"
)

// answer is what is to be encoded. Besides its fields each encoding has Date and Content-Length.
type answer struct {
	name        string
	contentType string
	fields      []field
	content     string
}

var answers = []answer{
	{name: "hello", contentType: "text/plain; charset=utf-8", content: "Hello, World!"},
	{name: "page", contentType: "text/html; charset=utf-8", content: strings.Repeat(loremIpsum, 16), fields: []field{
		{"Cache-Control", "private, max-age=0, must-revalidate"},
		{"Etag", `"5f8f8c44-1d7"`},
		{"Set-Cookie", "session=4f1c8e0b9a7d4c0e8f5b2a6d3c1e9f70; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"Vary", "Accept-Encoding, Cookie"},
		{"X-Content-Type-Options", "nosniff"},
	}},
}

// encoder encodes its answer as often as it is asked to, and reuses what its library lets it reuse. What it returns is valid
// until the next time.
type encoder func() ([]byte, error)

var encoders = []struct {
	impl string
	make func(a answer) encoder
}{
	{"rstserver", encodeOurs},
	{"nethttp", encodeNetHTTP},
	{"fasthttp", encodeFastHTTP},
}

func encodeOurs(a answer) encoder {
	response := httpcodec.Response{
		Status: 200, MinorVersion: 1, KeepAlive: true, ContentLength: int64(len(a.content)), ContentType: a.contentType,
		Date: httpcodec.AppendDate(nil, time.Now()),
	}
	for _, f := range a.fields {
		response.Fields = append(response.Fields, httpcodec.HeaderField{Name: f.name, Value: f.value})
	}
	var out []byte
	return func() (_ []byte, err error) {
		if out, _, err = response.AppendHead(out[:0]); err == nil {
			out = append(out, a.content...)
		}
		return out, err
	}
}

// encodeNetHTTP writes a Response; that of a net/http server cannot be had without a connection.
func encodeNetHTTP(a answer) encoder {
	header := http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}, "Content-Type": {a.contentType}}
	for _, f := range a.fields {
		header.Add(f.name, f.value)
	}
	content := strings.NewReader("")
	response := http.Response{
		StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Header: header, ContentLength: int64(len(a.content)), Body: io.NopCloser(content),
	}
	var out bytes.Buffer
	return func() ([]byte, error) {
		content.Reset(a.content)
		out.Reset()
		err := response.Write(&out)
		return out.Bytes(), err
	}
}

// encodeFastHTTP leaves Date to fasthttp, which keeps one for all answers of a second.
func encodeFastHTTP(a answer) encoder {
	response := new(fasthttp.Response)
	response.Header.SetContentType(a.contentType)
	for _, f := range a.fields {
		response.Header.Add(f.name, f.value)
	}
	response.SetBodyString(a.content)
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	return func() ([]byte, error) {
		out.Reset()
		if err := response.Write(w); err != nil {
			return nil, err
		}
		err := w.Flush()
		return out.Bytes(), err
	}
}

// TestEncoders has a client understand what they write.
func TestEncoders(t *testing.T) {
	for _, a := range answers {
		for _, e := range encoders {
			t.Run(a.name+"/"+e.impl, func(t *testing.T) {
				encode := e.make(a)
				for range 2 { // the second time with what is reused
					out, err := encode()
					if err != nil {
						t.Fatal(err)
					}
					checkAnswer(t, a, out)
				}
			})
		}
	}
}

func checkAnswer(t *testing.T, a answer, out []byte) {
	in := bufio.NewReader(bytes.NewReader(out))
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	content, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 || response.Close || string(content) != a.content || in.Buffered() != 0 {
		t.Errorf("%s, %q, %v, %d bytes behind it", response.Status, content, err, in.Buffered())
	}
	want := append([]field{{"Content-Type", a.contentType}, {"Content-Length", fmt.Sprint(len(a.content))}}, a.fields...)
	for _, f := range want {
		if got := response.Header[f.name]; len(got) != 1 || got[0] != f.value {
			t.Errorf("%s: %q, want %q", f.name, got, f.value)
		}
	}
	if _, err := http.ParseTime(response.Header.Get("Date")); err != nil {
		t.Error(err)
	}
	if len(response.Header) != len(want)+1 {
		t.Errorf("%d fields, want %d: %v", len(response.Header), len(want)+1, response.Header)
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, a := range answers {
		for _, e := range encoders {
			b.Run("input="+a.name+"/impl="+e.impl, func(b *testing.B) {
				encode := e.make(a)
				out, err := encode()
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(out)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := encode(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
