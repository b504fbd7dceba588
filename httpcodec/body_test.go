package httpcodec_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rstserver/httpcodec"
)

var (
	chunkedHead = httpcodec.Request{Chunked: true, ContentLength: -1}
	noBodyHead  = httpcodec.Request{ContentLength: -1}
)

func sizedHead(n int64) httpcodec.Request { return httpcodec.Request{ContentLength: n} }

// decoded is what a series of calls of Next came to.
type decoded struct {
	Data     string
	N        int // bytes consumed; not compared when there is an error
	Done     bool
	Trailers []field
	Err      error
}

// decodePieces gives in to a BodyDecoder, cut at the given offsets, in buffers that are overwritten after each call.
func decodePieces(t *testing.T, req httpcodec.Request, limit int64, in string, cuts ...int) (d decoded) {
	t.Helper()
	var dec httpcodec.BodyDecoder
	if err := dec.Reset(&req, limit); err != nil {
		return decoded{Err: err}
	}
	var data strings.Builder
	start := 0
	for _, cut := range append(cuts, len(in)) {
		for piece := slices.Clip([]byte(in[start:cut])); len(piece) > 0 && !dec.Done(); {
			part, n, err := dec.Next(piece)
			if n < 0 || n > len(piece) || len(part) > n {
				t.Fatalf("Next(%q) = %q, %d", piece, part, n)
			}
			if n == 0 && err == nil {
				t.Fatalf("Next(%q) consumed nothing before Done", piece)
			}
			if err != nil && len(part) > 0 {
				t.Fatalf("Next(%q) = %q beside %v", piece, part, err)
			}
			data.Write(part)
			if err != nil {
				for range 2 {
					if again, n, err2 := dec.Next([]byte("0\r\n\r\n")); len(again) > 0 || n != 0 || err2 != err {
						t.Fatalf("Next after an error = %q, %d, %v, want %v", again, n, err2, err)
					}
				}
				return decoded{Data: data.String(), Err: err, Done: dec.Done()}
			}
			clear(piece[:n])
			piece = piece[n:]
			d.N += n
		}
		start = cut
	}
	d.Data, d.Done, d.Trailers = data.String(), dec.Done(), fieldsOf(dec.Trailers())
	if d.Done {
		if part, n, err := dec.Next([]byte("GET")); len(part) > 0 || n != 0 || err != nil {
			t.Fatalf("Next after Done = %q, %d, %v, want nothing", part, n, err)
		}
	}
	return d
}

// decodeAllWays decodes in whole, byte by byte and cut in two at each offset, and fails when the outcomes differ.
func decodeAllWays(t *testing.T, req httpcodec.Request, limit int64, in string) decoded {
	t.Helper()
	want := decodePieces(t, req, limit, in)
	if got := decodePieces(t, req, limit, in, everyByte(in)...); !cmp.Equal(got, want, byIdentity) {
		t.Errorf("Next(%.200q) byte by byte differs from whole (-whole +bytes):\n%s", in, cmp.Diff(want, got, byIdentity))
	}
	if len(in) < 1000 {
		for cut := range len(in) {
			if got := decodePieces(t, req, limit, in, cut); !cmp.Equal(got, want, byIdentity) {
				t.Errorf("Next(%.200q) cut at %d differs from whole (-whole +cut):\n%s", in, cut, cmp.Diff(want, got, byIdentity))
			}
		}
	}
	return want
}

