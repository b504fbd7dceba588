package httpcodec_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"rstserver/httpcodec"
)

const (
	wrkRequest     = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
	curlRequest    = "GET /bytes?n=1024 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n"
	browserRequest = "GET /wp-content/uploads/2010/03/hello-kitty-darth-vader-pink.jpg?size=large&v=12 HTTP/1.1\r\n" +
		"Host: www.kittyhell.com\r\n" +
		"User-Agent: Mozilla/5.0 (Macintosh; U; Intel Mac OS X 10.6; ja-JP-mac; rv:1.9.2.3) Gecko/20100401 Firefox/3.6.3 Pathtraq/0.9\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n" +
		"Accept-Language: ja,en-us;q=0.7,en;q=0.3\r\n" +
		"Accept-Encoding: gzip,deflate\r\n" +
		"Accept-Charset: Shift_JIS,utf-8;q=0.7,*;q=0.7\r\n" +
		"Keep-Alive: 115\r\n" +
		"Connection: keep-alive\r\n" +
		"Cookie: wp_ozh_wsa_visits=2; wp_ozh_wsa_visit_lasttime=xxxxxxxxxx; " +
		"__utma=xxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.x; " +
		"__utmz=xxxxxxxxx.xxxxxxxxxx.x.x.utmccn=(referral)|utmcsr=reader.livedoor.com|utmcct=/reader/|utmcmd=referral\r\n" +
		"\r\n"
	postRequest = "POST /echo HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/json\r\nContent-Length: 27\r\n" +
		"Connection: keep-alive\r\n\r\n"
)

var headBenchmarks = []struct {
	name string
	head string
}{
	{name: "wrk", head: wrkRequest},
	{name: "curl", head: curlRequest},
	{name: "post", head: postRequest},
	{name: "browser", head: browserRequest},
}

func BenchmarkParse(b *testing.B) {
	for _, bb := range headBenchmarks {
		head := []byte(bb.head)
		b.Run("of=httpcodec/request="+bb.name, func(b *testing.B) {
			var p httpcodec.Parser
			var req httpcodec.Request
			b.SetBytes(int64(len(head)))
			b.ReportAllocs()
			for b.Loop() {
				if n, err := p.Parse(head, httpcodec.Limits{}, &req); n != len(head) || err != nil {
					b.Fatalf("Parse = %d, %v, want %d", n, err, len(head))
				}
			}
		})
		b.Run("of=net_http/request="+bb.name, func(b *testing.B) {
			r := bytes.NewReader(head)
			br := bufio.NewReader(r)
			b.SetBytes(int64(len(head)))
			b.ReportAllocs()
			for b.Loop() {
				r.Reset(head)
				br.Reset(r)
				if _, err := http.ReadRequest(br); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkParsePieces gives the head in pieces, as a slow sender does.
func BenchmarkParsePieces(b *testing.B) {
	head := []byte(browserRequest)
	for _, bb := range []struct {
		name string
		size int
	}{{name: "1", size: 1}, {name: "64", size: 64}, {name: "512", size: 512}} {
		b.Run("bytes="+bb.name, func(b *testing.B) {
			var p httpcodec.Parser
			var req httpcodec.Request
			b.SetBytes(int64(len(head)))
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				for end := bb.size; n == 0; end += bb.size {
					var err error
					if n, err = p.Parse(head[:min(end, len(head))], httpcodec.Limits{}, &req); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkBody(b *testing.B) {
	for _, bb := range []struct {
		name  string
		chunk int
	}{{name: "16", chunk: 16}, {name: "1024", chunk: 1024}, {name: "16384", chunk: 16384}} {
		var body []byte
		for range max(1, 16384/bb.chunk) {
			body = httpcodec.AppendChunk(body, bytes.Repeat([]byte("x"), bb.chunk))
		}
		body, _ = httpcodec.AppendLastChunk(body, nil)
		b.Run("of=httpcodec/chunk="+bb.name, func(b *testing.B) {
			req := httpcodec.Request{Chunked: true, ContentLength: -1}
			var d httpcodec.BodyDecoder
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Reset(&req, 0); err != nil {
					b.Fatal(err)
				}
				for src := body; !d.Done(); {
					_, n, err := d.Next(src)
					if err != nil {
						b.Fatal(err)
					}
					src = src[n:]
				}
			}
		})
		b.Run("of=net_http/chunk="+bb.name, func(b *testing.B) {
			const head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
			message := append([]byte(head), body...)
			r := bytes.NewReader(message)
			br := bufio.NewReader(r)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				r.Reset(message)
				br.Reset(r)
				req, err := http.ReadRequest(br)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, req.Body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendHead(b *testing.B) {
	date := httpcodec.AppendDate(nil, time.Unix(784111777, 0))
	for _, bb := range []struct {
		name string
		resp httpcodec.Response
	}{
		{name: "hello", resp: httpcodec.Response{
			Status: 200, MinorVersion: 1, KeepAlive: true, ContentLength: 13, ContentType: "text/plain", Date: date}},
		{name: "fields", resp: httpcodec.Response{
			Status: 200, MinorVersion: 1, KeepAlive: true, ContentLength: -1, Date: date, Fields: []httpcodec.HeaderField{
				{Name: "Content-Type", Value: "text/html; charset=utf-8"},
				{Name: "Cache-Control", Value: "private, max-age=0, must-revalidate"},
				{Name: "ETag", Value: `"5f8f8c44-1d7"`},
				{Name: "Set-Cookie", Value: "session=" + strings.Repeat("x", 64) + "; Path=/; HttpOnly; Secure; SameSite=Lax"},
				{Name: "Vary", Value: "Accept-Encoding, Cookie"},
			}}},
	} {
		b.Run("of=httpcodec/response="+bb.name, func(b *testing.B) {
			dst, _, err := bb.resp.AppendHead(nil)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(dst)))
			b.ReportAllocs()
			for b.Loop() {
				dst, _, _ = bb.resp.AppendHead(dst[:0])
			}
		})
		b.Run("of=net_http/response="+bb.name, func(b *testing.B) {
			h := http.Header{"Date": {string(date)}}
			if bb.resp.ContentType != "" {
				h.Set("Content-Type", bb.resp.ContentType)
			}
			for _, f := range bb.resp.Fields {
				h.Add(f.Name, f.Value)
			}
			resp := http.Response{StatusCode: bb.resp.Status, ProtoMajor: 1, ProtoMinor: 1, Header: h,
				Request: &http.Request{Method: "HEAD"}, ContentLength: bb.resp.ContentLength}
			var buf bytes.Buffer
			b.ReportAllocs()
			for b.Loop() {
				buf.Reset()
				if err := resp.Write(&buf); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(buf.Len()))
		})
	}
}
