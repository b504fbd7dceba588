package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// client is one connection to a server.
type client struct {
	*net.TCPConn
	t testing.TB
	r *bufio.Reader
}

// dial connects to addr. Nothing that is done with the connection takes longer than [lingertest.Patience].
func dial(t testing.TB, addr netip.AddrPort) *client {
	t.Helper()
	return dialWith(t, addr, nil)
}

// dialSlow is dial with a receive buffer that takes little: 64 KiB, since for less than a packet of the loopback interface the
// kernel has to repeat itself at the pace of its timers.
func dialSlow(t testing.TB, addr netip.AddrPort) *client {
	t.Helper()
	return dialWith(t, addr, func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 64<<10)
		}), err)
	})
}

func dialWith(t testing.TB, addr netip.AddrPort, control func(_, _ string, _ syscall.RawConn) error) *client {
	t.Helper()
	d := net.Dialer{Timeout: lingertest.Patience, Control: control}
	d.SetMultipathTCP(false)
	conn, err := d.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(lingertest.Patience)); err != nil {
		t.Fatal(err)
	}
	return &client{TCPConn: conn.(*net.TCPConn), t: t, r: bufio.NewReader(conn)}
}

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c, format, args...); err != nil {
		c.t.Fatal(err)
	}
}

// response reads one response to a request with the method, and its content.
func (c *client) response(method string) (*http.Response, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("reading the response: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("reading the content, after %d bytes: %v", len(body), err)
	}
	return resp, string(body)
}

// get asks for target and expects 200.
func (c *client) get(target string) string {
	c.t.Helper()
	c.send("GET %s HTTP/1.1\r\nHost: test\r\n\r\n", target)
	resp, body := c.response("GET")
	if resp.StatusCode != 200 {
		c.t.Errorf("GET %s = %s %q, want 200", target, resp.Status, body)
	}
	return body
}

// expectHello asks for the front page.
func (c *client) expectHello() {
	c.t.Helper()
	if got := c.get("/"); got != hello {
		c.t.Errorf("GET / = %q, want %q", got, hello)
	}
}

// expectReset expects that the connection ends with RST, whatever comes before.
func (c *client) expectReset() {
	c.t.Helper()
	if n, err := io.Copy(io.Discard, c.r); !errors.Is(err, syscall.ECONNRESET) {
		c.t.Errorf("reading from %s: %v after %d bytes, want ECONNRESET", c.LocalAddr(), err, n)
	}
}

// expectEnd expects that the connection ends with FIN and no further byte.
func (c *client) expectEnd() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.r); len(rest) > 0 || err != nil {
		c.t.Errorf("reading the end: %q, %v; want FIN", rest, err)
	}
}

// peer is the server's end of the connection, as the kernel knows it.
func (c *client) peer() (sockdiag.Socket, bool) {
	c.t.Helper()
	return sockdiagtest.One(c.t, c.RemoteAddr().(*net.TCPAddr).AddrPort(), c.LocalAddr().(*net.TCPAddr).AddrPort())
}

// waitPeer waits until ok holds for the server's end of the connection.
func (c *client) waitPeer(what string, ok func(sockdiag.Socket) bool) {
	c.t.Helper()
	lingertest.Wait(c.t, what, func() bool {
		s, found := c.peer()
		return found && ok(s)
	})
}

// accepted waits until the server has read all that was sent.
func (c *client) accepted() {
	c.t.Helper()
	c.waitPeer("the server reads what was sent",
		func(s sockdiag.Socket) bool {
			return s.Inode != 0 && s.RecvQueue == 0 && s.State == sockdiag.Established
		})
}

// stalled waits until the kernel takes no more of the server's output.
func (c *client) stalled() {
	c.t.Helper()
	var last uint32
	same := 0
	c.waitPeer("the server's output stalls", func(s sockdiag.Socket) bool {
		if s.SendQueue == 0 || s.SendQueue != last {
			last, same = s.SendQueue, 0
			return false
		}
		same++
		return same > 10
	})
}

// checkCounting reports what is wrong with the content of /bytes?n=N.
func checkCounting(t testing.TB, body string, n int) {
	t.Helper()
	if len(body) != n {
		t.Errorf("got %d bytes, want %d", len(body), n)
	}
	for i := range len(body) {
		if body[i] != byte(i) {
			t.Errorf("byte %d = %d, want %d", i, body[i], byte(i))
			return
		}
	}
}

// expectFree expects that no socket is left on the port.
func expectFree(t testing.TB, addr netip.AddrPort) {
	t.Helper()
	if err := linger.CheckFree(addr); err != nil {
		t.Errorf("the port is not free: %v\n%s", err, lingertest.Leftover(addr.Port()))
	}
	dump, err := sockdiag.Port(addr.Port())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range dump.Sockets {
		// The port of another address may be anybody's.
		if s.Blocks(addr.Addr()) && !addr.Addr().IsUnspecified() {
			t.Errorf("left on the port: %s from %s to %s", s.State, s.Local, s.Remote)
		}
	}
}

// itoa writes n in decimal.
func itoa(n int) string { return strconv.Itoa(n) }

// head is the head of a request for target with fields, "Name: value" each.
func head(method, target string, fields ...string) string {
	return method + " " + target + " HTTP/1.1\r\nHost: test\r\n" + strings.Join(append(fields, "", ""), "\r\n")
}
