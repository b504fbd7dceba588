package main

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

func TestRoutes(t *testing.T) {
	p := start(t)
	for _, tc := range []struct {
		name        string
		request     string
		status      int
		contentType string // the default is text/plain; charset=utf-8
		body        string
		anyBody     bool
		allow       string
		length      string // Content-Length, where it is not that of body
	}{
		{name: "root", request: head("GET", "/"), status: 200, body: hello},
		{name: "root with a query", request: head("GET", "/?a=b"), status: 200, body: hello},
		{name: "root absolute-form", request: head("GET", "http://test/"), status: 200, body: hello},
		{name: "root absolute-form without a path", request: head("GET", "http://test"), status: 200, body: hello},
		{name: "root HEAD", request: head("HEAD", "/"), status: 200, length: "13"},
		{name: "root POST", request: head("POST", "/", "Content-Length: 0"), status: 405, anyBody: true, allow: "GET, HEAD"},
		{name: "root GET with content, which nobody reads", request: head("GET", "/", "Content-Length: 3") + "abc", status: 200, body: hello},
		{name: "root POST with content", request: head("POST", "/", "Content-Length: 3") + "abc", status: 405, anyBody: true, allow: "GET, HEAD"},
		{name: "root OPTIONS", request: head("OPTIONS", "/"), status: 405, anyBody: true, allow: "GET, HEAD"},
		{name: "echo POST", request: head("POST", "/echo", "Content-Length: 3") + "abc", status: 200,
			contentType: "application/octet-stream", body: "abc"},
		{name: "echo type", request: head("POST", "/echo", "Content-Type: text/x", "Content-Length: 3") + "abc", status: 200,
			contentType: "text/x", body: "abc"},
		{name: "echo empty", request: head("POST", "/echo", "Content-Length: 0"), status: 200,
			contentType: "application/octet-stream"},
		{name: "echo without a length", request: head("POST", "/echo"), status: 200, contentType: "application/octet-stream"},
		{name: "echo PUT", request: head("PUT", "/echo", "Content-Length: 1") + "x", status: 200,
			contentType: "application/octet-stream", body: "x"},
		{name: "echo PATCH", request: head("PATCH", "/echo", "Content-Length: 1") + "x", status: 200,
			contentType: "application/octet-stream", body: "x"},
		{name: "echo DELETE", request: head("DELETE", "/echo", "Content-Length: 1") + "x", status: 200,
			contentType: "application/octet-stream", body: "x"},
		{name: "echo GET with a body", request: head("GET", "/echo", "Content-Length: 1") + "x", status: 200,
			contentType: "application/octet-stream", body: "x"},
		{name: "echo OPTIONS with a body", request: head("OPTIONS", "/echo", "Content-Length: 1") + "x", status: 200,
			contentType: "application/octet-stream", body: "x"},
		{name: "echo chunked", request: head("POST", "/echo", "Transfer-Encoding: chunked") +
			"3;ext=1\r\nabc\r\n5\r\ndefgh\r\n1\r\ni\r\n0\r\n\r\n",
			status: 200, contentType: "application/octet-stream", body: "abcdefghi"},
		{name: "echo chunked with trailers", request: head("POST", "/echo", "Transfer-Encoding: chunked", "Trailer: X-Sum") +
			"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
			status: 200, contentType: "application/octet-stream", body: "abc"},
		{name: "echo chunked empty", request: head("POST", "/echo", "Transfer-Encoding: chunked") + "0\r\n\r\n",
			status: 200, contentType: "application/octet-stream"},
		{name: "echo GET without a body", request: head("GET", "/echo"), status: 405, anyBody: true, allow: "POST, PUT, PATCH"},
		{name: "echo HEAD without a body", request: head("HEAD", "/echo"), status: 405, allow: "POST, PUT, PATCH", length: "23"},
		{name: "bytes", request: head("GET", "/bytes?n=5"), status: 200, contentType: "application/octet-stream",
			body: "\x00\x01\x02\x03\x04"},
		{name: "bytes none", request: head("GET", "/bytes?n=0"), status: 200, contentType: "application/octet-stream"},
		{name: "bytes among others", request: head("GET", "/bytes?a=1&n=1&b"), status: 200,
			contentType: "application/octet-stream", body: "\x00"},
		{name: "bytes HEAD", request: head("HEAD", "/bytes?n=9000000000"), status: 200,
			contentType: "application/octet-stream", length: "9000000000"},
		{name: "bytes without n", request: head("GET", "/bytes"), status: 400, anyBody: true},
		{name: "bytes of nothing", request: head("GET", "/bytes?n="), status: 400, anyBody: true},
		{name: "bytes negative", request: head("GET", "/bytes?n=-1"), status: 400, anyBody: true},
		{name: "bytes garbage", request: head("GET", "/bytes?n=ten"), status: 400, anyBody: true},
		{name: "bytes beyond 64 bits", request: head("GET", "/bytes?n=9223372036854775808"), status: 400, anyBody: true},
		{name: "bytes query garbage", request: head("GET", "/bytes?n=1;n=2"), status: 400, anyBody: true},
		{name: "bytes POST", request: head("POST", "/bytes?n=5", "Content-Length: 1") + "x", status: 405, anyBody: true,
			allow: "GET, HEAD"},
		{name: "slow", request: head("GET", "/slow?ms=1"), status: 200, body: "slept 1 ms\n"},
		{name: "slow HEAD", request: head("HEAD", "/slow?ms=0"), status: 200, length: "11"},
		{name: "slow POST", request: head("POST", "/slow?ms=1", "Content-Length: 1") + "x", status: 405, anyBody: true,
			allow: "GET, HEAD"},
		{name: "slow with content", request: head("GET", "/slow?ms=0", "Content-Length: 3") + "abc", status: 200,
			body: "slept 0 ms\n"},
		{name: "slow without ms", request: head("GET", "/slow"), status: 400, anyBody: true},
		{name: "slow escaped", request: head("GET", "/%73low?ms=1"), status: 200, body: "slept 1 ms\n"},
		{name: "slow absolute-form", request: head("GET", "http://test/slow?ms=1"), status: 200, body: "slept 1 ms\n"},
		{name: "slow below", request: head("GET", "/slow/?ms=1"), status: 404, anyBody: true},
		{name: "slow by an unknown method", request: head("BREW", "/slow?ms=1"), status: 501, anyBody: true},
		{name: "stream", request: head("GET", "/stream?chunks=3&bytes=100&ms=1"), status: 200,
			contentType: "application/octet-stream", body: counted(300), length: "-"},
		{name: "stream HEAD", request: head("HEAD", "/stream?chunks=3&bytes=100&ms=86400000"), status: 200,
			contentType: "application/octet-stream", length: "-"},
		{name: "stream PUT", request: head("PUT", "/stream", "Content-Length: 0"), status: 405, anyBody: true, allow: "GET, HEAD"},
		{name: "stream of nothing", request: head("GET", "/stream?chunks=0&bytes=1&ms=0"), status: 400, anyBody: true},
		{name: "upgrade without Upgrade", request: head("GET", "/upgrade"), status: 426, anyBody: true},
		{name: "upgrade HEAD", request: head("HEAD", "/upgrade"), status: 426, length: "76"},
		{name: "upgrade OPTIONS", request: head("OPTIONS", "/upgrade"), status: 405, anyBody: true, allow: "GET, HEAD"},
		{name: "files without a directory", request: head("GET", "/files/"), status: 404, anyBody: true},
		{name: "escaped path", request: head("GET", "/%62ytes?n=1"), status: 200,
			contentType: "application/octet-stream", body: "\x00"},
		{name: "not found", request: head("GET", "/nothing"), status: 404, anyBody: true},
		{name: "not found below", request: head("GET", "/echo/"), status: 404, anyBody: true},
		{name: "not found with a body", request: head("POST", "/nothing", "Content-Length: 1") + "x", status: 404, anyBody: true},
		{name: "unknown method", request: head("BREW", "/"), status: 501, anyBody: true},
		{name: "methods are case-sensitive", request: head("get", "/"), status: 501, anyBody: true},
		{name: "unknown method of nothing", request: head("BREW", "/nothing"), status: 501, anyBody: true},
		{name: "server-wide OPTIONS", request: head("OPTIONS", "*"), status: 204, contentType: "-", length: "-",
			allow: "GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := dial(t, p.addr)
			c.send("%s", tc.request)
			method, _, _ := strings.Cut(tc.request, " ")
			resp, body := c.response(method)
			if resp.StatusCode != tc.status || !tc.anyBody && body != tc.body {
				t.Errorf("got %s %q, want %d %q", resp.Status, body, tc.status, tc.body)
			}
			if tc.anyBody && !strings.HasPrefix(body, strconv.Itoa(tc.status)+" ") {
				t.Errorf("content = %q, want one that begins with the status", body)
			}
			want := map[string]string{
				"Content-Type":   tc.contentType,
				"Allow":          tc.allow,
				"Content-Length": tc.length,
			}
			if tc.contentType == "" {
				want["Content-Type"] = "text/plain; charset=utf-8"
			}
			if tc.length == "" {
				want["Content-Length"] = strconv.Itoa(len(body))
			}
			for name, value := range want {
				if got := resp.Header.Get(name); got != strings.TrimPrefix(value, "-") {
					t.Errorf("%s = %q, want %q", name, got, value)
				}
			}
			if _, err := http.ParseTime(resp.Header.Get("Date")); err != nil {
				t.Errorf("Date: %v", err)
			}
			// Whatever it was, the connection goes on.
			c.expectHello()
		})
	}
}

// TestRoutesByNetHTTP asks as programs do: with net/http's client.
func TestRoutesByNetHTTP(t *testing.T) {
	p := start(t)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	web := &http.Client{Transport: transport}
	const n = 5 << 20
	resp, err := web.Get("http://" + p.addr.String() + "/bytes?n=" + strconv.Itoa(n))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.ContentLength != n {
		t.Errorf("Content-Length = %d, %v; want %d", resp.ContentLength, err, n)
	}
	checkCounting(t, string(body), n)

	for name, content := range map[string]io.Reader{
		"with a length": strings.NewReader(string(body)),
		"chunked":       io.MultiReader(strings.NewReader(string(body))),
	} {
		resp, err := web.Post("http://"+p.addr.String()+"/echo?"+url.QueryEscape(name), "application/x-test", content)
		if err != nil {
			t.Fatal(err)
		}
		echo, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-test" {
			t.Errorf("%s: %s, Content-Type %q, %v", name, resp.Status, resp.Header.Get("Content-Type"), err)
		}
		checkCounting(t, string(echo), n)
	}
}