var goodBodies = []struct {
	name     string
	req      httpcodec.Request
	in       string
	data     string
	trailers []field
}{
	{name: "none", req: noBodyHead},
	{name: "zero", req: sizedHead(0)},
	{name: "sized", req: sizedHead(5), in: "a\r\n\x00\xff", data: "a\r\n\x00\xff"},
	{name: "empty", req: chunkedHead, in: "0\r\n\r\n"},
	{name: "many zeros", req: chunkedHead, in: "0000000000000000\r\n\r\n"},
	{name: "one chunk", req: chunkedHead, in: "5\r\nhello\r\n0\r\n\r\n", data: "hello"},
	{name: "two chunks", req: chunkedHead, in: "5\r\nhello\r\n000000000000000b\r\n over\r\n\x00\xff\r\n\r\n0\r\n\r\n", data: "hello over\r\n\x00\xff\r\n"},
	{name: "hexadecimal", req: chunkedHead, in: "a\r\n0123456789\r\nA\r\nabcdefghij\r\n1f\r\n" + strings.Repeat("x", 31) + "\r\n0\r\n\r\n",
		data: "0123456789abcdefghij" + strings.Repeat("x", 31)},
	{name: "data like a chunk", req: chunkedHead, in: "5\r\n0\r\n\r\n\r\n0\r\n\r\n", data: "0\r\n\r\n"},
	{name: "exts", req: chunkedHead, in: "1;a\r\nx\r\n1;a=b\r\ny\r\n1;a=\"\"\r\nz\r\n0;a;b=c;d=\"e\"\r\n\r\n", data: "xyz"},
	{name: "exts with whitespace", req: chunkedHead, in: "1 \t;\t a\r\nx\r\n1; a = b ; c\t=\t\"d\" ;e ;f\r\ny\r\n0 ; f\r\n\r\n", data: "xy"},
	{name: "quoted", req: chunkedHead, in: "1;a=\"\\\"\\\\;=\t \xff\\\xff\\\t\"\r\nx\r\n0\r\n\r\n", data: "x"},
	{name: "trailers", req: chunkedHead, in: "1\r\nx\r\n0\r\nExpires-At: \t1 \r\nChecksum:abc\r\nEmpty:\r\n\r\n", data: "x",
		trailers: []field{{Name: "Expires-At", Value: "1"}, {Name: "Checksum", Value: "abc"}, {Name: "Empty"}}},
	{name: "dropped trailers", req: chunkedHead, in: "0\r\nAuthorization: x\r\nA: 1\r\nconnection: close\r\nContent-Type: x\r\nB: 2\r\n\r\n",
		trailers: []field{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}}},
	{name: "long trailer name", req: chunkedHead, in: "0\r\nIf-Unmodified-Since-Then: x\r\nIf-Unmodified-Since: x\r\n\r\n",
		trailers: []field{{Name: "If-Unmodified-Since-Then", Value: "x"}}},
}

func TestBodyDecoder(t *testing.T) {
	for _, tt := range goodBodies {
		t.Run(tt.name, func(t *testing.T) {
			want := decoded{Data: tt.data, N: len(tt.in), Done: true, Trailers: tt.trailers}
			for _, behind := range []string{"", "GET / HTTP/1.1\r\n", "\r\n", "0"} {
				if got := decodeAllWays(t, tt.req, 0, tt.in+behind); !cmp.Equal(got, want, byIdentity) {
					t.Errorf("Next(%q) differs (-want +got):\n%s", tt.in+behind, cmp.Diff(want, got, byIdentity))
				}
			}
			for i := range len(tt.in) {
				if got := decodePieces(t, tt.req, 0, tt.in[:i]); got.Done || got.Err != nil || got.N != i || got.Trailers != nil {
					t.Errorf("Next(%q) = %+v, want %d bytes consumed, not done", tt.in[:i], got, i)
				}
			}
		})
	}
}

