//go:build linux

package poller

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"rstserver/internal/lingertest"
)

// inBothH2 runs f without TLS, where clients begin with HTTP/2, and with it, where they choose it.
func inBothH2(t *testing.T, f func(t *testing.T, config *tls.Config)) {
	plain(t, "it does both")
	t.Run("cleartext", func(t *testing.T) { f(t, nil) })
	t.Run("TLS", func(t *testing.T) { f(t, serverTLS.Clone()) })
}

// h2Client is net/http's, on connections of its own.
func (s *served) h2Client(t testing.TB) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: protocols, TLSClientConfig: s.tls.Clone(), DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: lingertest.Patience}
}

func (s *served) url(target string) string {
	if s.tls != nil {
		return "https://" + s.addr.String() + target
	}
	return "http://" + s.addr.String() + target
}

// do makes a request and returns the answer with its whole content.
func (s *served) do(t testing.TB, c *http.Client, method, target string, body io.Reader) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, s.url(target), body)
	lingertest.Must(t, err)
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s, its content: %v", method, target, err)
	}
	if resp.ProtoMajor != 2 {
		t.Errorf("%s %s was answered by %s", method, target, resp.Proto)
	}
	return resp, string(b)
}

// rawH2 is a client that sees every frame.
type rawH2 struct {
	net.Conn
	t      testing.TB
	framer *http2.Framer
	block  bytes.Buffer
	enc    *hpack.Encoder
}

// dialH2 connects, and has settings exchanged.
func (s *served) dialH2(t testing.TB) *rawH2 {
	t.Helper()
	var d net.Dialer
	ctx, cancel := context.WithTimeout(context.Background(), lingertest.Patience)
	defer cancel()
	tcp, err := d.DialContext(ctx, "tcp", s.addr.String())
	lingertest.Must(t, err)
	conn := tcp
	if s.tls != nil {
		config := s.tls.Clone()
		config.NextProtos = []string{"h2"}
		conn = tls.Client(tcp, config)
	}
	t.Cleanup(func() { _ = tcp.Close() })
	lingertest.Must(t, conn.SetDeadline(time.Now().Add(lingertest.Patience)))
	c := &rawH2{Conn: conn, t: t}
	c.enc = hpack.NewEncoder(&c.block)
	_, err = conn.Write(h2Preface)
	lingertest.Must(t, err)
	c.framer = http2.NewFramer(conn, conn)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	lingertest.Must(t, c.framer.WriteSettings())
	for acked := false; !acked; {
		switch f := c.frame().(type) {
		case *http2.SettingsFrame:
			if acked = f.IsAck(); !acked {
				lingertest.Must(t, c.framer.WriteSettingsAck())
			}
		case *http2.WindowUpdateFrame:
		default:
			t.Fatalf("got %v before settings", f)
		}
	}
	return c
}

func (c *rawH2) frame() http2.Frame {
	c.t.Helper()
	f, err := c.framer.ReadFrame()
	if err != nil {
		c.t.Fatalf("reading a frame: %v", err)
	}
	return f
}

// get sends the head of a request on the stream.
func (c *rawH2) get(stream uint32, target string) {
	c.t.Helper()
	c.block.Reset()
	for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "x"}, {Name: ":path", Value: target}} {
		lingertest.Must(c.t, c.enc.WriteField(f))
	}
	lingertest.Must(c.t, c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.block.Bytes(), EndStream: true, EndHeaders: true}))
}

// answer reads up to the end of the stream, and returns the status, the content, and whether GOAWAY has come before.
func (c *rawH2) answer(stream uint32) (status int, content string, goAway bool) {
	c.t.Helper()
	for {
		f := c.frame()
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			goAway = true
			continue
		case *http2.MetaHeadersFrame:
			status, _ = strconv.Atoi(f.PseudoValue("status"))
		case *http2.DataFrame:
			content += string(f.Data())
		case *http2.RSTStreamFrame:
			return 0, f.ErrCode.String(), goAway
		default:
			continue
		}
		if f.Header().StreamID == stream && f.Header().Flags.Has(http2.FlagDataEndStream) {
			return status, content, goAway
		}
	}
}

// wantReset reads until the connection ends, which has to be by RST, and reports whether GOAWAY came before.
func (c *rawH2) wantReset() (goAway bool) {
	c.t.Helper()
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			if !errors.Is(err, syscall.ECONNRESET) {
				c.t.Errorf("the connection ended with %v, want ECONNRESET", err)
			}
			return goAway
		}
		if _, ok := f.(*http2.GoAwayFrame); ok {
			goAway = true
		}
	}
}

// wantGoAway reads up to GOAWAY.
func (c *rawH2) wantGoAway() {
	c.t.Helper()
	for {
		if _, ok := c.frame().(*http2.GoAwayFrame); ok {
			return
		}
	}
}
