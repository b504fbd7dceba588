package httpcodec_test

import (
	"testing"

	"rstserver/httpcodec"
)

// TestParseFraming tells fields apart by what they say about where the content ends (RFC 9112 6.3): most rows are taken
// from what has been used for request smuggling.
func TestParseFraming(t *testing.T) {
	for _, tt := range []struct {
		name    string
		version string // 1.1 when empty
		fields  string
		status  int // 0: accepted
		reason  string
		length  int64
		chunked bool
	}{
		{name: "nothing", length: -1},
		{name: "zero", fields: "Content-Length: 0\r\n", length: 0},
		{name: "length", fields: "Content-Length: 7\r\n", length: 7},
		{name: "length between spaces", fields: "Content-Length: \t7 \r\n", length: 7},
		{name: "length with underscore is another field", fields: "Content_Length: 7\r\n", length: -1},
		{name: "chunked", fields: "Transfer-Encoding: chunked\r\n", length: -1, chunked: true},
		{name: "chunked between tabs", fields: "Transfer-Encoding:\tCHUNKED\t\r\n", length: -1, chunked: true},
		{name: "encoding with underscore is another field", fields: "Transfer_Encoding: chunked\r\n", length: -1},

		{name: "empty length", fields: "Content-Length:\r\n", status: 400, reason: "malformed Content-Length"},
		{name: "plus", fields: "Content-Length: +7\r\n", status: 400, reason: "malformed Content-Length"},
		{name: "minus", fields: "Content-Length: -7\r\n", status: 400, reason: "malformed Content-Length"},
		{name: "hexadecimal", fields: "Content-Length: 0x7\r\n", status: 400, reason: "malformed Content-Length"},
		{name: "fraction", fields: "Content-Length: 7.0\r\n", status: 400, reason: "malformed Content-Length"},
		{name: "exponent", fields: "Content-Length: 7e1\r\n", status: 400, reason: "malformed Content-Length"},
		{name: "underscore in number", fields: "Content-Length: 1_0\r\n", status: 400, reason: "malformed Content-Length"},
		{name: "space in number", fields: "Content-Length: 1 0\r\n", status: 400, reason: "malformed Content-Length"},
		{name: "list", fields: "Content-Length: 7, 7\r\n", status: 400, reason: "malformed Content-Length"},
		{name: "list with empty element", fields: "Content-Length: 7,\r\n", status: 400, reason: "malformed Content-Length"},
		{name: "superscript", fields: "Content-Length: \xc2\xb2\r\n", status: 400, reason: "malformed Content-Length"},
		{name: "vertical tab before", fields: "Content-Length: \x0b7\r\n", status: 400, reason: "control character in field value"},
		{name: "NUL behind", fields: "Content-Length: 7\x00\r\n", status: 400, reason: "control character in field value"},
		{name: "CR behind", fields: "Content-Length: 7\r\r\n", status: 400, reason: "control character in field value"},
		{name: "overflow", fields: "Content-Length: 9223372036854775808\r\n", status: 413, reason: "content too large"},
		{name: "wraps to 7", fields: "Content-Length: 18446744073709551623\r\n", status: 413, reason: "content too large"},
		{name: "overflow behind zeros", fields: "Content-Length: 00000000000000000000000000009223372036854775808\r\n", status: 413, reason: "content too large"},
		{name: "two equal", fields: "Content-Length: 7\r\nContent-Length: 7\r\n", status: 400, reason: "more than one Content-Length field"},
		{name: "two different", fields: "Content-Length: 7\r\nA: b\r\ncontent-length: 0\r\n", status: 400, reason: "more than one Content-Length field"},
		{name: "two in HTTP/1.0", version: "1.0", fields: "Content-Length: 7\r\nContent-Length: 7\r\n", status: 400, reason: "more than one Content-Length field"},
		{name: "second malformed", fields: "Content-Length: 7\r\nContent-Length: x\r\n", status: 400, reason: "malformed Content-Length"},
		{name: "space before colon of length", fields: "Content-Length : 7\r\n", status: 400, reason: "malformed field name"},
		{name: "NUL in name of length", fields: "Content\x00Length: 7\r\n", status: 400, reason: "malformed field name"},

		{name: "CL.TE", fields: "Content-Length: 7\r\nTransfer-Encoding: chunked\r\n", status: 400, reason: "both Transfer-Encoding and Content-Length"},
		{name: "TE.CL", fields: "Transfer-Encoding: chunked\r\nContent-Length: 7\r\n", status: 400, reason: "both Transfer-Encoding and Content-Length"},
		{name: "CL.TE with zero", fields: "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", status: 400, reason: "both Transfer-Encoding and Content-Length"},
		{name: "CL.TE with unknown coding", fields: "Content-Length: 7\r\nTransfer-Encoding: xchunked\r\n", status: 400, reason: "both Transfer-Encoding and Content-Length"},
		{name: "HTTP/1.0", version: "1.0", fields: "Transfer-Encoding: chunked\r\n", status: 400, reason: "Transfer-Encoding in HTTP/1.0"},
		{name: "HTTP/1.0 and length", version: "1.0", fields: "Transfer-Encoding: chunked\r\nContent-Length: 7\r\n", status: 400, reason: "both Transfer-Encoding and Content-Length"},

		{name: "empty encoding", fields: "Transfer-Encoding:\r\n", status: 400, reason: "malformed Transfer-Encoding"},
		{name: "comma before", fields: "Transfer-Encoding: ,chunked\r\n", status: 400, reason: "malformed Transfer-Encoding"},
		{name: "comma behind", fields: "Transfer-Encoding: chunked,\r\n", status: 400, reason: "malformed Transfer-Encoding"},
		{name: "quoted", fields: "Transfer-Encoding: \"chunked\"\r\n", status: 400, reason: "malformed Transfer-Encoding"},
		{name: "in brackets", fields: "Transfer-Encoding: [chunked]\r\n", status: 400, reason: "malformed Transfer-Encoding"},
		{name: "with parameter", fields: "Transfer-Encoding: chunked;q=1\r\n", status: 400, reason: "malformed Transfer-Encoding"},
		{name: "with semicolon", fields: "Transfer-Encoding: chunked ;\r\n", status: 400, reason: "malformed Transfer-Encoding"},
		{name: "with another word", fields: "Transfer-Encoding: chunked x\r\n", status: 400, reason: "malformed Transfer-Encoding"},
		{name: "obs-text before", fields: "Transfer-Encoding: \xa0chunked\r\n", status: 400, reason: "malformed Transfer-Encoding"},
		{name: "form feed before", fields: "Transfer-Encoding: \x0cchunked\r\n", status: 400, reason: "control character in field value"},
		{name: "not last", fields: "Transfer-Encoding: chunked, gzip\r\n", status: 400, reason: "chunked is not the final transfer coding"},
		{name: "not last over two lines", fields: "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", status: 400, reason: "chunked is not the final transfer coding"},
		{name: "identity behind", fields: "Transfer-Encoding: chunked, identity\r\n", status: 400, reason: "chunked is not the final transfer coding"},
		{name: "twice", fields: "Transfer-Encoding: chunked, chunked\r\n", status: 400, reason: "chunked is not the final transfer coding"},
		{name: "twice over two lines", fields: "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", status: 400, reason: "chunked is not the final transfer coding"},
		{name: "twice around another", fields: "Transfer-Encoding: chunked, gzip, chunked\r\n", status: 400, reason: "chunked is not the final transfer coding"},
		{name: "gzip alone", fields: "Transfer-Encoding: gzip\r\n", status: 400, reason: "chunked is not the final transfer coding"},
		{name: "identity alone", fields: "Transfer-Encoding: identity\r\n", status: 400, reason: "chunked is not the final transfer coding"},
		{name: "xchunked", fields: "Transfer-Encoding: xchunked\r\n", status: 400, reason: "chunked is not the final transfer coding"},
		{name: "chunke", fields: "Transfer-Encoding: chunke\r\n", status: 400, reason: "chunked is not the final transfer coding"},
		{name: "gzip before", fields: "Transfer-Encoding: gzip, chunked\r\n", status: 501, reason: "transfer coding not implemented"},
		{name: "gzip before over two lines", fields: "Transfer-Encoding: gzip;q=1\r\nTransfer-Encoding: chunked\r\n", status: 501, reason: "transfer coding not implemented"},
		{name: "identity before", fields: "Transfer-Encoding: identity, chunked\r\n", status: 501, reason: "transfer coding not implemented"},
		{name: "space before colon of encoding", fields: "Transfer-Encoding : chunked\r\n", status: 400, reason: "malformed field name"},
		{name: "obs-fold before", fields: "Transfer-Encoding:\r\n chunked\r\n", status: 400, reason: "field line starts with whitespace"},
		{name: "obs-fold behind", fields: "A: b\r\n Transfer-Encoding: chunked\r\n", status: 400, reason: "field line starts with whitespace"},
		{name: "LF before", fields: "A: b\nTransfer-Encoding: chunked\r\n", status: 400, reason: "LF without CR"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			version := tt.version
			if version == "" {
				version = "1.1"
			}
			in := "POST / HTTP/" + version + "\r\nHost: a\r\n" + tt.fields + "\r\n"
			got := parseAllWays(t, in, httpcodec.Limits{})
			if tt.status != 0 {
				checkError(t, "Parse", in, got.Err, tt.status, tt.reason)
				return
			}
			if got.Err != nil || got.Head.Length != tt.length || got.Head.Chunked != tt.chunked {
				t.Errorf("Parse(%q) = %v, ContentLength %d, Chunked %v, want nil, %d, %v",
					in, got.Err, got.Head.Length, got.Head.Chunked, tt.length, tt.chunked)
			}
		})
	}
}

