package httpcodec_test

import (
	"strings"
	"testing"

	"rstserver/httpcodec"
)

func TestParseHeaderBytes(t *testing.T) {
	heads := map[string]string{
		"fields":     "GET /hello HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
		"empty line": "\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
		"no fields":  "GET / HTTP/1.0\r\n\r\n",
	}
	for name, in := range heads {
		t.Run(name, func(t *testing.T) {
			for _, lim := range []int{len(in), len(in) + 1, 0, -1} {
				if got := parseAllWays(t, in, httpcodec.Limits{HeaderBytes: lim}); got.N != len(in) || got.Err != nil {
					t.Errorf("Parse(%q) with HeaderBytes %d = %d, %v, want %d, nil", in, lim, got.N, got.Err, len(in))
				}
			}
			for lim := 1; lim < len(in); lim++ {
				got := parseAllWays(t, in, httpcodec.Limits{HeaderBytes: lim})
				if got.Err == nil {
					t.Errorf("Parse(%q) with HeaderBytes %d = %d, nil, want an error", in, lim, got.N)
				}
				// The error comes with the last byte that fits, not with the first that does not.
				if short := parsePieces(in[:lim], httpcodec.Limits{HeaderBytes: lim}); short.Err != got.Err {
					t.Errorf("Parse(%q) with HeaderBytes %d = %v, want %v", in[:lim], lim, short.Err, got.Err)
				}
				if short := parsePieces(in[:lim-1], httpcodec.Limits{HeaderBytes: lim}); short.Err != nil {
					t.Errorf("Parse(%q) with HeaderBytes %d = %v, want nil", in[:lim-1], lim, short.Err)
				}
			}
		})
	}
}

func TestParseTooLong(t *testing.T) {
	long := strings.Repeat("x", 400)
	for _, tt := range []struct {
		name string
		in   string
		want error
	}{
		{name: "field value", in: "GET / HTTP/1.1\r\nHost: a\r\nA: " + long, want: httpcodec.ErrHeaderTooLarge},
		{name: "field name", in: "GET / HTTP/1.1\r\nHost: a\r\n" + long, want: httpcodec.ErrHeaderTooLarge},
		{name: "many fields", in: "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("A: b\r\n", 60), want: httpcodec.ErrHeaderTooLarge},
		{name: "path", in: "GET /" + long, want: httpcodec.ErrRequestTargetTooLong},
		{name: "query", in: "\r\nGET /?" + long, want: httpcodec.ErrRequestTargetTooLong},
		{name: "version", in: "GET / " + long, want: httpcodec.ErrHeaderTooLarge},
		{name: "target just too long", in: "GET /" + long[:244] + " HTTP/1.1\r\n", want: httpcodec.ErrHeaderTooLarge},
		{name: "method", in: long, want: httpcodec.ErrMethodTooLong},
		{name: "method of a line that fits", in: strings.Repeat("M", httpcodec.MaxMethodBytes+1) + " / HTTP/1.1\r\n", want: httpcodec.ErrMethodTooLong},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := parseAllWays(t, tt.in, httpcodec.Limits{HeaderBytes: 256}); got.Err != tt.want {
				t.Errorf("Parse(%.60q) = %d, %v, want %v", tt.in, got.N, got.Err, tt.want)
			}
		})
	}
}

func TestParseMethodLength(t *testing.T) {
	in := strings.Repeat("M", httpcodec.MaxMethodBytes) + " / HTTP/1.0\r\n\r\n"
	if got := parseAllWays(t, in, httpcodec.Limits{}); got.N != len(in) {
		t.Errorf("Parse(%q) = %d, %v, want %d", in, got.N, got.Err, len(in))
	}
}

func TestParseFields(t *testing.T) {
	const first, last = "GET / HTTP/1.1\r\nHost: a\r\n", "\r\n"
	for _, tt := range []struct {
		name   string
		limit  int
		fields int // the Host field included
		want   error
	}{
		{name: "at limit", limit: 5, fields: 5},
		{name: "above limit", limit: 5, fields: 6, want: httpcodec.ErrTooManyFields},
		{name: "at default", fields: httpcodec.DefaultFields},
		{name: "above default", fields: httpcodec.DefaultFields + 1, want: httpcodec.ErrTooManyFields},
		{name: "above default by less than zero", limit: -1, fields: httpcodec.DefaultFields + 1, want: httpcodec.ErrTooManyFields},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := first + strings.Repeat("A:\r\n", tt.fields-1) + last
			got := parseAllWays(t, in, httpcodec.Limits{Fields: tt.limit})
			if got.Err != tt.want || tt.want == nil && len(got.Head.Fields) != tt.fields {
				t.Errorf("Parse(%d fields) = %d fields, %v, want %v", tt.fields, len(got.Head.Fields), got.Err, tt.want)
			}
		})
	}
}

// TestParseBehindLimit: bytes that are in the buffer, but behind the limit, may as well not have come yet.
func TestParseBehindLimit(t *testing.T) {
	in := "GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n"
	for lim := 1; lim < len(in); lim++ {
		limits := httpcodec.Limits{HeaderBytes: lim}
		if got, want := parsePieces(in, limits), parsePieces(in[:lim]+"\x00", limits); got.Err != want.Err {
			t.Errorf("Parse with HeaderBytes %d = %v, want %v", lim, got.Err, want.Err)
		}
	}
}
