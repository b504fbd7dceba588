//go:build linux

package fleet

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"rstserver/bench/kinds"
	"rstserver/internal/lingertest"
	"rstserver/poller/certs"
)

// peer is a server's end of a connection.
type peer struct {
	t   *testing.T
	tcp *net.TCPConn
	tls *tls.Conn
	in  *bufio.Reader
	h2  *http2.Framer
}

// fin and reset end it without a word of TLS.
func (p *peer) fin()   { _ = p.tcp.Close() }
func (p *peer) reset() { _ = p.tcp.SetLinger(0); _ = p.tcp.Close() }

// answer answers a request of HTTP/1.1.
func (p *peer) answer() {
	if _, err := http.ReadRequest(p.in); err == nil {
		_, _ = io.WriteString(p.tls, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}
}

// streams reads frames until so many requests have come, and the settings are acknowledged.
func (p *peer) streams(n int) {
	if _, err := io.ReadFull(p.in, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	p.h2 = http2.NewFramer(p.tls, p.in)
	_ = p.h2.WriteSettings()
	for agreed := false; n > 0 || !agreed; {
		frame, err := p.h2.ReadFrame()
		if err != nil {
			return
		}
		switch f := frame.(type) {
		case *http2.HeadersFrame:
			n--
		case *http2.SettingsFrame:
			agreed = agreed || f.IsAck()
		}
	}
}

// answerStreams answers these, each byte in a record of its own.
func (p *peer) answerStreams(ids ...uint32) {
	var block, out bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	framer := http2.NewFramer(&out, nil)
	for _, id := range ids {
		block.Reset()
		_ = encoder.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
		_ = encoder.WriteField(hpack.HeaderField{Name: "server", Value: "x"})
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes()[:1]})
		_ = framer.WriteContinuation(id, true, block.Bytes()[1:])
		_ = framer.WriteData(id, false, []byte("o"))
		_ = framer.WriteData(id, true, []byte("k"))
	}
	for _, b := range out.Bytes() {
		_, _ = p.tls.Write([]byte{b})
	}
}

// record is the beginning of a record that does not come to its end.
const record = "\x17\x03\x03\x00\x40half of it"

