//go:build linux

package interop

import (
	"net/http"
)

// Reasons that several refusals have in common.
const (
	whyTarget  = "a request-target consists of the characters of RFC 3986, with StrictTargets"
	whyFraming = "a request whose end can be understood in two ways is not forwarded or answered (RFC 9112, section 6.3)"
)

// requestBehaviours are about what a handler gets to see of a request's head, and which heads it does not get to see.
var requestBehaviours = []behaviour{
	{name: "head", request: "GET /a/b?c=d&e HTTP/1.1\r\nHost: example.com:80\r\nUser-Agent: test\r\nx-lower: 1\r\nX-LOWER:   2 \r\n" +
		"Cookie: a=b\r\nAccept: */*\r\nX-Empty:\r\n\r\n", head: true},
	{name: "head of HTTP/1.0", request: "GET / HTTP/1.0\r\nHost: x\r\n\r\n",
		head: true, differences: []difference{saysClose("field: Content-Length")}},
	{name: "head of HTTP/1.0 without Host", request: get0,
		head: true, differences: []difference{saysClose("field: Content-Length")}},
	{name: "head of HTTP/1.0 keep-alive", request: keep0, head: true},
	{name: "head with close", request: "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", head: true},
	{name: "head with Connection",
		request: "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\n\r\n", head: true},
	{name: "head with Upgrade", request: "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tea\r\n\r\n", head: true},
	{name: "head with Pragma", request: "GET / HTTP/1.1\r\nHost: x\r\nPragma: no-cache\r\n\r\n", head: true,
		differences: []difference{{"the handler sees what the client sent", `"Cache-Control":[]string{"no-cache"}, `, ""}}},
	{name: "head with content", request: "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", method: "PUT", head: true},
	{name: "head with empty Host", request: "GET / HTTP/1.1\r\nHost:\r\n\r\n", head: true},
	{name: "head of a method of its own", request: "BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n", method: "BREW", head: true},
	{name: "head with Trailer but no chunks", request: "GET / HTTP/1.1\r\nHost: x\r\nTrailer: X-Sum\r\n\r\n", head: true},
	{name: "head with Content-Length twice",
		request: "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		method:  "POST", head: true, refused: &refusal{whyFraming, "400 Bad Request", "more than one Content-Length field", ""}},
	{name: "obs-text", request: "GET / HTTP/1.1\r\nHost: x\r\nX-Text: gr\xfc\xdf\r\n\r\n", head: true},
	{name: "double slash", request: "GET //example.com/a//b HTTP/1.1\r\nHost: x\r\n\r\n", head: true},
	{name: "encoded path", request: "GET /a%2Fb%20c/%C3%BC?q=%2F HTTP/1.1\r\nHost: x\r\n\r\n", head: true},
	{name: "badly encoded path", request: "GET /a%zz HTTP/1.1\r\nHost: x\r\n\r\n",
		head: true, refused: &refusal{"", "400 Bad Request", "malformed request-target", ""}},
	{name: "dots in the path", request: "GET /a/../../b/./c HTTP/1.1\r\nHost: x\r\n\r\n", head: true},
	{name: "strict, bytes beyond ASCII in the path", request: "GET /\xc3\xbc HTTP/1.1\r\nHost: x\r\n\r\n",
		head: true, strict: true, refused: &refusal{whyTarget, "400 Bad Request", "malformed request-target", ""}},
	{name: "semicolon in the query", request: "GET /?a=b;c HTTP/1.1\r\nHost: x\r\n\r\n", head: true,
		handler: func(_ http.ResponseWriter, r *http.Request, tr *transcript) {
			tr.notef("%s: %v", errorClass(r.ParseForm()), r.Form)
		}},
	{name: "strict, badly encoded query", request: "GET /?q=100% HTTP/1.1\r\nHost: x\r\n\r\n",
		strict: true, refused: &refusal{whyTarget, "400 Bad Request", "malformed request-target", ""}},
	{name: "strict, brackets in the query", request: "GET /?a[]=b HTTP/1.1\r\nHost: x\r\n\r\n",
		strict: true, refused: &refusal{whyTarget, "400 Bad Request", "malformed request-target", ""}},
	{name: "strict, bar in the query", request: "GET /?a=b|c HTTP/1.1\r\nHost: x\r\n\r\n",
		strict: true, refused: &refusal{whyTarget, "400 Bad Request", "malformed request-target", ""}},
	{name: "empty query", request: "GET /? HTTP/1.1\r\nHost: x\r\n\r\n", head: true},
	{name: "brackets in the query", request: "GET /?a[]=b HTTP/1.1\r\nHost: x\r\n\r\n", head: true},
	{name: "badly encoded query", request: "GET /?q=100% HTTP/1.1\r\nHost: x\r\n\r\n", head: true,
		handler: func(_ http.ResponseWriter, r *http.Request, tr *transcript) {
			tr.notef("%s: %v", errorClass(r.ParseForm()), r.Form)
		}},
	{name: "other characters", request: "GET /a|b[c]{d}^e`f\"\\<g>?|[]{}^`\"\\<> HTTP/1.1\r\nHost: x\r\n\r\n",
		head: true},
	{name: "bytes beyond ASCII", request: "GET /\xc3\xbc?\xfc HTTP/1.1\r\nHost: x\r\n\r\n", head: true},
	{name: "two empty lines behind content", request: "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello\r\n\r\n",
		method: "POST", head: true},
	{name: "fragment", request: "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n",
		head: true, refused: &refusal{whyTarget, "400 Bad Request", "malformed request-target", ""}},
	{name: "absolute form", request: "GET http://example.com:8080/a?b HTTP/1.1\r\nHost: other\r\n\r\n", head: true},
	{name: "absolute form without path", request: "GET http://example.com HTTP/1.1\r\nHost: example.com\r\n\r\n", head: true},
	{name: "absolute form with query only", request: "GET http://example.com?a HTTP/1.1\r\nHost: example.com\r\n\r\n", head: true},
	{name: "absolute form with userinfo", request: "GET http://user:pass@example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
		head: true, refused: &refusal{"userinfo from an untrusted source is an error (RFC 9110, section 4.2.4)",
			"400 Bad Request", "userinfo in request-target", ""}},
	{name: "OPTIONS *", request: "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", method: "OPTIONS", head: true},
	{name: "OPTIONS * with content", request: "OPTIONS * HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
		method: "OPTIONS", head: true},
	{name: "GET *", request: "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
		head: true, refused: &refusal{"asterisk-form is for OPTIONS only (RFC 9112, section 3.2.4)", "400 Bad Request",
			"request-target form does not suit the method", ""}},
	{name: "CONNECT", request: "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", method: "CONNECT", head: true,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			http.Error(w, "no", http.StatusMethodNotAllowed)
		}},
	{name: "CONNECT of net/rpc", request: "CONNECT /_goRPC_ HTTP/1.0\n\n", method: "CONNECT",
		refused: &refusal{"lines end with CRLF (RFC 9112, section 2.2)", "400 Bad Request", "LF without CR", ""}},
	{name: "CONNECT with a path", request: "CONNECT /rpc HTTP/1.1\r\nHost: x\r\n\r\n", method: "CONNECT",
		head: true, refused: &refusal{"CONNECT has an authority-form (RFC 9112, section 3.2.3), although net/rpc uses it with a path", "400 Bad Request", "malformed host in request-target", ""}},
	{name: "no Host", request: "GET / HTTP/1.1\r\n\r\n",
		head: true, refused: &refusal{"", "400 Bad Request", "no Host field", ""}},
	{name: "two Hosts", request: "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		head: true, refused: &refusal{"", "400 Bad Request", "more than one Host field", ""}},
	{name: "malformed Host", request: "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
		head: true, refused: &refusal{"", "400 Bad Request", "malformed Host field", ""}},
	{name: "malformed field", request: "GET / HTTP/1.1\r\nHost: x\r\nBad Name: 1\r\n\r\n",
		head: true, refused: &refusal{"", "400 Bad Request", "malformed field name", ""}},
	{name: "HTTP/1.2", request: "GET / HTTP/1.2\r\nHost: x\r\n\r\n", head: true, differences: []difference{
		{"a request of a later minor version is understood as HTTP/1.1 (RFC 9110, section 2.5)", `"HTTP/1.2"`, `"HTTP/1.1"`},
		{"as above", "ProtoMinor: 2", "ProtoMinor: 1"},
	}},
	{name: "HTTP/2.0", request: "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
		head: true, refused: &refusal{"", "505 HTTP Version Not Supported", "HTTP version not supported", ""}},
	{name: "Content-Length and chunked",
		request: "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		method:  "POST", head: true, refused: &refusal{whyFraming, "400 Bad Request", "both Transfer-Encoding and Content-Length", ""}},
	{name: "two pipelined requests", request: get1 + get1,
		handler: func(w http.ResponseWriter, _ *http.Request, tr *transcript) {
			write(w, tr, "ok")
		}},
}
