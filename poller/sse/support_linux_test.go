//go:build linux

package sse

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/poller"
	"rstserver/poller/certs"
)

// served is a server whose every request is answered with a stream.
type served struct {
	*poller.Server
	addr    netip.AddrPort
	result  chan error // what Serve returned
	log     *lingertest.Output
	streams chan *Stream // of Accept
}

// way is how streams are accepted.
type way struct{ onLoop, tls bool }

func (w way) String() string { return fmt.Sprintf("on the loop: %v, TLS: %v", w.onLoop, w.tls) }

// eachWay runs f with all of them.
func eachWay(t *testing.T, f func(t *testing.T, w way)) {
	for _, w := range []way{{false, false}, {true, false}, {false, true}, {true, true}} {
		t.Run(w.String(), func(t *testing.T) { f(t, w) })
	}
}

// start starts a server on a port of its own. options are those of its streams.
func (w way) start(t testing.TB, srv *poller.Server, options *Options) *served {
	t.Helper()
	s := &served{Server: srv, result: make(chan error, 1), log: new(lingertest.Output), streams: make(chan *Stream, 10_000)}
	srv.Logger = slog.New(slog.NewTextHandler(s.log, nil))
	accepted := func(stream *Stream, err error) {
		if err == nil {
			s.streams <- stream
		} else if err != ErrHead {
			t.Errorf("Accept = %v", err)
		}
	}
	switch {
	case srv.Handler != nil || srv.LoopHandler != nil:
	case w.onLoop:
		srv.LoopHandler = poller.LoopHandlerFunc(func(w *poller.Responder, r *poller.Request) { accepted(AcceptOnLoop(w, r, options)) })
	default:
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { accepted(Accept(w, r, options)) })
	}
	ln, err := poller.Listen(context.Background(), "127.0.0.1:0", false)
	lingertest.Must(t, err)
	serving := make(chan netip.AddrPort, 1)
	srv.Serving = func(a netip.AddrPort) { serving <- a }
	if w.tls {
		cert, err := certs.SelfSigned("localhost")
		lingertest.Must(t, err)
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
		go func() { s.result <- srv.ServeTLS(ln, "", "") }()
	} else {
		go func() { s.result <- srv.Serve(ln) }()
	}
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

// stream is the next that was accepted.
func (s *served) stream(t testing.TB) *Stream {
	t.Helper()
	select {
	case stream := <-s.streams:
		return stream
	case <-time.After(lingertest.Patience):
		t.Fatal("no stream is accepted")
		return nil
	}
}

// client reads a stream.
type client struct {
	net.Conn
	tcp *net.TCPConn
	res *http.Response
	in  *bufio.Reader // the content
	t   testing.TB
}

func (w way) dial(t testing.TB, s *served) *client {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr.String())
	lingertest.Must(t, err)
	tcp := conn.(*net.TCPConn)
	// RST at the end, so that clients leave no TIME_WAIT.
	t.Cleanup(func() { _ = tcp.SetLinger(0); _ = tcp.Close() })
	_ = tcp.SetDeadline(time.Now().Add(lingertest.Patience))
	c := &client{Conn: tcp, tcp: tcp, t: t}
	if w.tls {
		c.Conn = tls.Client(tcp, &tls.Config{InsecureSkipVerify: true})
	}
	return c
}

const get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

// open opens a stream.
func (w way) open(t testing.TB, s *served, request string) *client {
	t.Helper()
	c := w.dial(t, s)
	c.ask(request)
	if c.res.StatusCode != 200 || c.res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("the answer is %s with %v", c.res.Status, c.res.Header)
	}
	return c
}

func (c *client) ask(request string) {
	c.t.Helper()
	_, err := io.WriteString(c, request)
	lingertest.Must(c.t, err)
	method, _, _ := strings.Cut(request, " ")
	if c.res, err = http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method}); err != nil {
		c.t.Fatalf("reading the head of the answer: %v", err)
	}
	c.in = bufio.NewReader(c.res.Body)
}

// got is an event as a page gets it.
type got struct{ kind, data, id string }

// parser is what WHATWG has browsers do (HTML standard, section 9.2.6).
type parser struct {
	in       *bufio.Reader
	cr       bool
	lastID   string
	retry    int
	comments int
	data     strings.Builder
	kind, id string
}

func (p *parser) line() (string, error) {
	var b strings.Builder
	for {
		c, err := p.in.ReadByte()
		switch {
		case err != nil:
			return "", err
		case c == '\n' && p.cr:
			p.cr = false
		case c == '\n', c == '\r':
			p.cr = c == '\r'
			return b.String(), nil
		default:
			p.cr = false
			b.WriteByte(c)
		}
	}
}

// next is the next event.
func (p *parser) next() (got, error) {
	for {
		line, err := p.line()
		if err != nil {
			return got{}, err
		}
		if line == "" {
			p.lastID = p.id
			g := got{p.kind, p.data.String(), p.lastID}
			p.data.Reset()
			p.kind = ""
			if g.data == "" {
				continue
			}
			g.data = strings.TrimSuffix(g.data, "\n")
			if g.kind == "" {
				g.kind = "message"
			}
			return g, nil
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "":
			p.comments++
		case "event":
			p.kind = value
		case "data":
			p.data.WriteString(value + "\n")
		case "id":
			if !strings.Contains(value, "\x00") {
				p.id = value
			}
		case "retry":
			if n, err := strconv.ParseUint(value, 10, 31); err == nil {
				p.retry = int(n)
			}
		}
	}
}

// want reads messages with that data.
func (c *client) want(data ...string) {
	c.t.Helper()
	p := parser{in: c.in}
	for _, want := range data {
		if g, err := p.next(); err != nil || g.data != want {
			c.t.Fatalf("read %.100q, %v, want %q", g, err, want)
		}
	}
}

// rest is what comes until the end, and how that is: "end", "FIN" behind it with HTTP/1.0, "RST", or "cut".
func (c *client) rest() (content, end string) {
	c.t.Helper()
	b, err := io.ReadAll(c.in)
	switch {
	case err == nil:
		end = "end"
	case errors.Is(err, syscall.ECONNRESET):
		end = "RST"
	case err == io.ErrUnexpectedEOF:
		end = "cut"
	default:
		end = err.Error()
	}
	return string(b), end
}
