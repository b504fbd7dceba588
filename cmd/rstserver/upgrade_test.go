package main

import (
	"net"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// upgradeRequest asks for the protocol echo.
var upgradeRequest = head("GET", "/upgrade", "Connection: Upgrade", "Upgrade: echo")

// expectUpgrade expects the answer to upgradeRequest.
func (c *client) expectUpgrade() {
	c.t.Helper()
	resp, _ := c.response("GET")
	if resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "echo" || resp.Header.Get("Connection") != "Upgrade" {
		c.t.Fatalf("got %s %v, want 101 with Connection: Upgrade and Upgrade: echo", resp.Status, resp.Header)
	}
}

// expectEcho sends s on an upgraded connection and expects it back.
func (c *client) expectEcho(s string) {
	c.t.Helper()
	c.send("%s", s)
	c.expectBytes(s)
}

// expectBytes expects that s comes next.
func (c *client) expectBytes(s string) {
	c.t.Helper()
	got := make([]byte, len(s))
	for n := 0; n < len(got); {
		m, err := c.r.Read(got[n:])
		if n += m; err != nil {
			c.t.Fatalf("reading %q: %q, then %v", s, got[:n], err)
		}
	}
	if string(got) != s {
		c.t.Errorf("got %q, want %q", got, s)
	}
}

// TestUpgradeByNetHTTP uses the handler in a server that is not ours.
func TestUpgradeByNetHTTP(t *testing.T) {
	srv := httptest.NewServer(&site{})
	defer srv.Close()
	testUpgrade(t, srv.Listener.Addr().(*net.TCPAddr).AddrPort())
}

func TestUpgrade(t *testing.T) {
	p := start(t)
	testUpgrade(t, p.addr)
	p.stop()
	expectFree(t, p.addr)
}

func testUpgrade(t *testing.T, addr netip.AddrPort) {
	t.Run("echo", func(t *testing.T) {
		c := dial(t, addr)
		c.send("%s", upgradeRequest)
		c.expectUpgrade()
		for _, s := range []string{"a", "GET / HTTP/1.1\r\n\r\n", strings.Repeat("\x00\xff", 1000)} {
			c.expectEcho(s)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.expectEnd()
	})
	t.Run("the first bytes come with the request", func(t *testing.T) {
		c := dial(t, addr)
		c.send("%s", upgradeRequest+"early")
		c.expectUpgrade()
		c.expectBytes("early")
		c.expectEcho("late")
	})
	t.Run("behind content", func(t *testing.T) {
		c := dial(t, addr)
		c.send("%s", head("GET", "/upgrade", "Connection: Upgrade", "Upgrade: echo", "Content-Length: 3")+"abcdef")
		c.expectUpgrade()
		c.expectBytes("def")
	})
	t.Run("behind another request", func(t *testing.T) {
		c := dial(t, addr)
		c.send("%s", head("GET", "/slow?ms=0")+upgradeRequest+"x")
		c.response("GET")
		c.expectUpgrade()
		c.expectBytes("x")
	})
	t.Run("a megabyte to a slow reader", func(t *testing.T) {
		c := dial(t, addr)
		c.send("%s", upgradeRequest)
		c.expectUpgrade()
		const n = 1 << 20
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			_, _ = c.Write([]byte(counted(n)))
			_ = c.CloseWrite()
		}()
		c.expectBytes(counted(n))
		<-sent
		c.expectEnd()
	})
	for _, tc := range []struct{ name, request string }{
		{"no Upgrade", head("GET", "/upgrade")},
		{"Upgrade that Connection does not list", head("GET", "/upgrade", "Upgrade: echo")},
		{"another protocol", head("GET", "/upgrade", "Connection: Upgrade", "Upgrade: websocket")},
		{"nothing to upgrade to", head("GET", "/upgrade", "Connection: Upgrade")},
		{"HEAD", head("HEAD", "/upgrade", "Connection: Upgrade", "Upgrade: echo")},
		{"HTTP/1.0", "GET /upgrade HTTP/1.0\r\nHost: test\r\nConnection: Upgrade, keep-alive\r\nUpgrade: echo\r\n\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := dial(t, addr)
			c.send("%s", tc.request)
			method, _, _ := strings.Cut(tc.request, " ")
			resp, body := c.response(method)
			if resp.StatusCode != 426 || resp.Header.Get("Upgrade") != "echo" {
				t.Errorf("got %s, Upgrade: %q; want 426, echo", resp.Status, resp.Header.Get("Upgrade"))
			}
			if method != "HEAD" && !strings.HasPrefix(body, "426 ") {
				t.Errorf("content = %q, want one that begins with the status", body)
			}
			// HTTP/1.1 connections go on.
			if strings.Contains(tc.request, "HTTP/1.1") {
				c.send("%s", upgradeRequest)
				c.expectUpgrade()
				c.expectEcho("x")
			}
		})
	}
}

func TestLists(t *testing.T) {
	for _, tc := range []struct {
		lines []string
		want  bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{"echo"}, true},
		{[]string{"ECHO"}, true},
		{[]string{"h2c, \techo ,websocket"}, true},
		{[]string{"h2c", "echo"}, true},
		{[]string{"echoes"}, false},
		{[]string{"echo/1"}, false},
		{[]string{"e cho"}, false},
	} {
		if got := lists(tc.lines, "echo"); got != tc.want {
			t.Errorf("lists(%q, echo) = %t, want %t", tc.lines, got, tc.want)
		}
	}
}