// How a client is told over TLS, and what the server has said before, by what it did.
func TestToldOverTLS(t *testing.T) {
	cert, err := certs.SelfSigned("127.0.0.1")
	lingertest.Must(t, err)
	const n = 3
	for _, tt := range []struct {
		name string
		kind kinds.Kind
		// before is done with each connection before all are there, behind it.
		before, then func(*peer)
		want         string
	}{
		{"reset", kinds.Idle, (*peer).answer, (*peer).reset, "reset"},
		{"FIN", kinds.Idle, (*peer).answer, (*peer).fin, "eof"},
		{"close_notify and FIN", kinds.Idle, (*peer).answer, func(p *peer) { _ = p.tls.Close() }, "close_notify then eof"},
		{"close_notify and RST", kinds.Idle, (*peer).answer, func(p *peer) { _ = p.tls.CloseWrite(); p.reset() }, "close_notify then reset"},
		{"close_notify, and what it may not send then, and FIN", kinds.Idle, (*peer).answer, func(p *peer) {
			_ = p.tls.CloseWrite()
			_, _ = io.WriteString(p.tcp, record)
			p.fin()
		}, "close_notify then eof"},
		{"FIN within a record", kinds.Idle, (*peer).answer, func(p *peer) { _, _ = io.WriteString(p.tcp, record); p.fin() }, "eof"},
		{"no TLS", kinds.Idle, (*peer).answer, func(p *peer) { _, _ = io.WriteString(p.tcp, "HTTP/1.1 400 Bad Request\r\n\r\n") }, "failed"},
		{"an answer, in pieces, and FIN", kinds.InFlight, nil, func(p *peer) {
			for _, b := range []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") {
				_, _ = p.tls.Write([]byte{b})
			}
			p.fin()
		}, "answered"},
		{"an answer and RST", kinds.InFlight, nil, func(p *peer) {
			_, _ = io.WriteString(p.tls, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			p.reset()
		}, "answered"},
		{"a part of an answer, close_notify and FIN", kinds.InFlight, nil, func(p *peer) {
			_, _ = io.WriteString(p.tls, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
			_ = p.tls.Close()
		}, "close_notify then eof"},
		{"h2, reset", kinds.H2, func(p *peer) { p.streams(1); p.answerStreams(1) }, (*peer).reset, "reset"},
		{"h2, GOAWAY alone", kinds.H2, func(p *peer) { p.streams(1); p.answerStreams(1) }, func(p *peer) { _ = p.h2.WriteGoAway(1, http2.ErrCodeNo, nil) }, "GOAWAY then left"},
		{"h2, answered without GOAWAY", kinds.H2Streams, func(p *peer) { p.streams(kinds.Streams) }, func(p *peer) { p.answerStreams(7, 1, 3, 5) }, "answered"},
		{"h2, GOAWAY and answered", kinds.H2Streams, func(p *peer) { p.streams(kinds.Streams) }, func(p *peer) {
			_ = p.h2.WriteGoAway(7, http2.ErrCodeNo, nil)
			p.answerStreams(1, 3, 5, 7)
		}, "answered"},
		{"h2, GOAWAY and all but one answered", kinds.H2Streams, func(p *peer) { p.streams(kinds.Streams) }, func(p *peer) {
			_ = p.h2.WriteGoAway(7, http2.ErrCodeNo, nil)
			p.answerStreams(1, 3, 5)
			_ = p.tls.Close()
		}, "GOAWAY + close_notify then eof"},
		{"h2, a stream reset, and GOAWAY", kinds.H2Streams, func(p *peer) { p.streams(kinds.Streams) }, func(p *peer) {
			_ = p.h2.WriteRSTStream(5, http2.ErrCodeCancel)
			p.answerStreams(1, 3, 7)
			_ = p.h2.WriteGoAway(7, http2.ErrCodeNo, nil)
		}, "RST_STREAM + GOAWAY then left"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			open := make(chan struct{})
			addr := gathering(t, n, func(_ int, c net.Conn) {
				p := &peer{t: t, tcp: c.(*net.TCPConn), tls: tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}})}
				p.in = bufio.NewReader(p.tls)
				if tt.before != nil {
					tt.before(p)
				} else if _, err := http.ReadRequest(p.in); err != nil {
					return
				}
				go func() { _, _ = io.Copy(io.Discard, p.in) }() // or the end of the socket, with bytes unread, is a reset
				<-open
				tt.then(p)
			})
			o := Order{
				Target: Target{Addr: addr, Paths: kinds.Paths{Get: "/", Late: "/late"}, TLS: true}, Mix: All(n, tt.kind), To: n, Patience: lingertest.Patience,
			}
			f, err := o.Open(t.Context(), nil)
			if err != nil {
				close(open)
				t.Fatal(err)
			}
			defer f.Close()
			close(open)
			e, err := f.Watch(lingertest.Patience)
			if got, want := e.Names(), map[string]int{tt.want: n}; !maps.Equal(got, want) || err != nil {
				t.Errorf("told: %v, %v (%s), want %v", got, err, e.Err, want)
			}
			if got := e.Of[tt.kind].Names(e.Said[tt.kind]); !maps.Equal(got, map[string]int{tt.want: n}) {
				t.Errorf("told by kind: %v", got)
			}
		})
	}
}

