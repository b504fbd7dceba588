//go:build linux

package websocket

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/poller"
)

// served is a server whose every request is a WebSocket.
type served struct {
	*poller.Server
	addr   netip.AddrPort
	result chan error // what Serve returned
	log    *lingertest.Output
}

// start starts a server on a port of its own. options are those of its WebSockets.
func start(t testing.TB, srv *poller.Server, options *Options, onLoop bool) *served {
	t.Helper()
	s := &served{Server: srv, result: make(chan error, 1), log: new(lingertest.Output)}
	srv.Logger = slog.New(slog.NewTextHandler(s.log, nil))
	if onLoop {
		srv.LoopHandler = poller.LoopHandlerFunc(func(w *poller.Responder, r *poller.Request) { _, _ = AcceptOnLoop(w, r, options) })
	} else if srv.Handler == nil && srv.LoopHandler == nil {
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = Accept(w, r, options) })
	}
	ln, err := poller.Listen(context.Background(), "127.0.0.1:0", false)
	lingertest.Must(t, err)
	serving := make(chan netip.AddrPort, 1)
	srv.Serving = func(a netip.AddrPort) { serving <- a }
	go func() { s.result <- srv.Serve(ln) }()
	select {
	case s.addr = <-serving:
	case err := <-s.result:
		t.Fatalf("Serve = %v before it served", err)
	case <-time.After(lingertest.Patience):
		t.Fatal("the server does not start")
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
		<-s.result
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.log)
		}
	})
	return s
}

// echo sends each message back.
func echo(options Options) *Options {
	options.OnMessage = func(c *Conn, t Type, data []byte) { _ = c.Write(context.Background(), t, data) }
	return &options
}

// client is a WebSocket client that does what it is told, right or wrong.
type client struct {
	*net.TCPConn
	in *bufio.Reader
	t  testing.TB
}

func (s *served) dial(t testing.TB) *client {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr.String())
	lingertest.Must(t, err)
	c := conn.(*net.TCPConn)
	// RST at the end, so that clients leave no TIME_WAIT.
	t.Cleanup(func() { _ = c.SetLinger(0); _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(lingertest.Patience))
	return &client{TCPConn: c, in: bufio.NewReader(c), t: t}
}

const goodHandshake = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// open opens a WebSocket.
func (s *served) open(t testing.TB, fields ...string) *client {
	t.Helper()
	c := s.dial(t)
	c.send(goodHandshake + strings.Join(fields, "") + "\r\n")
	res := c.answer()
	if res.StatusCode != 101 || res.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("the answer to the handshake is %s with %v", res.Status, res.Header)
	}
	return c
}

func (c *client) answer() *http.Response {
	c.t.Helper()
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatalf("reading the answer to the handshake: %v", err)
	}
	return res
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("sending: %v", err)
	}
}

// frame is what a client sends, masked.
func frame(first byte, payload string) string {
	return frameWith(first, payload, [4]byte{0x12, 0x34, 0xab, 0xfe})
}

func frameWith(first byte, payload string, key [4]byte) string {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, key[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return string(b)
}

func closeFrame(code Status, reason string) string {
	return frame(0x88, string([]byte{byte(code >> 8), byte(code)})+reason)
}

// got is a frame of the server's.
type got struct {
	first   byte
	payload string
}

// read reads one frame.
func (c *client) read() (g got, err error) {
	var head [10]byte
	if _, err := io.ReadFull(c.in, head[:2]); err != nil {
		return g, err
	}
	g.first = head[0]
	n := int64(head[1])
	switch {
	case n&0x80 != 0:
		return g, errors.New("the server's frame is masked")
	case n == 126:
		_, err = io.ReadFull(c.in, head[:2])
		n = int64(binary.BigEndian.Uint16(head[:]))
	case n == 127:
		_, err = io.ReadFull(c.in, head[:8])
		n = int64(binary.BigEndian.Uint64(head[:]))
	}
	if err != nil {
		return g, err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(c.in, b)
	g.payload = string(b)
	return g, err
}

// String is like "text hello", "close 1002" or "pong".
func (g got) String() string {
	payload := g.payload
	name, ok := map[byte]string{0x81: "text", 0x82: "binary", 0x88: "close", 0x89: "ping", 0x8a: "pong"}[g.first]
	if !ok {
		name = fmt.Sprintf("%#02x", g.first)
	}
	if name == "close" && len(payload) >= 2 {
		return fmt.Sprintf("close %d", int(payload[0])<<8|int(payload[1]))
	}
	if len(payload) > 100 {
		payload = fmt.Sprintf("%d bytes %x", len(payload), bytes.Count([]byte(payload), []byte(payload[:1])))
	}
	if payload == "" {
		return name
	}
	return name + " " + payload
}

// all reads frames until the connection ends, and how that is: "FIN" or "RST".
func (c *client) all() []string {
	c.t.Helper()
	var all []string
	for {
		g, err := c.read()
		switch {
		case err == nil:
			all = append(all, g.String())
		case err == io.EOF:
			return append(all, "FIN")
		case errors.Is(err, syscall.ECONNRESET):
			return append(all, "RST")
		default:
			return append(all, err.Error())
		}
	}
}

func (c *client) want(frames ...string) {
	c.t.Helper()
	for _, want := range frames {
		g, err := c.read()
		if err != nil || g.String() != want {
			c.t.Fatalf("read %q, %v, want %q", g, err, want)
		}
	}
}

func (c *client) wantAll(frames ...string) {
	c.t.Helper()
	if all := c.all(); !slices.Equal(all, frames) {
		c.t.Fatalf("read %q, want %q", all, frames)
	}
}