func TestParseKeepAlive(t *testing.T) {
	for _, tt := range []struct {
		name    string
		version string
		fields  string
		want    bool
	}{
		{name: "1.1", version: "1.1", want: true},
		{name: "1.1 close", version: "1.1", fields: "Connection: Close\r\n"},
		{name: "1.1 close among others", version: "1.1", fields: "Connection: te,,close , x\r\n"},
		{name: "1.1 close in another line", version: "1.1", fields: "Connection: keep-alive\r\nA: b\r\nconnection: close\r\n"},
		{name: "1.1 keep-alive", version: "1.1", fields: "Connection: keep-alive\r\n", want: true},
		{name: "1.1 something like close", version: "1.1", fields: "Connection: closed, xclose\r\n", want: true},
		{name: "1.1 empty", version: "1.1", fields: "Connection:\r\n", want: true},
		{name: "1.1 not a token", version: "1.1", fields: "Connection: \"close\"\r\n"},
		{name: "1.1 two words", version: "1.1", fields: "Connection: keep-alive close\r\n"},
		{name: "1.1 Proxy-Connection", version: "1.1", fields: "Proxy-Connection: close\r\n", want: true},
		{name: "1.0", version: "1.0"},
		{name: "1.0 keep-alive", version: "1.0", fields: "Connection: Keep-Alive\r\n", want: true},
		{name: "1.0 keep-alive and close", version: "1.0", fields: "Connection: keep-alive, close\r\n"},
		{name: "1.0 Keep-Alive field", version: "1.0", fields: "Keep-Alive: timeout=5\r\n"},
		{name: "1.7", version: "1.7", want: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := "GET / HTTP/" + tt.version + "\r\nHost: a\r\n" + tt.fields + "\r\n"
			if got := parseAllWays(t, in, httpcodec.Limits{}); got.Err != nil || got.Head.KeepAlive != tt.want {
				t.Errorf("Parse(%q) = %v, KeepAlive %v, want nil, %v", in, got.Err, got.Head.KeepAlive, tt.want)
			}
		})
	}
}

