//go:build linux

package poller

import (
	"context"
	"crypto/tls"
	"encoding/binary"
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

// dialBy dials from an address of the loopback network.
func (s *served) dialBy(t *testing.T, ip string) *client {
	t.Helper()
	return s.dialWith(t, net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}})
}

// wantTurnedAway connects a client that is one too many: the reset may come before connect has returned.
func (s *served) wantTurnedAway(t *testing.T, ip string) {
	t.Helper()
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}).Dial("tcp", s.addr.String())
	if err == nil {
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(lingertest.Patience))
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a client that has too many: %v, want ECONNRESET", err)
	}
}

func TestMaxConnsPerClient(t *testing.T) {
	opened, ended := make(chan Conn, 10), make(chan Conn, 10)
	s := start(t, &Server{
		MaxConnsPerClient: 2, ConnOpened: func(c Conn) { opened <- c },
		ConnClosed: func(c Conn) { ended <- c }, ConnAborted: func(c Conn) { ended <- c },
	})
	one, two := s.dialBy(t, "127.0.0.2"), s.dialBy(t, "127.0.0.2")
	one.get("/")
	two.get("/")
	s.wantTurnedAway(t, "127.0.0.2")
	s.dialBy(t, "127.0.0.3").get("/")
	_ = one.Close()
	lingertest.Wait(t, "its end is known", func() bool { return s.Stats().Ended[EndClosed] == 1 })
	s.dialBy(t, "127.0.0.2").get("/")
	st := s.Stats()
	if st.Accepted != 5 || st.Held != 3 || st.Ended != (Ends{EndClosed: 1, EndRefused: 1}) || st.Refused != (Refusals{RefusedConns: 1}) {
		t.Errorf("accepted %d, held %d, ended %v, refused %v", st.Accepted, st.Held, st.Ended, st.Refused)
	}
	if len(opened) != 5 || len(ended) != 2 {
		t.Errorf("hooks: %d opened, %d ended, want 5 and 2", len(opened), len(ended))
	}
}

// A connection that a handler has taken over counts until it ends.
func TestMaxConnsPerClientHijacked(t *testing.T) {
	s := start(t, &Server{MaxConnsPerClient: 1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			defer conn.Close()
			_, _ = io.WriteString(conn, "taken")
			_, _ = io.Copy(io.Discard, conn)
		}
	})})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	_, _ = c.in.ReadByte()
	s.wantTurnedAway(t, "127.0.0.1")
	_ = c.Close()
	lingertest.Wait(t, "its end is known", func() bool { return s.Stats().Held == 0 })
	next := s.dial(t)
	next.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if b, err := next.in.ReadByte(); err != nil || b != 't' {
		t.Errorf("the next connection reads %q, %v", b, err)
	}
}

func TestClientRate(t *testing.T) {
	c := newClients(0, 10)
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::ffff:10.0.0.1")
	enter := func(at time.Duration) (let int) {
		for range 20 {
			if _, ok := c.enter(a, at); ok {
				let++
			}
		}
		return let
	}
	for _, step := range []struct {
		at   time.Duration
		want int
	}{{time.Second, 10}, {time.Second, 0}, {1500 * time.Millisecond, 5}, {10 * time.Second, 10}} {
		if got := enter(step.at); got != step.want {
			t.Errorf("at %s %d are let in, want %d", step.at, got, step.want)
		}
	}
	if why, ok := c.enter(b, 10*time.Second); ok || why != RefusedRate {
		t.Errorf("the same address in another form: %v, %t", why, ok)
	}
	for range 25 {
		c.leave(a)
	}
	other := netip.MustParseAddr("10.0.0.2")
	for i := range c.all {
		c.all[i].sweep(c, time.Hour)
		if n := len(c.all[i].of); n != 0 {
			t.Errorf("%d addresses are remembered", n)
		}
	}
	if _, ok := c.enter(other, time.Hour); !ok {
		t.Error("another address is refused")
	}
}