var badBodies = []struct {
	name   string
	in     string
	status int
	reason string
	data   string
}{
	{name: "no size", in: "\r\n", status: 400, reason: "malformed chunk-size"},
	{name: "no size but ext", in: ";a\r\n", status: 400, reason: "malformed chunk-size"},
	{name: "space before size", in: " 1\r\nx", status: 400, reason: "malformed chunk-size"},
	{name: "0x", in: "0x1\r\nx", status: 400, reason: "malformed chunk-size"},
	{name: "minus", in: "-1\r\nx", status: 400, reason: "malformed chunk-size"},
	{name: "plus", in: "+1\r\nx", status: 400, reason: "malformed chunk-size"},
	{name: "underscore", in: "1_0\r\nx", status: 400, reason: "malformed chunk-size"},
	{name: "not hexadecimal", in: "1g\r\nx", status: 400, reason: "malformed chunk-size"},
	{name: "NUL", in: "1\x00\r\nx", status: 400, reason: "malformed chunk-size"},
	{name: "17 digits", in: "00000000000000001\r\nx", status: 400, reason: "malformed chunk-size"},
	{name: "above int64", in: "8000000000000000\r\n", status: 413, reason: "content too large"},
	{name: "all ones", in: "ffffffffffffffff\r\n", status: 413, reason: "content too large"},
	{name: "bare LF after size", in: "1\nx", status: 400, reason: "LF without CR"},
	{name: "bare CR after size", in: "1\rx", status: 400, reason: "CR without LF"},
	{name: "CR CR after size", in: "1\r\r\nx", status: 400, reason: "CR without LF"},
	{name: "space at end", in: "1 \r\nx", status: 400, reason: "malformed chunk-ext"},
	{name: "two sizes", in: "1 1\r\nx", status: 400, reason: "malformed chunk-ext"},
	{name: "bare LF after space", in: "1 \nx", status: 400, reason: "malformed chunk-ext"},
	{name: "empty ext", in: "1;\r\nx", status: 400, reason: "malformed chunk-ext"},
	{name: "two semicolons", in: "1;;a\r\nx", status: 400, reason: "malformed chunk-ext"},
	{name: "semicolon at end", in: "1;a;\r\nx", status: 400, reason: "malformed chunk-ext"},
	{name: "ext without name", in: "1;=a\r\nx", status: 400, reason: "malformed chunk-ext"},
	{name: "ext without value", in: "1;a=\r\nx", status: 400, reason: "malformed chunk-ext"},
	{name: "space behind ext", in: "1;a \r\nx", status: 400, reason: "malformed chunk-ext"},
	{name: "space behind ext value", in: "1;a=b \r\nx", status: 400, reason: "malformed chunk-ext"},
	{name: "two names", in: "1;a b\r\nx", status: 400, reason: "malformed chunk-ext"},
	{name: "two values", in: "1;a=\"b\"c\r\nx", status: 400, reason: "malformed chunk-ext"},
	{name: "quoted name", in: "1;\"a\"\r\nx", status: 400, reason: "malformed chunk-ext"},
	{name: "bare LF in ext name", in: "1;a\nx", status: 400, reason: "LF without CR"},
	{name: "bare LF in ext value", in: "1;a=b\nx", status: 400, reason: "LF without CR"},
	{name: "bare LF for ext", in: "1;\nx", status: 400, reason: "malformed chunk-ext"},
	{name: "bare CR in ext", in: "1;a\rb\r\nx", status: 400, reason: "CR without LF"},
	{name: "obs-text in ext", in: "1;\xe4\r\nx", status: 400, reason: "malformed chunk-ext"},
	{name: "LF in quoted", in: "1;a=\"\n\"\r\nx", status: 400, reason: "malformed chunk-ext"},
	{name: "CRLF in quoted", in: "1;a=\"\r\n\"\r\nx", status: 400, reason: "malformed chunk-ext"},
	{name: "LF in quoted-pair", in: "1;a=\"\\\n\"\r\nx", status: 400, reason: "malformed chunk-ext"},
	{name: "DEL in quoted", in: "1;a=\"\x7f\"\r\nx", status: 400, reason: "malformed chunk-ext"},
	{name: "data too long", in: "1\r\nxy\r\n0\r\n\r\n", data: "x", status: 400, reason: "chunk data not followed by CRLF"},
	{name: "data too short", in: "3\r\nx\r\n0\r\n\r\n", data: "x\r\n", status: 400, reason: "chunk data not followed by CRLF"},
	{name: "LF after data", in: "1\r\nx\n0\r\n\r\n", data: "x", status: 400, reason: "chunk data not followed by CRLF"},
	{name: "CR after data", in: "1\r\nx\r0\r\n\r\n", data: "x", status: 400, reason: "chunk data not followed by CRLF"},
	{name: "CR CR after data", in: "1\r\nx\r\r\n", data: "x", status: 400, reason: "chunk data not followed by CRLF"},
	{name: "whitespace only ext", in: "1 \t\t\r\n", status: 400, reason: "malformed chunk-ext"},
	{name: "nothing after data", in: "1\r\nx0\r\n\r\n", data: "x", status: 400, reason: "chunk data not followed by CRLF"},
	{name: "bare LF at end", in: "0\r\n\n", status: 400, reason: "LF without CR"},
	{name: "bare CR at end", in: "0\r\n\r\r\n", status: 400, reason: "malformed field name"},
	{name: "bare LF after trailer", in: "0\r\nA: b\n\r\n", status: 400, reason: "LF without CR"},
	{name: "bare CR in trailer", in: "0\r\nA: b\rc\r\n", status: 400, reason: "control character in field value"},
	{name: "trailer without colon", in: "0\r\nA\r\n", status: 400, reason: "field line without colon"},
	{name: "trailer with space before colon", in: "0\r\nA : b\r\n", status: 400, reason: "malformed field name"},
	{name: "folded trailer", in: "0\r\nA: b\r\n c\r\n", status: 400, reason: "field line starts with whitespace"},
	{name: "next request as trailer", in: "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", status: 400, reason: "malformed field name"},
	{name: "Content-Length as trailer", in: "0\r\ncontent-length: 1\r\n", status: 400, reason: "field not allowed in trailer section"},
	{name: "Transfer-Encoding as trailer", in: "0\r\nA: b\r\nTransfer-Encoding: chunked\r\n", status: 400, reason: "field not allowed in trailer section"},
	{name: "Host as trailer", in: "0\r\nHost: a\r\n", status: 400, reason: "field not allowed in trailer section"},
}

