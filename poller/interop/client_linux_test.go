//go:build linux

package interop

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

// client is one raw connection to a server.
type client struct {
	*net.TCPConn
	t  testing.TB
	in *bufio.Reader
}

func dial(t testing.TB, addr netip.AddrPort) *client {
	t.Helper()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	c := conn.(*net.TCPConn)
	// RST at the end, so that clients leave no TIME_WAIT either.
	t.Cleanup(func() { _ = c.SetLinger(0); _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(lingertest.Patience))
	return &client{c, t, bufio.NewReader(c)}
}

func (s *served) dial(t testing.TB) *client {
	t.Helper()
	return dial(t, s.addr)
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatalf("sending %.40q: %v", s, err)
	}
}

// answer reads one answer, content included.
func (c *client) answer(method string) (*http.Response, string) {
	c.t.Helper()
	res, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("reading an answer: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatalf("reading the content of an answer: %v after %d bytes", err, len(body))
	}
	return res, string(body)
}

// readTo reads until text has come, and returns all that has.
func (c *client) readTo(text string) []byte {
	c.t.Helper()
	var b []byte
	for !bytes.HasSuffix(b, []byte(text)) {
		one, err := c.in.ReadByte()
		if err != nil {
			c.t.Fatalf("the connection ended with %v after %q, and not with %q", err, b, text)
		}
		b = append(b, one)
	}
	return b
}

// ended reads to the end and returns what was read and how it ended: nil for FIN.
func (c *client) ended() (string, error) {
	b, err := io.ReadAll(c.in)
	return string(b), err
}

func (c *client) wantReset() {
	c.t.Helper()
	if b, err := c.ended(); !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("the connection ended with %v after %.80q, want ECONNRESET", err, b)
	}
}

// newClient returns a client of net/http with connections of its own, and without the limit of two idle ones for a host.
func newClient(t testing.TB) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 1000, ExpectContinueTimeout: lingertest.Patience, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: lingertest.Patience, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

// do sends a request and returns the answer, whose content has been read.
func do(t testing.TB, c *http.Client, req *http.Request) (*http.Response, string) {
	t.Helper()
	res, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: reading the content: %v", req.Method, req.URL, err)
	}
	return res, string(b)
}

// newRequest makes a request with fields given as name, value, name, value.
func newRequest(t testing.TB, method, url string, body io.Reader, fields ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	return req
}

// get is do for a GET that wants the status.
func get(t testing.TB, c *http.Client, url string, status int) string {
	t.Helper()
	res, body := do(t, c, newRequest(t, "GET", url, nil))
	if res.StatusCode != status {
		t.Fatalf("GET %s = %s, want %d; content %.200q", url, res.Status, status, body)
	}
	return body
}

// addrOf is the address in url.
func addrOf(t testing.TB, url string) netip.AddrPort {
	t.Helper()
	addr, err := netip.ParseAddrPort(strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return addr
}