// proxyV2Of is a header of version 2 for a client of IPv4.
func proxyV2Of(client netip.AddrPort) string {
	b := append([]byte(nil), proxyV2...)
	b = append(b, 0x21, 0x11)
	b = binary.BigEndian.AppendUint16(b, 12)
	b = append(b, client.Addr().AsSlice()...)
	b = append(b, 127, 0, 0, 1)
	b = binary.BigEndian.AppendUint16(b, client.Port())
	b = binary.BigEndian.AppendUint16(b, 80)
	return string(b)
}

func TestProxyProtocol(t *testing.T) {
	opened := make(chan Conn, 20)
	s := start(t, &Server{
		ProxyProtocol: true, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, MaxConnsPerClient: 2,
		ConnOpened: func(c Conn) { opened <- c },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hijack" {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"+conn.RemoteAddr().String())
				return
			}
			_, _ = io.WriteString(w, r.RemoteAddr)
		}),
	})
	if s.tls != nil {
		t.Skip("the header comes before TLS, which the test's client has in front: see TestProxyProtocolTLS")
	}
	const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, c := range map[string]struct{ header, target, want string }{
		"version 1":          {"PROXY TCP4 192.0.2.1 127.0.0.1 1234 80\r\n", "/", "192.0.2.1:1234"},
		"version 1, IPv6":    {"PROXY TCP6 2001:db8::1 ::1 1234 80\r\n", "/", "[2001:db8::1]:1234"},
		"version 2":          {proxyV2Of(netip.MustParseAddrPort("192.0.2.3:55")), "/", "192.0.2.3:55"},
		"version 2, hijack":  {proxyV2Of(netip.MustParseAddrPort("192.0.2.4:56")), "/hijack", "192.0.2.4:56"},
		"version 2, LOCAL":   {string(proxyV2) + "\x20\x00\x00\x00", "/", ""},
		"version 1, UNKNOWN": {"PROXY UNKNOWN\r\n", "/", ""},
	} {
		for _, pieces := range []bool{false, true} {
			cl := s.dial(t)
			all := c.header + strings.Replace(request, "/", c.target, 1)
			if pieces {
				_ = cl.SetNoDelay(true)
				for i := range len(all) {
					cl.send(all[i : i+1])
				}
			} else {
				cl.send(all)
			}
			want := c.want
			if want == "" {
				want = cl.LocalAddr().String()
			}
			if _, got := cl.answer("GET"); got != want {
				t.Errorf("%s (in pieces: %t): RemoteAddr is %s, want %s", name, pieces, got, want)
			}
			if o := <-opened; o.Remote.String() != want {
				t.Errorf("%s: ConnOpened has %s, want %s", name, o.Remote, want)
			}
			_ = cl.Close()
			lingertest.Wait(t, "it has ended", func() bool { return s.Stats().Held == 0 })
		}
	}
	// The bound is the client's.
	for range 2 {
		cl := s.dial(t)
		cl.send("PROXY TCP4 192.0.2.9 127.0.0.1 1 80\r\n" + request)
		cl.answer("GET")
	}
	third := s.dial(t)
	third.send("PROXY TCP4 192.0.2.9 127.0.0.1 1 80\r\n" + request)
	third.wantReset()
	if got := s.conns(t, "peer=192.0.2.9"); len(got) != 2 {
		t.Errorf("peer=192.0.2.9 picks %d connections, want 2", len(got))
	}
	before := s.Stats().Refused[RefusedProxy]
	for _, bad := range []string{request, "PROXY TCP4 x y 1 2\r\n", "PROXY " + strings.Repeat("x", 200), string(proxyV2) + "\x21\x11\xff\xff", string(proxyV2) + "\x21\x11\x00\x00"} {
		cl := s.dial(t)
		cl.send(bad)
		cl.wantReset()
	}
	if n := s.Stats().Refused[RefusedProxy] - before; n != 5 {
		t.Errorf("%d were refused for their header, want 5", n)
	}
	// Who is no trusted proxy is served as itself, and cannot say that it is another.
	direct := s.dialBy(t, "127.0.0.2")
	direct.send(request)
	if _, got := direct.answer("GET"); got != direct.LocalAddr().String() {
		t.Errorf("RemoteAddr of a client that is no proxy is %s", got)
	}
	liar := s.dialBy(t, "127.0.0.3")
	liar.send("PROXY TCP4 192.0.2.1 127.0.0.1 1234 80\r\n" + request)
	if res, _ := liar.answer("GET"); res.StatusCode != 400 {
		t.Errorf("a header from elsewhere is answered with %d, want 400", res.StatusCode)
	}
	st := s.Stats()
	if st.Accepted != st.Held+st.Ended.Total() {
		t.Errorf("accepted %d, held %d, ended %v", st.Accepted, st.Held, st.Ended)
	}
}

