package main

import (
	"io"
	"strings"
	"testing"

	"rstserver/internal/lingertest"
)

func TestKeepAlive(t *testing.T) {
	c := dial(t, start(t).addr)
	for range 100 {
		c.expectHello()
	}
}

func TestPipelining(t *testing.T) {
	c := dial(t, start(t).addr)
	var requests strings.Builder
	const depth = 16
	for i := range depth {
		body := strings.Repeat(string(rune('a'+i)), i)
		requests.WriteString(head("POST", "/echo", "Content-Length: "+itoa(i)) + body)
	}
	c.send("%s", requests.String())
	for i := range depth {
		if _, body := c.response("POST"); body != strings.Repeat(string(rune('a'+i)), i) {
			t.Errorf("answer %d = %q, want %d times %c", i, body, i, 'a'+i)
		}
	}
}

func TestPipeliningOfLargeAnswers(t *testing.T) {
	c := dialSlow(t, start(t).addr)
	const n, depth = 1 << 20, 16
	c.send("%s", strings.Repeat(head("GET", "/bytes?n="+itoa(n)), depth)+head("GET", "/", "Connection: close"))
	c.stalled()
	for range depth {
		_, body := c.response("GET")
		checkCounting(t, body, n)
	}
	if _, body := c.response("GET"); body != hello {
		t.Errorf("the answer behind them = %q, want %q", body, hello)
	}
	c.expectEnd()
}

func TestExpectContinue(t *testing.T) {
	c := dial(t, start(t).addr)
	c.send("%s", head("POST", "/echo", "Expect: 100-continue", "Content-Length: 3"))
	if resp, _ := c.response("POST"); resp.StatusCode != 100 {
		t.Fatalf("got %s, want 100", resp.Status)
	}
	c.send("abc")
	if resp, body := c.response("POST"); resp.StatusCode != 200 || body != "abc" {
		t.Errorf("got %s %q, want 200 abc", resp.Status, body)
	}
	// Content that comes along is not asked for.
	c.send("%s", head("POST", "/echo", "Expect: 100-continue", "Content-Length: 3")+"abc")
	if resp, body := c.response("POST"); resp.StatusCode != 200 || body != "abc" {
		t.Errorf("got %s %q, want 200 abc", resp.Status, body)
	}
}

// TestLastAnswer sends requests that say that they are their connections' last.
func TestLastAnswer(t *testing.T) {
	p := start(t)
	for _, tc := range []struct{ name, request, connection string }{
		{"HTTP/1.1 with Connection: close", "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", "close"},
		{"HTTP/1.1 with close among others", "GET / HTTP/1.1\r\nHost: test\r\nConnection: te, Close\r\n\r\n", "close"},
		{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", "close"},
		{"HTTP/1.0 after one with keep-alive",
			"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n", "keep-alive"},
		{"requests behind it", "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n" + head("GET", "/nothing"), "close"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := dial(t, p.addr)
			c.send("%s", tc.request)
			resp, body := c.response("GET")
			if resp.StatusCode != 200 || body != hello || resp.Close != (tc.connection == "close") {
				t.Errorf("got %s %q, Connection: %s; want 200 %q, %s", resp.Status, body, resp.Header.Get("Connection"),
					hello, tc.connection)
			}
			if tc.connection == "keep-alive" {
				if _, body := c.response("GET"); body != hello {
					t.Errorf("second answer = %q, want %q", body, hello)
				}
			}
			c.expectEnd()
		})
	}
}

// TestSlowReader asks for answers that the kernel cannot take at once. Not a byte may be missing.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	p := start(t)
	n := large()
	echo := head("POST", "/echo", "Content-Length: "+itoa(n), "Connection: close") + counted(n)
	for _, tc := range []struct {
		name, request string
		halfClose     bool
	}{
		{"Connection: close", head("GET", "/bytes?n="+itoa(n), "Connection: close"), false},
		{"half-closed client", head("GET", "/bytes?n="+itoa(n)), true},
		{"half-closed client and Connection: close", head("GET", "/bytes?n="+itoa(n), "Connection: close"), true},
		{"echo with Connection: close", echo, false},
		{"echo to a half-closed client", echo, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := dialSlow(t, p.addr)
			c.send("%s", tc.request)
			if tc.halfClose {
				if err := c.CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			c.stalled()
			_, body := c.response("GET")
			checkCounting(t, body, n)
			c.expectEnd()
		})
	}
}

// large is a size that no buffer of the kernel's takes: of what it sends that is 4 MiB, as a rule (tcp_wmem, tcp(7)), and the client's
// take little.
func large() int {
	if testing.Short() {
		return 5 << 20
	}
	return 10 << 20
}

// TestHalfCloseBehindPipeline half-closes behind requests that the server gets to only when the client reads.
func TestHalfCloseBehindPipeline(t *testing.T) {
	c := dialSlow(t, start(t).addr)
	const n, depth = 3 << 20, 4
	c.send("%s", strings.Repeat(head("GET", "/bytes?n="+itoa(n)), depth))
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.stalled()
	for range depth {
		_, body := c.response("GET")
		checkCounting(t, body, n)
	}
	c.expectEnd()
}

// TestHalfCloseAfterStall half-closes while the answer waits already.
func TestHalfCloseAfterStall(t *testing.T) {
	c := dialSlow(t, start(t).addr)
	n := large()
	c.send("%s", head("GET", "/bytes?n="+itoa(n)))
	c.stalled()
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_, body := c.response("GET")
	checkCounting(t, body, n)
	c.expectEnd()
}

// TestHalfCloseOfIdleClient closes without a request, with half a one, and after one.
func TestHalfCloseOfIdleClient(t *testing.T) {
	p := start(t, "--log-conns")
	for i, sent := range []string{"", "GET / HT", head("GET", "/")} {
		c := dial(t, p.addr)
		c.send("%s", sent)
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			if _, body := c.response("GET"); body != hello {
				t.Errorf("answer = %q, want %q", body, hello)
			}
		}
		c.expectEnd()
		lingertest.Wait(t, "the connection is closed", func() bool { return p.stderr.count(`"connection closed"`) == i+1 })
	}
}

// TestClientThatVanishes resets its end while an answer is on the way; others notice nothing.
func TestClientThatVanishes(t *testing.T) {
	p := start(t, "--log-conns")
	other := dial(t, p.addr)
	other.expectHello()
	c := dialSlow(t, p.addr)
	c.send("%s", head("GET", "/bytes?n=100000000"))
	c.stalled()
	if err := c.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	c.Close()
	lingertest.Wait(t, "the connection is closed", func() bool { return p.stderr.count(`"connection closed"`, "conn=2") == 1 })
	other.expectHello()
	if p.stderr.count("level=WARN")+p.stderr.count("level=ERROR") > 0 {
		t.Errorf("a client that resets is daily life, but was logged as trouble")
	}
}

// counted is the content of /bytes?n=N.
func counted(n int) string {
	b, err := io.ReadAll(io.LimitReader(&counting{}, int64(n)))
	if err != nil {
		panic(err)
	}
	return string(b)
}
