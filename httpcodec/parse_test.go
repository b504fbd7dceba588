package httpcodec_test

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"rstserver/httpcodec"
)

type field = httpcodec.HeaderField

var goodHeads = []struct {
	name string
	in   string
	want head
}{
	{
		name: "RFC 9112 2.1 example",
		in:   "GET /hello.txt HTTP/1.1\r\nUser-Agent: curl/7.64.1\r\nHost: www.example.com\r\nAccept-Language: en, mi\r\n\r\n",
		want: head{Method: "GET", Target: "/hello.txt", Path: "/hello.txt", Host: "www.example.com", Minor: 1, Length: -1, KeepAlive: true,
			Fields: []field{{Name: "User-Agent", Value: "curl/7.64.1"}, {Name: "Host", Value: "www.example.com"}, {Name: "Accept-Language", Value: "en, mi"}}},
	}, {
		name: "RFC 9112 3.2.1 example",
		in:   "GET /where?q=now HTTP/1.1\r\nHost: www.example.org\r\n\r\n",
		want: head{Method: "GET", Target: "/where?q=now", Path: "/where", Query: "q=now", HasQuery: true, Host: "www.example.org", Minor: 1,
			Length: -1, KeepAlive: true, Fields: []field{{Name: "Host", Value: "www.example.org"}}},
	}, {
		name: "RFC 9112 3.2.2 example",
		in:   "GET http://www.example.org/pub/WWW/TheProject.html HTTP/1.1\r\nHost: other.example\r\n\r\n",
		want: head{Method: "GET", Target: "http://www.example.org/pub/WWW/TheProject.html", Path: "/pub/WWW/TheProject.html",
			Host: "www.example.org", Form: httpcodec.AbsoluteForm, Minor: 1, Length: -1, KeepAlive: true,
			Fields: []field{{Name: "Host", Value: "other.example"}}},
	}, {
		name: "RFC 9112 3.2.3 example",
		in:   "CONNECT www.example.com:80 HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
		want: head{Method: "CONNECT", Target: "www.example.com:80", Host: "www.example.com:80", Form: httpcodec.AuthorityForm, Minor: 1,
			Length: -1, KeepAlive: true, Fields: []field{{Name: "Host", Value: "www.example.com"}}},
	}, {
		name: "RFC 9112 3.2.4 example",
		in:   "OPTIONS * HTTP/1.1\r\nHost: www.example.org:8001\r\n\r\n",
		want: head{Method: "OPTIONS", Target: "*", Path: "*", Host: "www.example.org:8001", Form: httpcodec.AsteriskForm, Minor: 1,
			Length: -1, KeepAlive: true, Fields: []field{{Name: "Host", Value: "www.example.org:8001"}}},
	}, {
		name: "RFC 9112 3.2.4 last proxy",
		in:   "OPTIONS http://www.example.org:8001 HTTP/1.1\r\nHost: www.example.org:8001\r\n\r\n",
		want: head{Method: "OPTIONS", Target: "http://www.example.org:8001", Path: "*", Host: "www.example.org:8001",
			Form: httpcodec.AbsoluteForm, Minor: 1, Length: -1, KeepAlive: true, Fields: []field{{Name: "Host", Value: "www.example.org:8001"}}},
	}, {
		name: "absolute-form without path",
		in:   "GET HTTPS://a HTTP/1.1\r\nHost: \r\n\r\n",
		want: head{Method: "GET", Target: "HTTPS://a", Path: "/", Host: "a", Form: httpcodec.AbsoluteForm, Minor: 1, Length: -1,
			KeepAlive: true, Fields: []field{{Name: "Host"}}},
	}, {
		name: "absolute-form without path with query",
		in:   "OPTIONS http://[::1]:80?a/?b HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
		want: head{Method: "OPTIONS", Target: "http://[::1]:80?a/?b", Path: "/", Query: "a/?b", HasQuery: true, Host: "[::1]:80",
			Form: httpcodec.AbsoluteForm, Minor: 1, Length: -1, KeepAlive: true, Fields: []field{{Name: "Host", Value: "[::1]:80"}}},
	}, {
		name: "every character of path and query",
		in:   "GET //az/AZ09-._~!$&'()*+,;=:@/%00%fF?az/AZ09-._~!$&'()*+,;=:@/??%7e HTTP/1.1\r\nHost: a\r\n\r\n",
		want: head{Method: "GET", Target: "//az/AZ09-._~!$&'()*+,;=:@/%00%fF?az/AZ09-._~!$&'()*+,;=:@/??%7e",
			Path: "//az/AZ09-._~!$&'()*+,;=:@/%00%fF", Query: "az/AZ09-._~!$&'()*+,;=:@/??%7e", HasQuery: true, Host: "a", Minor: 1, Length: -1,
			KeepAlive: true, Fields: []field{{Name: "Host", Value: "a"}}},
	}, {
		name: "empty query",
		in:   "GET /? HTTP/1.1\r\nHost: a\r\n\r\n",
		want: head{Method: "GET", Target: "/?", Path: "/", HasQuery: true, Host: "a", Minor: 1, Length: -1, KeepAlive: true,
			Fields: []field{{Name: "Host", Value: "a"}}},
	}, {
		name: "every character of a token",
		in:   "!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\n!#$%&'*+-.^_`|~09azAZ: x\r\nHost: a\r\n\r\n",
		want: head{Method: "!#$%&'*+-.^_`|~09azAZ", Target: "/", Path: "/", Host: "a", Minor: 1, Length: -1, KeepAlive: true,
			Fields: []field{{Name: "!#$%&'*+-.^_`|~09azAZ", Value: "x"}, {Name: "Host", Value: "a"}}},
	}, {
		name: "whitespace around values",
		in:   "GET / HTTP/1.1\r\nHost:\t a \t\r\nA:b\r\nC:\r\nD: \t \r\nE: f \t g\r\n\r\n",
		want: head{Method: "GET", Target: "/", Path: "/", Host: "a", Minor: 1, Length: -1, KeepAlive: true,
			Fields: []field{{Name: "Host", Value: "a"}, {Name: "A", Value: "b"}, {Name: "C"}, {Name: "D"}, {Name: "E", Value: "f \t g"}}},
	}, {
		name: "obs-text in a value",
		in:   "GET / HTTP/1.1\r\nHost: a\r\nA: \x80\xff \xc3\xa4 long enough for words of eight\xfe\r\n\r\n",
		want: head{Method: "GET", Target: "/", Path: "/", Host: "a", Minor: 1, Length: -1, KeepAlive: true,
			Fields: []field{{Name: "Host", Value: "a"}, {Name: "A", Value: "\x80\xff \xc3\xa4 long enough for words of eight\xfe"}}},
	}, {
		name: "one empty line before",
		in:   "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		want: head{Method: "GET", Target: "/", Path: "/", Host: "a", Minor: 1, Length: -1, KeepAlive: true, Fields: []field{{Name: "Host", Value: "a"}}},
	}, {
		name: "HTTP/1.0 without fields",
		in:   "GET / HTTP/1.0\r\n\r\n",
		want: head{Method: "GET", Target: "/", Path: "/", Length: -1},
	}, {
		name: "HTTP/1.9",
		in:   "GET / HTTP/1.9\r\nhOST: a\r\n\r\n",
		want: head{Method: "GET", Target: "/", Path: "/", Host: "a", Minor: 1, Length: -1, KeepAlive: true, Fields: []field{{Name: "hOST", Value: "a"}}},
	}, {
		name: "Content-Length",
		in:   "POST / HTTP/1.1\r\nHost: a\r\nCONTENT-LENGTH: 0042\r\n\r\n",
		want: head{Method: "POST", Target: "/", Path: "/", Host: "a", Minor: 1, Length: 42, KeepAlive: true,
			Fields: []field{{Name: "Host", Value: "a"}, {Name: "CONTENT-LENGTH", Value: "0042"}}},
	}, {
		name: "largest Content-Length",
		in:   "POST / HTTP/1.0\r\nContent-Length: 9223372036854775807\r\n\r\n",
		want: head{Method: "POST", Target: "/", Path: "/", Length: 9223372036854775807,
			Fields: []field{{Name: "Content-Length", Value: "9223372036854775807"}}},
	}, {
		name: "chunked",
		in:   "POST / HTTP/1.1\r\nHost: a\r\ntransfer-Encoding: Chunked\r\n\r\n",
		want: head{Method: "POST", Target: "/", Path: "/", Host: "a", Minor: 1, Length: -1, Chunked: true, KeepAlive: true,
			Fields: []field{{Name: "Host", Value: "a"}, {Name: "transfer-Encoding", Value: "Chunked"}}},
	}, {
		name: "Expect with content",
		in:   "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n",
		want: head{Method: "POST", Target: "/", Path: "/", Host: "a", Minor: 1, Length: 1, KeepAlive: true, Continue: true,
			Fields: []field{{Name: "Host", Value: "a"}, {Name: "Content-Length", Value: "1"}, {Name: "Expect", Value: "100-Continue"}}},
	}, {
		name: "Expect without content",
		in:   "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect:\r\n\r\n",
		want: head{Method: "POST", Target: "/", Path: "/", Host: "a", Minor: 1, Length: -1, KeepAlive: true,
			Fields: []field{{Name: "Host", Value: "a"}, {Name: "Expect", Value: "100-continue"}, {Name: "Expect"}}},
	}, {
		name: "Expect in HTTP/1.0",
		in:   "POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue, more\r\n\r\n",
		want: head{Method: "POST", Target: "/", Path: "/", Length: 1,
			Fields: []field{{Name: "Content-Length", Value: "1"}, {Name: "Expect", Value: "100-continue, more"}}},
	}, {
		name: "Upgrade",
		in:   "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive,, Upgrade\r\nUpgrade:\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
		want: head{Method: "GET", Target: "/chat", Path: "/chat", Host: "a", Minor: 1, Length: -1, KeepAlive: true,
			Upgrade: "websocket", HasUpgrade: true, Fields: []field{{Name: "Host", Value: "a"}, {Name: "Connection", Value: "keep-alive,, Upgrade"},
				{Name: "Upgrade"}, {Name: "Upgrade", Value: "websocket"}, {Name: "Upgrade", Value: "h2c"}}},
	}, {
		name: "Upgrade that Connection does not list",
		in:   "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrades\r\n\r\n",
		want: head{Method: "GET", Target: "/", Path: "/", Host: "a", Minor: 1, Length: -1, KeepAlive: true,
			Fields: []field{{Name: "Host", Value: "a"}, {Name: "Upgrade", Value: "websocket"}, {Name: "Connection", Value: "upgrades"}}},
	}, {
		name: "Upgrade in HTTP/1.0",
		in:   "GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade, keep-alive\r\n\r\n",
		want: head{Method: "GET", Target: "/", Path: "/", Length: -1, KeepAlive: true,
			Fields: []field{{Name: "Upgrade", Value: "websocket"}, {Name: "Connection", Value: "upgrade, keep-alive"}}},
	},
}