func TestBodyDecoderMalformed(t *testing.T) {
	for _, tt := range badBodies {
		t.Run(tt.name, func(t *testing.T) {
			got := decodeAllWays(t, chunkedHead, 0, tt.in)
			checkError(t, "Next", tt.in, got.Err, tt.status, tt.reason)
			if got.Data != tt.data || got.Done {
				t.Errorf("Next(%q) = %q, done %v, want %q, false", tt.in, got.Data, got.Done, tt.data)
			}
		})
	}
}

func TestBodyDecoderMax(t *testing.T) {
	for _, tt := range []struct {
		name string
		req  httpcodec.Request
		max  int64
		in   string
		data string
		want error
	}{
		{name: "sized at limit", req: sizedHead(5), max: 5, in: "hello", data: "hello"},
		{name: "sized above limit", req: sizedHead(6), max: 5, in: "hello!", want: httpcodec.ErrBodyTooLarge},
		{name: "sized without limit", req: sizedHead(5), max: -1, in: "hello", data: "hello"},
		{name: "chunked at limit", req: chunkedHead, max: 5, in: "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", data: "hello"},
		{name: "chunked above limit", req: chunkedHead, max: 5, in: "2\r\nhe\r\n4\r\nllo!\r\n0\r\n\r\n", data: "he", want: httpcodec.ErrBodyTooLarge},
		{name: "chunked above limit at once", req: chunkedHead, max: 5, in: "6\r\nhello!\r\n0\r\n\r\n", want: httpcodec.ErrBodyTooLarge},
		{name: "chunked after limit", req: chunkedHead, max: 5, in: "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", data: "hello", want: httpcodec.ErrBodyTooLarge},
		{name: "chunked beyond int64 in sum", req: chunkedHead, max: 5, in: "1\r\nx\r\n7fffffffffffffff\r\nx", data: "x", want: httpcodec.ErrBodyTooLarge},
		{name: "chunked without limit", req: chunkedHead, max: 0, in: "5\r\nhello\r\n0\r\n\r\n", data: "hello"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := decodeAllWays(t, tt.req, tt.max, tt.in)
			if got.Data != tt.data || got.Err != tt.want || got.Done != (tt.want == nil) {
				t.Errorf("Next(%q) with max %d = %q, done %v, %v, want %q, %v", tt.in, tt.max, got.Data, got.Done, got.Err, tt.data, tt.want)
			}
		})
	}
}

