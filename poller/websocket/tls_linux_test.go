//go:build linux

package websocket

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/poller"
	"rstserver/poller/certs"
)

// Over TLS all is as without: messages larger than records, a drain, and FIN behind close_notify.
func TestOverTLS(t *testing.T) {
	cert, err := certs.SelfSigned("localhost")
	lingertest.Must(t, err)
	eitherWay(t, func(t *testing.T, onLoop bool) {
		srv := &poller.Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
		options := echo(Options{OnLoop: onLoop})
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = Accept(w, r, options) })
		ln, err := poller.Listen(context.Background(), "127.0.0.1:0", false)
		lingertest.Must(t, err)
		serving, result := make(chan netip.AddrPort, 1), make(chan error, 1)
		srv.Serving = func(a netip.AddrPort) { serving <- a }
		go func() { result <- srv.ServeTLS(ln, "", "") }()
		s := &served{Server: srv, addr: <-serving}
		plain := s.dial(t)
		conn := tls.Client(plain.TCPConn, &tls.Config{InsecureSkipVerify: true})
		c := &client{TCPConn: plain.TCPConn, in: bufio.NewReader(conn), t: t}
		say := func(message string) {
			t.Helper()
			_, err := io.WriteString(conn, message)
			lingertest.Must(t, err)
		}
		say(goodHandshake + "\r\n" + frame(0x81, "early"))
		if res := c.answer(); res.StatusCode != 101 {
			t.Fatalf("the answer is %s", res.Status)
		}
		c.want("text early")
		large := strings.Repeat("m", 300_000)
		say(frame(0x82, large))
		if g, err := c.read(); err != nil || g.payload != large {
			t.Fatalf("read %s, %v", g, err)
		}
		drained := make(chan error, 1)
		go func() { drained <- srv.Shutdown(context.Background()) }()
		c.want("close 1001")
		say(closeFrame(1001, ""))
		c.wantAll("FIN")
		lingertest.Must(t, <-drained)
		<-result
		if rep := srv.Report(); rep.Closed != 1 || !rep.Complete() || !rep.Left.Free() {
			t.Errorf("the Report says %+v", rep)
		}
	})
}
