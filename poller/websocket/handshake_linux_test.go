//go:build linux

package websocket

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"rstserver/poller"
)

// The handshake of RFC 6455, section 4, and what is not one.
func TestHandshake(t *testing.T) {
	options := echo(Options{Subprotocols: []string{"chat", "superchat"}, Origins: []string{"https://example.com", "https://*.example.org", "http://localhost:8080"}})
	type change struct{ from, to string }
	del := func(line string) change { return change{line + "\r\n", ""} }
	put := func(lines string) change {
		return change{"Host: localhost\r\n", "Host: localhost\r\n" + lines + "\r\n"}
	}
	const upgrade, connection, version, key = "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
	for _, tt := range []struct {
		name   string
		change change
		status int
		has    string // a field line of the answer
	}{
		{"as it is", change{}, 101, "Upgrade: websocket"},
		{"Connection is answered", change{}, 101, "Connection: Upgrade"},
		{"POST", change{"GET", "POST"}, 405, "Allow: GET"},
		{"HEAD", change{"GET", "HEAD"}, 405, "Allow: GET"},
		{"HTTP/1.0", change{"HTTP/1.1", "HTTP/1.0"}, 426, ""},
		{"no Host", del("Host: localhost"), 400, ""},
		{"two Hosts", put("Host: localhost"), 400, ""},
		{"no Upgrade", del(upgrade), 426, "Upgrade: websocket"},
		{"Upgrade in capitals", change{upgrade, "Upgrade: WebSocket"}, 101, ""},
		{"Upgrade to something else", change{upgrade, "Upgrade: h2c"}, 426, ""},
		{"Upgrade to something like it", change{upgrade, "Upgrade: websocket2"}, 426, ""},
		{"Upgrade with a version", change{upgrade, "Upgrade: websocket/13"}, 426, ""},
		{"Upgrade as a list", change{upgrade, "Upgrade: foo, websocket"}, 101, ""},
		{"Upgrade as a list with a version", change{upgrade, "Upgrade: h2c/1, websocket ,x"}, 101, ""},
		{"Upgrade on two lines", change{upgrade, "Upgrade: h2c\r\nUpgrade: websocket"}, 101, ""},
		{"Upgrade empty", change{upgrade, "Upgrade:"}, 426, ""},
		{"no Connection", del(connection), 426, ""},
		{"Connection in small", change{connection, "connection: upgrade"}, 101, ""},
		{"Connection: keep-alive", change{connection, "Connection: keep-alive"}, 426, ""},
		{"Connection as a list", change{connection, "Connection: keep-alive, Upgrade"}, 101, ""},
		{"Connection as a list with empty elements", change{connection, "Connection: ,keep-alive,, Upgrade,"}, 101, ""},
		{"Connection on two lines", change{connection, "Connection: keep-alive\r\nConnection: Upgrade"}, 101, ""},
		{"Connection with a word like it", change{connection, "Connection: Upgraded"}, 426, ""},
		{"Connection that is no list of tokens", change{connection, "Connection: Upgrade, a b"}, 400, ""},
		{"Connection: close as well", change{connection, "Connection: close, Upgrade"}, 101, ""},
		{"Upgrade with a slash", change{upgrade, "Upgrade: websocket/"}, 426, ""},
		{"a method in small", change{"GET", "get"}, 405, "Allow: GET"},
		{"an absolute target", change{"GET /", "GET http://localhost/"}, 101, ""},
		{"a target with a query", change{"GET /", "GET /?a=b"}, 101, ""},
		{"names in capitals", change{version + "\r\n" + key, strings.ToUpper("Sec-WebSocket-Version") + ":13\r\nSEC-WEBSOCKET-KEY:dGhlIHNhbXBsZSBub25jZQ=="}, 101, ""},
		{"a folded line", change{connection, "Connection: keep-alive,\r\n Upgrade"}, 400, ""},
		{"a proof of the client's", put("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), 101, ""},
		{"no version", del(version), 426, "Sec-WebSocket-Version: 13"},
		{"version 12", change{version, "Sec-WebSocket-Version: 12"}, 426, "Sec-WebSocket-Version: 13"},
		{"version 8", change{version, "Sec-WebSocket-Version: 8"}, 426, "Sec-WebSocket-Version: 13"},
		{"version 14", change{version, "Sec-WebSocket-Version: 14"}, 426, ""},
		{"version 013", change{version, "Sec-WebSocket-Version: 013"}, 426, ""},
		{"version +13", change{version, "Sec-WebSocket-Version: +13"}, 426, ""},
		{"version 13.0", change{version, "Sec-WebSocket-Version: 13.0"}, 426, ""},
		{"version 13 in space", change{version, "Sec-WebSocket-Version: \t 13 \t"}, 101, ""},
		{"an empty version", change{version, "Sec-WebSocket-Version:"}, 426, ""},
		{"version 13, 8", change{version, "Sec-WebSocket-Version: 13, 8"}, 426, ""},
		{"two versions", change{version, version + "\r\n" + version}, 400, ""},
		{"no version that can be read", change{version, "Sec-WebSocket-Version: x"}, 426, ""},
		{"no key", del(key), 400, ""},
		{"two keys", change{key, key + "\r\n" + key}, 400, ""},
		{"an empty key", change{key, "Sec-WebSocket-Key:"}, 400, ""},
		{"a key of 15 bytes", change{key, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA"}, 400, ""},
		{"a key of 17 bytes", change{key, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA="}, 400, ""},
		{"a key without padding", change{key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"}, 400, ""},
		{"a key that is not base64", change{key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q=="}, 400, ""},
		{"a key of base64url", change{key, "Sec-WebSocket-Key: _-hlIHNhbXBsZSBub25jZQ=="}, 400, ""},
		{"a key that is too long", change{key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==AAAA"}, 400, ""},
		{"a key in space", change{key, "Sec-WebSocket-Key: \t dGhlIHNhbXBsZSBub25jZQ== \t"}, 101, ""},
		{"a key with space within", change{key, "Sec-WebSocket-Key: dGhlIHNhbXBs ZSBub25jZQ="}, 400, ""},
		{"a key in a list", change{key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==,"}, 400, ""},
		{"padding within the key", change{key, "Sec-WebSocket-Key: dGhlIHNhbXBs=SBub25jZQ=="}, 400, ""},
		{"the key in the text of the RFC", change{key, "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC=="}, 101, ""},
		{"content", put("Content-Length: 1"), 400, ""},
		{"no content, said", put("Content-Length: 0"), 101, ""},
		{"content in chunks", put("Transfer-Encoding: chunked"), 400, ""},
		{"same origin", put("Origin: http://localhost"), 101, ""},
		{"same origin, its port", put("Origin: http://localhost:80"), 101, ""},
		{"same origin by TLS before us", put("Origin: https://localhost"), 101, ""},
		{"same origin in capitals", put("Origin: http://LOCALHOST"), 101, ""},
		{"other port", put("Origin: http://localhost:81"), 403, ""},
		{"other site", put("Origin: http://evil.example"), 403, ""},
		{"site that begins alike", put("Origin: http://localhost.evil.example"), 403, ""},
		{"no site", put("Origin: null"), 403, ""},
		{"malformed origin", put("Origin: localhost"), 403, ""},
		{"origin with a path", put("Origin: http://localhost/"), 403, ""},
		{"empty origin", put("Origin:"), 403, ""},
		{"two origins", put("Origin: http://localhost\r\nOrigin: http://localhost"), 400, ""},
		{"a site that is allowed", put("Origin: https://example.com"), 101, ""},
		{"a site that is allowed, by http", put("Origin: http://example.com"), 403, ""},
		{"a site below one that is allowed", put("Origin: https://a.b.example.org"), 101, ""},
		{"that site itself", put("Origin: https://example.org"), 403, ""},
		{"a site whose name ends alike", put("Origin: https://notexample.org"), 403, ""},
		{"a port that is allowed", put("Origin: http://localhost:8080"), 101, ""},
		{"subprotocol", put("Sec-WebSocket-Protocol: chat"), 101, "Sec-WebSocket-Protocol: chat"},
		{"the client's first", put("Sec-WebSocket-Protocol: x, superchat, chat"), 101, "Sec-WebSocket-Protocol: superchat"},
		{"subprotocols on two lines", put("Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Protocol: chat"), 101, "Sec-WebSocket-Protocol: chat"},
		{"no subprotocol of ours", put("Sec-WebSocket-Protocol: x"), 101, ""},
		{"a subprotocol twice", put("Sec-WebSocket-Protocol: chat, chat"), 400, ""},
		{"malformed subprotocol", put("Sec-WebSocket-Protocol: ch at"), 400, ""},
		{"a subprotocol in other letters", put("Sec-WebSocket-Protocol: CHAT"), 101, ""},
		{"subprotocols with empty elements", put("Sec-WebSocket-Protocol: ,x,, chat,"), 101, "Sec-WebSocket-Protocol: chat"},
		{"a subprotocol twice, on two lines", put("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat"), 400, ""},
		{"empty subprotocol", put("Sec-WebSocket-Protocol:"), 400, ""},
		{"unknown extension", put("Sec-WebSocket-Extensions: foo; bar=1, permessage-deflate"), 101, ""},
		{"extensions on two lines", put("Sec-WebSocket-Extensions: foo\r\nSec-WebSocket-Extensions: bar;a=\"b\""), 101, ""},
		{"extensions with empty elements", put("Sec-WebSocket-Extensions: ,foo ,, bar,"), 101, ""},
		{"empty extensions", put("Sec-WebSocket-Extensions:"), 400, ""},
		{"an extension without a name", put("Sec-WebSocket-Extensions: ;a=b"), 400, ""},
		{"a parameter that is no token", put("Sec-WebSocket-Extensions: foo; a=\"b c\""), 400, ""},
		{"malformed extension", put("Sec-WebSocket-Extensions: foo;"), 400, ""},
		{"extension without an end", put("Sec-WebSocket-Extensions: foo; bar=\"1"), 400, ""},
	} {
		for _, onLoop := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, on the loop: %v", tt.name, onLoop), func(t *testing.T) {
				t.Parallel()
				s := start(t, &poller.Server{Loops: 1}, options, onLoop)
				c := s.dial(t)
				request := strings.Replace(goodHandshake+"\r\n", tt.change.from, tt.change.to, 1)
				c.send(request)
				if strings.Contains(request, "Content-Length: 1") {
					c.send("x")
				} else if strings.Contains(request, "chunked") {
					c.send("0\r\n\r\n")
				}
				method, _, _ := strings.Cut(request, " ")
				res, err := http.ReadResponse(c.in, &http.Request{Method: method})
				if err != nil || res.StatusCode != tt.status {
					t.Fatalf("the answer is %v, %v, want %d", res, err, tt.status)
				}
				if name, value, _ := strings.Cut(tt.has, ": "); name != "" && res.Header.Get(name) != value {
					t.Errorf("the answer has %s: %q, want %q", name, res.Header.Get(name), value)
				}
				if tt.status != 101 {
					_, _ = io.Copy(io.Discard, res.Body)
					return
				}
				if chosen := res.Header["Sec-Websocket-Protocol"]; len(chosen) > 0 && !strings.HasPrefix(tt.has, "Sec-WebSocket-Protocol") || res.Header["Sec-Websocket-Extensions"] != nil {
					t.Errorf("the answer has %v", res.Header)
				}
				c.send(frame(0x81, "hello") + closeFrame(1000, ""))
				c.wantAll("text hello", "close 1000", "FIN")
			})
		}
	}
}

// What comes with the request is the protocol's, and fields that are set before are sent.
func TestAcceptBehindOthers(t *testing.T) {
	srv := &poller.Server{}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "a=b")
		w = struct{ http.ResponseWriter }{w} // of somebody who has not heard of Unwrap
		_, err := Accept(w, r, echo(Options{}))
		if err != nil {
			t.Error(err)
		}
		if _, err := w.Write([]byte("more")); err == nil {
			t.Error("the handler could write behind Accept")
		}
	})
	s := start(t, srv, nil, false)
	c := s.dial(t)
	c.send(goodHandshake + "\r\n" + frame(0x81, "early") + frame(0x89, ""))
	if res := c.answer(); res.StatusCode != 101 || res.Header.Get("Set-Cookie") != "a=b" {
		t.Errorf("the answer is %v", res)
	}
	all := map[string]bool{}
	for range 2 {
		g, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		all[g.String()] = true
	}
	if !all["text early"] || !all["pong"] {
		t.Errorf("read %v", all)
	}
}

// Accept says so where it cannot work.
func TestAcceptElsewhere(t *testing.T) {
	w := &recorder{header: make(http.Header)}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(goodHandshake + "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Accept(w, r, nil); err != errNotPoller || w.status != 500 {
		t.Errorf("Accept = %v, %d", err, w.status)
	}
	r.ProtoMajor, r.ProtoMinor = 2, 0
	if _, err := Accept(w, r, nil); err == nil || w.status != 426 {
		t.Errorf("by HTTP/2: Accept = %v, %d", err, w.status)
	}
	for _, o := range []Options{{MaxQueuedBytes: -1}, {PongTimeout: -1}, {CloseTimeout: -1}, {AtBound: 9}, {Compression: 9}, {DrainStatus: 1005}, {Subprotocols: []string{"a b"}},
		{OnMessage: func(*Conn, Type, []byte) {}, OnFragment: func(*Conn, Type, []byte, bool) {}}} {
		if err := o.check(); err == nil || !strings.HasPrefix(err.Error(), "websocket: ") {
			t.Errorf("check of %+v = %v", o, err)
		}
	}
}

type recorder struct {
	header http.Header
	status int
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(p []byte) (int, error) { return len(p), nil }
func (r *recorder) WriteHeader(status int)      { r.status = status }