func TestRequestGet(t *testing.T) {
	var p httpcodec.Parser
	var req httpcodec.Request
	in := "GET / HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nx-one: 2\r\nEmpty:\r\nList: a, \"b\",,C\r\nlist: d\r\n\r\n"
	if _, err := p.Parse([]byte(in), httpcodec.Limits{}, &req); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		value string
		found bool
	}{
		{name: "X-ONE", value: "1", found: true},
		{name: "host", value: "a", found: true},
		{name: "Empty", found: true},
		{name: "X-Two"},
		{name: ""},
		{name: "x\ronE"}, // folds to x-one where letters are told by a bit alone
	} {
		if got := req.Get(tt.name); string(got) != tt.value || (got != nil) != tt.found {
			t.Errorf("Get(%q) = %q, want %q, found %v", tt.name, got, tt.value, tt.found)
		}
	}
	for _, tt := range []struct {
		token string
		want  bool
	}{{"A", true}, {"c", true}, {"D", true}, {"b", false}, {"e", false}, {"a,", false}} {
		if got := req.HasToken("LIST", tt.token); got != tt.want {
			t.Errorf("HasToken(LIST, %q) = %v, want %v", tt.token, got, tt.want)
		}
	}
	if req.HasToken("Empty", "") || req.HasToken("None", "a") {
		t.Error("HasToken found a token in a field without one")
	}
}