func TestBodyDecoderOverhead(t *testing.T) {
	const end = "0\r\n\r\n"
	for _, tt := range []struct {
		name string
		in   string
		want error
	}{
		{name: "one byte a chunk", in: strings.Repeat("1\r\nx\r\n", 20000) + end},
		{name: "exts in proportion", in: strings.Repeat("1;some=thing\r\nx\r\n", 20000) + end},
		{name: "long exts with long data", in: strings.Repeat("1000;a="+strings.Repeat("b", 4096)+"\r\n"+strings.Repeat("x", 4096)+"\r\n", 20) + end},
		{name: "long exts with longer data", in: strings.Repeat("4000;a="+strings.Repeat("b", 16000)+"\r\n"+strings.Repeat("x", 0x4000)+"\r\n", 3) + end},
		{name: "exts out of proportion", in: strings.Repeat("1;a="+strings.Repeat("b", 200)+"\r\nx\r\n", 200) + end, want: httpcodec.ErrChunkOverhead},
		{name: "one ext without end", in: "1;" + strings.Repeat("a", 17000), want: httpcodec.ErrChunkOverhead},
		{name: "whitespace without end", in: "1" + strings.Repeat(" ", 17000), want: httpcodec.ErrChunkOverhead},
		{name: "quoted-string without end", in: "1;a=\"" + strings.Repeat(" ", 17000), want: httpcodec.ErrChunkOverhead},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := decodeAllWays(t, chunkedHead, 0, tt.in); got.Err != tt.want || got.Done != (tt.want == nil) {
				t.Errorf("Next(%.40q) = %v, done %v, want %v", tt.in, got.Err, got.Done, tt.want)
			}
		})
	}
}

func TestBodyDecoderTrailerLimits(t *testing.T) {
	line := func(n int) string { return "A: " + strings.Repeat("b", n-len("A: \r\n")) + "\r\n" }
	for _, tt := range []struct {
		name string
		in   string
		want error
	}{
		{name: "bytes at limit", in: line(httpcodec.MaxTrailerBytes-2) + "\r\n"},
		{name: "bytes above limit", in: line(httpcodec.MaxTrailerBytes-1) + "\r\n", want: httpcodec.ErrTrailerTooLarge},
		{name: "bytes above limit in lines", in: strings.Repeat(line(100), 82) + "\r\n", want: httpcodec.ErrTrailerTooLarge},
		{name: "line without end", in: strings.Repeat("x", httpcodec.MaxTrailerBytes+1), want: httpcodec.ErrTrailerTooLarge},
		{name: "fields at limit", in: strings.Repeat("A:\r\n", httpcodec.MaxTrailerFields) + "\r\n"},
		{name: "fields above limit", in: strings.Repeat("A:\r\n", httpcodec.MaxTrailerFields+1) + "\r\n", want: httpcodec.ErrTrailerTooLarge},
		{name: "dropped fields above limit", in: strings.Repeat("TE:\r\n", httpcodec.MaxTrailerFields+1) + "\r\n", want: httpcodec.ErrTrailerTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := decodeAllWays(t, chunkedHead, 0, "0\r\n"+tt.in); got.Err != tt.want || got.Done != (tt.want == nil) {
				t.Errorf("Next(%.40q) = %v, done %v, want %v", tt.in, got.Err, got.Done, tt.want)
			}
		})
	}
}

// TestBodyDecoderReset uses one decoder for all messages in turn, whatever became of the one before.
func TestBodyDecoderReset(t *testing.T) {
	var zero httpcodec.BodyDecoder
	if data, n, err := zero.Next([]byte("x")); !zero.Done() || len(data) > 0 || n != 0 || err != nil {
		t.Errorf("zero BodyDecoder: Done %v, Next = %q, %d, %v, want true and nothing", zero.Done(), data, n, err)
	}
	var dec httpcodec.BodyDecoder
	for _, bad := range badBodies {
		for _, tt := range goodBodies {
			if err := dec.Reset(&chunkedHead, 0); err != nil {
				t.Fatal(err)
			}
			for src := []byte(bad.in); ; {
				_, n, err := dec.Next(src)
				if err != nil || n == 0 {
					break
				}
				src = src[n:]
			}
			if err := dec.Reset(&tt.req, 0); err != nil {
				t.Fatal(err)
			}
			var data []byte
			for src := []byte(tt.in); !dec.Done(); {
				part, n, err := dec.Next(src)
				if err != nil {
					t.Fatalf("%s after %s: Next = %v", tt.name, bad.name, err)
				}
				data = append(data, part...)
				src = src[n:]
			}
			if diff := cmp.Diff(tt.trailers, fieldsOf(dec.Trailers())); string(data) != tt.data || diff != "" {
				t.Errorf("%s after %s: Next = %q, want %q, trailers (-want +got):\n%s", tt.name, bad.name, data, tt.data, diff)
			}
		}
	}
}