// What keeps a handshake from its end is said.
func TestHandshakeFails(t *testing.T) {
	cert, err := certs.SelfSigned("127.0.0.1")
	lingertest.Must(t, err)
	shake := func(protocols ...string) func(net.Conn) {
		return func(c net.Conn) {
			_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: protocols}).Handshake()
			_, _ = io.Copy(io.Discard, c)
		}
	}
	hello := func(c net.Conn) { _, _ = io.ReadFull(c, make([]byte, 100)) }
	for _, tt := range []struct {
		name string
		kind kinds.Kind
		do   func(net.Conn)
		want string
	}{
		{"no TLS", kinds.Idle, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }, "the TLS handshake has failed: tls: first record does not look like a TLS handshake"},
		{"the end", kinds.Idle, func(c net.Conn) { hello(c); _ = c.(*net.TCPConn).CloseWrite() }, "the TLS handshake has failed: EOF"},
		{"a reset", kinds.Idle, func(c net.Conn) { hello(c); _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() }, "the TLS handshake has failed: connection reset by peer"},
		{"no HTTP/2", kinds.H2, shake("http/1.1"), "no application protocol"},
		{"no ALPN", kinds.H2Streams, shake(), "the server has not chosen h2 by ALPN"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr := gathering(t, 1, func(_ int, c net.Conn) { tt.do(c) })
			o := Order{Target: Target{Addr: addr, Paths: kinds.Paths{Get: "/", Late: "/late"}, TLS: true}, Mix: All(1, tt.kind), To: 1, Patience: lingertest.Patience}
			f, err := o.Open(t.Context(), nil)
			if err == nil {
				f.Close()
			}
			lingertest.ExpectError(t, err, tt.want)
		})
	}
}

// A client that is given up within its handshake leaves no coroutine, which TestMain looks for.
func TestHandshakeGivenUp(t *testing.T) {
	const n = 5
	ctx, cancel := context.WithCancel(t.Context())
	addr := gathering(t, n, func(i int, c net.Conn) {
		_, _ = io.ReadFull(c, make([]byte, 100))
		if i == n-1 {
			cancel()
		}
	})
	o := Order{Target: Target{Addr: addr, Paths: kinds.Paths{Get: "/"}, TLS: true}, Mix: All(n, kinds.Idle), To: n, Patience: lingertest.Patience}
	if f, err := o.Open(ctx, nil); err != context.Canceled {
		t.Errorf("%v, %v", f, err)
	}
	o.Patience = time.Millisecond
	addr = gathering(t, n, func(_ int, c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	o.Target.Addr = addr
	_, err := o.Open(t.Context(), nil)
	lingertest.ExpectError(t, err, "are not ready after 1ms")
}

// A ClientHello is one message, of which a server waits for no more.
func TestClientHello(t *testing.T) {
	hello := clientHello()
	if len(hello) < 100 || hello[0] != 22 || int(hello[3])<<8+int(hello[4]) != len(hello)-5 || hello[5] != 1 {
		t.Errorf("%x", hello)
	}
}

// A frame is whole with its last byte, and a head with that of its last frame.
func TestWholeFrame(t *testing.T) {
	var out bytes.Buffer
	framer := http2.NewFramer(&out, nil)
	for name, write := range map[string]func(){
		"SETTINGS": func() { _ = framer.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 20}) },
		"empty":    func() { _ = framer.WriteSettingsAck() },
		"DATA":     func() { _ = framer.WriteData(1, true, make([]byte, 70_000)) },
		"HEADERS": func() {
			_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte("x"), EndHeaders: true})
		},
		"CONTINUATION": func() {
			_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte("x")})
			_ = framer.WriteContinuation(1, false, []byte("yy"))
			_ = framer.WriteContinuation(1, true, []byte("zz"))
		},
	} {
		out.Reset()
		write()
		for n := range out.Len() {
			if wholeFrame(out.Bytes()[:n]) {
				t.Fatalf("%s: %d of %d bytes are whole", name, n, out.Len())
			}
		}
		if !wholeFrame(out.Bytes()) || !wholeFrame(append(out.Bytes(), 0)) {
			t.Errorf("%s is not whole", name)
		}
	}
}