func TestParse(t *testing.T) {
	for _, tt := range goodHeads {
		t.Run(tt.name, func(t *testing.T) {
			want := outcome{N: len(tt.in), Head: tt.want}
			if got := parseAllWays(t, tt.in, httpcodec.Limits{}); !sameOutcome(got, want) {
				t.Errorf("Parse(%q) differs (-want +got):\n%s", tt.in, cmp.Diff(want, got, byIdentity))
			}
			// What follows is not looked at, whether it is a request or not.
			for _, behind := range []string{tt.in, "\x00", "\n", " "} {
				if got := parseAllWays(t, tt.in+behind, httpcodec.Limits{}); !sameOutcome(got, want) {
					t.Errorf("Parse(%q) differs (-want +got):\n%s", tt.in+behind, cmp.Diff(want, got, byIdentity))
				}
			}
			for i := range len(tt.in) {
				if got := parsePieces(tt.in[:i], httpcodec.Limits{}); !sameOutcome(got, outcome{}) {
					t.Errorf("Parse(%q) = %d, %v, want 0, nil", tt.in[:i], got.N, got.Err)
				}
			}
		})
	}
}

var badHeads = []struct {
	name   string
	in     string
	status int
	reason string
}{
	{name: "TLS", in: "\x16\x03\x01\x02\x00", status: 400, reason: "malformed method"},
	{name: "space first", in: " GET / HTTP/1.1\r\n", status: 400, reason: "malformed method"},
	{name: "two empty lines", in: "\r\n\r\n", status: 400, reason: "more than one empty line before the request"},
	{name: "LF first", in: "\nGET / HTTP/1.1\r\n", status: 400, reason: "more than one empty line before the request"},
	{name: "CR first", in: "\rGET / HTTP/1.1\r\n", status: 400, reason: "CR without LF"},
	{name: "bare LF ends request line", in: "GET / HTTP/1.1\n", status: 400, reason: "LF without CR"},
	{name: "bare LF ends field line", in: "GET / HTTP/1.1\r\nHost: a\n", status: 400, reason: "LF without CR"},
	{name: "bare LF ends head", in: "GET / HTTP/1.1\r\nHost: a\r\n\n", status: 400, reason: "LF without CR"},
	{name: "LF CR", in: "GET / HTTP/1.1\r\nHost: a\n\r\n", status: 400, reason: "LF without CR"},
	{name: "CR CR LF after request line", in: "GET / HTTP/1.1\r\r\n", status: 400, reason: "malformed HTTP version"},
	{name: "CR CR LF after field", in: "GET / HTTP/1.1\r\nHost: a\r\r\n", status: 400, reason: "control character in field value"},
	{name: "CR CR LF at end", in: "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", status: 400, reason: "malformed field name"},
	{name: "bare CR in request line", in: "GET /\r HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "empty request line", in: "\r\n\r\nGET / HTTP/1.1\r\n", status: 400, reason: "more than one empty line before the request"},

	{name: "method alone", in: "GET\r\n", status: 400, reason: "malformed request line"},
	{name: "HTTP/0.9", in: "GET /\r\n", status: 400, reason: "malformed request line"},
	{name: "no target", in: "GET  HTTP/1.1\r\n", status: 400, reason: "malformed request line"},
	{name: "two spaces before target", in: "GET  / HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "two spaces after target", in: "GET /  HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "tab before target", in: "GET\t/ HTTP/1.1\r\n", status: 400, reason: "malformed method"},
	{name: "tab after target", in: "GET /\tHTTP/1.1\r\n", status: 400, reason: "malformed request line"},
	{name: "space at end", in: "GET / HTTP/1.1 \r\n", status: 400, reason: "malformed HTTP version"},
	{name: "method with bracket", in: "GE[T / HTTP/1.1\r\n", status: 400, reason: "malformed method"},
	{name: "method with NUL", in: "GE\x00T / HTTP/1.1\r\n", status: 400, reason: "malformed method"},
	{name: "method with obs-text", in: "G\xc3\x8bT / HTTP/1.1\r\n", status: 400, reason: "malformed method"},
	{name: "long method", in: strings.Repeat("M", 33) + " / HTTP/1.1\r\n", status: 501, reason: "method not implemented"},
	{name: "space in target", in: "GET /a b HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},

	{name: "HTTP/2.0 preface", in: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", status: 505, reason: "HTTP version not supported"},
	{name: "HTTP/0.9 named", in: "GET / HTTP/0.9\r\n", status: 505, reason: "HTTP version not supported"},
	{name: "HTTP/3.1", in: "GET |{} HTTP/3.1\r\n", status: 505, reason: "HTTP version not supported"},
	{name: "HTTP/1", in: "GET / HTTP/1\r\n", status: 400, reason: "malformed HTTP version"},
	{name: "HTTP/1.", in: "GET / HTTP/1.\r\n", status: 400, reason: "malformed HTTP version"},
	{name: "HTTP/1.10", in: "GET / HTTP/1.10\r\n", status: 400, reason: "malformed HTTP version"},
	{name: "HTTP/11.1", in: "GET / HTTP/11.1\r\n", status: 400, reason: "malformed HTTP version"},
	{name: "HTTP/1.x", in: "GET / HTTP/1.x\r\n", status: 400, reason: "malformed HTTP version"},
	{name: "HTTP/01.1", in: "GET / HTTP/01.1\r\n", status: 400, reason: "malformed HTTP version"},
	{name: "HTTP/1,1", in: "GET / HTTP/1,1\r\n", status: 400, reason: "malformed HTTP version"},
	{name: "lower case", in: "GET / http/1.1\r\n", status: 400, reason: "malformed HTTP version"},
	{name: "another protocol", in: "GET / HTCP/1.1\r\n", status: 400, reason: "malformed HTTP version"},

	{name: "fragment", in: "GET /#a HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "fragment after query", in: "GET /?a#b HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "percent without digits", in: "GET /% HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "percent with one digit", in: "GET /%4 HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "percent without hex", in: "GET /%4g HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "percent cut by query", in: "GET /%4?a HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "percent in query", in: "GET /?%zz HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "pipe", in: "GET /a|b HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "brace in query", in: "GET /?{} HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "bracket in query", in: "GET /?a[]=b HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "quote", in: "GET /\"a\" HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "backslash", in: "GET /a\\b HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "UTF-8", in: "GET /\xc3\xa4 HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "NUL in target", in: "GET /\x00 HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "DEL in target", in: "GET /\x7f HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "relative", in: "GET index.html HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "query alone", in: "GET ?a HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "asterisk with GET", in: "GET * HTTP/1.1\r\n", status: 400, reason: "request-target form does not suit the method"},
	{name: "two asterisks", in: "OPTIONS ** HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "other scheme", in: "GET ftp://a/ HTTP/1.1\r\n", status: 400, reason: "request-target scheme is not http or https"},
	{name: "authority-form with GET", in: "GET a:80 HTTP/1.1\r\n", status: 400, reason: "request-target scheme is not http or https"},
	{name: "scheme alone", in: "GET http: HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "no authority", in: "GET http:/a HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "empty authority", in: "GET http:///a HTTP/1.1\r\n", status: 400, reason: "malformed host in request-target"},
	{name: "port alone in target", in: "GET http://:80/ HTTP/1.1\r\n", status: 400, reason: "malformed host in request-target"},
	{name: "userinfo", in: "GET http://u:p@a/ HTTP/1.1\r\n", status: 400, reason: "userinfo in request-target"},
	{name: "empty userinfo", in: "GET http://@a/ HTTP/1.1\r\n", status: 400, reason: "userinfo in request-target"},
	{name: "fragment in absolute-form", in: "GET http://a#b HTTP/1.1\r\n", status: 400, reason: "malformed request-target"},
	{name: "bad host in absolute-form", in: "GET http://a b/ HTTP/1.1\r\n", status: 400, reason: "malformed host in request-target"},
	{name: "CONNECT with path", in: "CONNECT / HTTP/1.1\r\n", status: 400, reason: "malformed host in request-target"},
	{name: "CONNECT with asterisk", in: "CONNECT * HTTP/1.1\r\n", status: 400, reason: "malformed host in request-target"},
	{name: "CONNECT with absolute-form", in: "CONNECT http://a/ HTTP/1.1\r\n", status: 400, reason: "malformed host in request-target"},
	{name: "CONNECT without port", in: "CONNECT a HTTP/1.1\r\n", status: 400, reason: "malformed host in request-target"},
	{name: "CONNECT with empty port", in: "CONNECT a: HTTP/1.1\r\n", status: 400, reason: "malformed host in request-target"},
	{name: "CONNECT with port 0", in: "CONNECT a:0 HTTP/1.1\r\n", status: 400, reason: "malformed host in request-target"},
	{name: "CONNECT with userinfo", in: "CONNECT u@a:1 HTTP/1.1\r\n", status: 400, reason: "malformed host in request-target"},

	{name: "whitespace before first field", in: "GET / HTTP/1.1\r\n Host: a\r\n", status: 400, reason: "field line starts with whitespace"},
	{name: "obs-fold", in: "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\tc\r\n", status: 400, reason: "field line starts with whitespace"},
	{name: "obs-fold with colon", in: "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c: d\r\n", status: 400, reason: "field line starts with whitespace"},
	{name: "line of whitespace", in: "GET / HTTP/1.1\r\nHost: a\r\n \r\n", status: 400, reason: "field line starts with whitespace"},
	{name: "space before colon", in: "GET / HTTP/1.1\r\nHost : a\r\n", status: 400, reason: "malformed field name"},
	{name: "tab before colon", in: "GET / HTTP/1.1\r\nHost\t: a\r\n", status: 400, reason: "malformed field name"},
	{name: "empty name", in: "GET / HTTP/1.1\r\n: a\r\n", status: 400, reason: "malformed field name"},
	{name: "no colon", in: "GET / HTTP/1.1\r\nHost\r\n", status: 400, reason: "field line without colon"},
	{name: "name with NUL", in: "GET / HTTP/1.1\r\nHo\x00st: a\r\n", status: 400, reason: "malformed field name"},
	{name: "name with CR", in: "GET / HTTP/1.1\r\nHost\r: a\r\n", status: 400, reason: "malformed field name"},
	{name: "name with obs-text", in: "GET / HTTP/1.1\r\nH\xf6st: a\r\n", status: 400, reason: "malformed field name"},
	{name: "name with parenthesis", in: "GET / HTTP/1.1\r\nA(b): c\r\n", status: 400, reason: "malformed field name"},
	{name: "NUL in value", in: "GET / HTTP/1.1\r\nA: b\x00\r\n", status: 400, reason: "control character in field value"},
	{name: "CR in value", in: "GET / HTTP/1.1\r\nA: b\rHost: c\r\n", status: 400, reason: "control character in field value"},
	{name: "VT around value", in: "GET / HTTP/1.1\r\nA: \x0bb\r\n", status: 400, reason: "control character in field value"},
	{name: "DEL in value", in: "GET / HTTP/1.1\r\nA: 0123456\x7f89\r\n", status: 400, reason: "control character in field value"},

	{name: "no Host", in: "GET / HTTP/1.1\r\n\r\n", status: 400, reason: "no Host field"},
	{name: "no Host in absolute-form", in: "GET http://a/ HTTP/1.1\r\nX-Host: a\r\n\r\n", status: 400, reason: "no Host field"},
	{name: "two Hosts", in: "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nhost: a\r\n\r\n", status: 400, reason: "more than one Host field"},
	{name: "two Hosts in HTTP/1.0", in: "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", status: 400, reason: "more than one Host field"},
	{name: "Host with space", in: "GET / HTTP/1.1\r\nHost: a b\r\n", status: 400, reason: "malformed Host field"},
	{name: "Host with list", in: "GET / HTTP/1.1\r\nHost: a, b\r\n", status: 400, reason: "malformed Host field"},
	{name: "Host with userinfo", in: "GET / HTTP/1.1\r\nHost: u@a\r\n", status: 400, reason: "malformed Host field"},
	{name: "Host with path", in: "GET / HTTP/1.1\r\nHost: a/b\r\n", status: 400, reason: "malformed Host field"},
	{name: "Host malformed in absolute-form", in: "GET http://a/ HTTP/1.1\r\nHost: {\r\n", status: 400, reason: "malformed Host field"},

	{name: "Expect something", in: "GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", status: 417, reason: "expectation not supported"},
	{name: "Expect more", in: "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, b=c\r\n\r\n", status: 417, reason: "expectation not supported"},
}

func TestParseMalformed(t *testing.T) {
	for _, tt := range badHeads {
		t.Run(tt.name, func(t *testing.T) {
			err := parseAllWays(t, tt.in, httpcodec.Limits{}).Err
			checkError(t, "Parse", tt.in, err, tt.status, tt.reason)
			// What comes later makes no difference: the error stands where it was found.
			if got := parsePieces(tt.in+"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", httpcodec.Limits{}).Err; got != err {
				t.Errorf("Parse(%q and more) = %v, want %v", tt.in, got, err)
			}
		})
	}
}

func checkError(t *testing.T, call, in string, err error, status int, reason string) {
	t.Helper()
	e, ok := err.(*httpcodec.Error)
	if !ok {
		t.Errorf("%s(%.200q) = %v, want status %d, %s", call, in, err, status, reason)
		return
	}
	if e.Status != status || e.Reason != reason {
		t.Errorf("%s(%.200q) = status %d, %s, want status %d, %s", call, in, e.Status, e.Reason, status, reason)
	}
}

func TestParseErrorStays(t *testing.T) {
	good := []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	for _, e := range httpcodec.Failures {
		if got, want := e.Error(), "httpcodec: "+e.Reason; got != want {
			t.Errorf("Error() = %q, want %q", got, want)
		}
		if e.Status < 400 || e.Status > 599 {
			t.Errorf("%v has status %d", e, e.Status)
		}
	}
	for _, tt := range badHeads {
		var p httpcodec.Parser
		var req httpcodec.Request
		_, want := p.Parse([]byte(tt.in), httpcodec.Limits{}, &req)
		for range 2 {
			if n, err := p.Parse(good, httpcodec.Limits{}, &req); n != 0 || err != want {
				t.Errorf("%s: Parse after an error = %d, %v, want 0, %v", tt.name, n, err, want)
			}
		}
		p.Reset()
		if n, err := p.Parse(good, httpcodec.Limits{}, &req); n != len(good) || err != nil {
			t.Errorf("%s: Parse after Reset = %d, %v, want %d, nil", tt.name, n, err, len(good))
		}
	}
}

func TestParsePipelined(t *testing.T) {
	var all string
	for _, tt := range goodHeads {
		all += tt.in
	}
	var p httpcodec.Parser
	var req httpcodec.Request
	buf := []byte(all)
	for _, tt := range goodHeads {
		n, err := p.Parse(buf, httpcodec.Limits{}, &req)
		if n != len(tt.in) || err != nil {
			t.Fatalf("%s: Parse = %d, %v, want %d, nil", tt.name, n, err, len(tt.in))
		}
		if diff := cmp.Diff(tt.want, textOf(&req)); diff != "" {
			t.Errorf("%s: Parse differs (-want +got):\n%s", tt.name, diff)
		}
		buf = buf[n:]
	}
}

// TestParseViews appends to each slice that Parse hands out: the buffer must not change.
func TestParseViews(t *testing.T) {
	for _, tt := range goodHeads {
		var p httpcodec.Parser
		var req httpcodec.Request
		buf := []byte(tt.in + "rest")
		if _, err := p.Parse(buf, httpcodec.Limits{}, &req); err != nil {
			t.Fatal(err)
		}
		views := [][]byte{req.Method, req.RequestTarget, req.Path, req.Query, req.Host, req.Upgrade}
		for _, f := range req.Fields {
			views = append(views, f.Name, f.Value)
		}
		for _, view := range views {
			_ = append(view, '\x00')
		}
		if got := string(buf); got != tt.in+"rest" {
			t.Errorf("%s: after append to a view the buffer is %q", tt.name, got)
		}
	}
}

func TestParserSize(t *testing.T) {
	if got := unsafe.Sizeof(httpcodec.Parser{}); got > 16 {
		t.Errorf("Sizeof(Parser) = %d, want at most 16: there is one for each idle connection", got)
	}
}
