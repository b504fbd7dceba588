//go:build linux

package poller

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"net/netip"
	"testing"

	"golang.org/x/net/http2"

	"rstserver/internal/lingertest"
)

// The header is beneath TLS, and the client that it names has so many connections and no more, whatever is spoken on them.
func TestProxyProtocolTLS(t *testing.T) {
	s := start(t, &Server{
		ProxyProtocol: true, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, TLSConfig: serverTLS.Clone(), MaxConnsPerClient: 1,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr+" "+r.Proto) }),
	})
	from := func(header string) *client {
		plain := s.tls
		s.tls = nil
		c := s.dial(t)
		s.tls = plain
		c.send(header)
		return c
	}
	const header = "PROXY TCP4 192.0.2.1 127.0.0.1 1234 80\r\n"
	bounded := func(proto string, refused int64) {
		from(header).wantReset()
		if n := s.Stats().Refused[RefusedConns]; n != refused {
			t.Errorf("over %s: %d connections of a client with one are refused, want %d", proto, n, refused)
		}
	}
	for _, proto := range []string{"http/1.1", "h2"} {
		lingertest.Wait(t, "the client has no connection", func() bool { return s.Stats().Held == 0 })
		c := from(header)
		config := clientTLS.Clone()
		config.NextProtos = []string{proto}
		over := tls.Client(c.TCPConn, config)
		want := "192.0.2.1:1234 HTTP/1.1"
		if proto == "h2" {
			want = "192.0.2.1:1234 HTTP/2.0"
			cc, err := new(http2.Transport).NewClientConn(over)
			if err != nil {
				t.Fatal(err)
			}
			req, _ := http.NewRequest("GET", "https://x/", nil)
			res, err := cc.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			bounded(proto, 2)
			_ = cc.Close()
			if string(got) != want {
				t.Errorf("over %s: %s, want %s", proto, got, want)
			}
			continue
		}
		_, _ = io.WriteString(over, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(over), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(res.Body); string(got) != want {
			t.Errorf("over %s: %s, want %s", proto, got, want)
		}
		bounded(proto, 1)
		_ = over.Close()
	}
	lingertest.Wait(t, "the client has no connection", func() bool { return s.Stats().Held == 0 })
}
