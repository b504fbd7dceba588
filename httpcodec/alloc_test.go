//go:build !race

package httpcodec_test

import (
	"testing"
	"time"

	"rstserver/httpcodec"
)

// TestAllocs holds the package to what its comment says. The race detector allocates on its own, hence the build tag.
func TestAllocs(t *testing.T) {
	date := httpcodec.AppendDate(nil, time.Unix(784111777, 0))
	dst := make([]byte, 0, 4096)
	var p httpcodec.Parser
	var req httpcodec.Request
	var dec httpcodec.BodyDecoder
	decode := func(req httpcodec.Request, in string) func() {
		body := []byte(in)
		return func() {
			if err := dec.Reset(&req, 1<<20); err != nil {
				t.Fatal(err)
			}
			for src := body; !dec.Done(); {
				_, n, err := dec.Next(src)
				if err != nil {
					t.Fatal(err)
				}
				src = src[n:]
			}
		}
	}
	parse := func(in string, step int) func() {
		head := []byte(in)
		return func() {
			for end := step; ; end += step {
				n, err := p.Parse(head[:min(end, len(head))], httpcodec.Limits{}, &req)
				if err != nil {
					t.Fatal(err)
				}
				if n > 0 {
					return
				}
			}
		}
	}
	resp := httpcodec.Response{Status: 200, MinorVersion: 1, KeepAlive: true, ContentLength: 13, ContentType: "text/plain", Date: date,
		Fields: []httpcodec.HeaderField{{Name: "ETag", Value: `"x"`}, {Name: "Connection", Value: "upgrade, close"}}}
	malformed := []byte("GET / HTTP/1.1\r\nHost : a\r\n\r\n")
	tests := []struct {
		name string
		do   func()
	}{
		{name: "Parse wrk", do: parse(wrkRequest, 1<<20)},
		{name: "Parse browser", do: parse(browserRequest, 1<<20)},
		{name: "Parse browser in pieces", do: parse(browserRequest, 7)},
		{name: "Parse malformed", do: func() {
			if _, err := p.Parse(malformed, httpcodec.Limits{}, &req); err == nil {
				t.Fatal("Parse = nil")
			}
			p.Reset()
		}},
		{name: "Get and HasToken", do: func() {
			req.Get("X-None")
			req.HasToken("Connection", "close")
		}},
		{name: "Next sized", do: decode(sizedHead(5), "hello")},
		{name: "Next chunked", do: decode(chunkedHead, "5;a=b\r\nhello\r\n0\r\n\r\n")},
		{name: "Next chunked with trailers, in memory of the last ones", do: decode(chunkedHead, "5\r\nhello\r\n0\r\nA: b\r\n\r\n")},
		{name: "AppendHead", do: func() {
			if _, _, err := resp.AppendHead(dst); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "AppendChunk and AppendLastChunk", do: func() {
			if _, err := httpcodec.AppendLastChunk(httpcodec.AppendChunk(dst, date), resp.Fields[:1]); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "AppendDate", do: func() { httpcodec.AppendDate(dst, time.Unix(784111777, 0)) }},
		{name: "AppendContinue", do: func() { httpcodec.AppendContinue(dst) }},
	}
	for _, tt := range tests {
		if got := testing.AllocsPerRun(100, tt.do); got != 0 {
			t.Errorf("%s: %v allocations, want 0", tt.name, got)
		}
	}
}