// A connection whose header has not come does not hold up a drain.
func TestProxyProtocolDrain(t *testing.T) {
	s := start(t, &Server{ProxyProtocol: true, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Queue: -1})
	silent := s.dial(t)
	lingertest.Wait(t, "it is accepted", func() bool { return s.Stats().Held == 1 })
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := silent.TCPConn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the silent client reads %v, want ECONNRESET", err)
	}
	s.assertGone(t)
}

func TestProxyProtocolOptions(t *testing.T) {
	for _, srv := range []*Server{{ProxyProtocol: true}, {TrustedProxies: []netip.Prefix{netip.MustParsePrefix("::1/128")}}, {ProxyProtocol: true, TrustedProxies: []netip.Prefix{{}}}} {
		if _, err := srv.config(); err == nil {
			t.Errorf("config() of %t and %v has no error", srv.ProxyProtocol, srv.TrustedProxies)
		}
	}
}

func TestSetMaxConns(t *testing.T) {
	s := start(t, &Server{MaxConns: 1})
	first := s.dial(t)
	first.get("/")
	second := s.dial(t)
	second.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	lingertest.Wait(t, "accepting pauses", func() bool { return s.Stats().Paused })
	if err := s.SetMaxConns(3); err != nil {
		t.Fatal(err)
	}
	second.answer("GET")
	if err := s.SetMaxConns(1); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); !st.Paused || st.MaxConns != 1 {
		t.Errorf("after the bound was lowered: paused %t, bound %d", st.Paused, st.MaxConns)
	}
	first.get("/") // lives on
	var files *FileLimitError
	if err := s.SetMaxConns(1 << 30); !errors.As(err, &files) {
		t.Errorf("SetMaxConns(1<<30) = %v, want a FileLimitError", err)
	}
	if err := s.SetMaxConns(-1); err == nil {
		t.Error("SetMaxConns(-1) has no error")
	}
	if err := s.SetMaxBufferedBytes(1 << 20); err != nil || s.Stats().Memory.Bound != 1<<20 {
		t.Errorf("SetMaxBufferedBytes = %v, and the bound %d", err, s.Stats().Memory.Bound)
	}
}

// edgesOfProxies are those of connections that begin with a PROXY header.
func edgesOfProxies(t *testing.T) {
	const header = "PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n"
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	t.Run("behind a proxy", func(t *testing.T) {
		s := start(t, &Server{ProxyProtocol: true, TrustedProxies: trusted, MaxConns: 1, Loops: 1})
		const request = header + "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
		first := s.dial(t)
		first.send(request)
		first.answer("GET")
		lingertest.Must(t, s.run.port.Resume()) // as another loop that has not heard of the pause
		second := s.dial(t)
		s.waitState(t, parked)
		_ = first.Close()
		second.send(request)
		second.answer("GET")
	})
	t.Run("behind a proxy, over TLS", func(t *testing.T) {
		s := start(t, &Server{ProxyProtocol: true, TrustedProxies: trusted, TLSConfig: serverTLS.Clone(), Loops: 1})
		s.tls = nil
		c := s.dial(t)
		c.send(header)
		over := tls.Client(c.TCPConn, clientTLS)
		if err := over.Handshake(); err != nil {
			t.Error(err)
		}
	})
}
