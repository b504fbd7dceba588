//go:build linux

package poller

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// recorder is a net.Conn that has nothing to read.
type recorder struct {
	net.Conn
	bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) { return r.Buffer.Write(p) }
func (r *recorder) Read([]byte) (int, error)    { return 0, io.EOF }
func (r *recorder) Close() error                { return nil }

// clientHello is the first message of a client.
func clientHello() []byte {
	var r recorder
	_ = tls.Client(&r, clientTLS).Handshake()
	return r.Bytes()
}

// fragmented spreads the message of one record over records of n bytes.
func fragmented(record []byte, n int) (b []byte) {
	for message := record[recordHeader:]; len(message) > 0; {
		m := min(n, len(message))
		b = append(append(b, record[0], record[1], record[2], byte(m>>8), byte(m)), message[:m]...)
		message = message[m:]
	}
	return b
}

func TestHelloCame(t *testing.T) {
	hello := clientHello()
	for _, whole := range [][]byte{hello, fragmented(hello, 30), fragmented(hello, 100)} {
		for i := range whole {
			if helloCame(whole[:i]) {
				t.Fatalf("it is taken for whole with %d of %d bytes", i, len(whole))
			}
		}
		if !helloCame(whole) || !helloCame(append(bytes.Clone(whole), 'x')) {
			t.Errorf("it is not found whole with %d bytes", len(whole))
		}
	}
	if tiny := fragmented(hello, 3); !helloCame(tiny[:len(tiny)-1]) || helloCame(tiny[:maxHelloRecords*8-9]) || !helloCame(tiny[:maxHelloRecords*8]) {
		t.Error("the number of records has no bound, or another")
	}
	for name, b := range map[string]string{
		"HTTP": "GET /", "SSLv2": "\x80\x2e\x01\x03\x01", "alert": "\x15\x03\x01\x00\x02\x02\x28", "empty record": "\x16\x03\x01\x00\x00",
		"long record": "\x16\x03\x01\xff\xff", "another message": "\x16\x03\x01\x00\x04\x02\x00\x00\x00",
		"long message": "\x16\x03\x01\x00\x04\x01\x01\x00\x01",
	} {
		for i := range b {
			if helloCame([]byte(b[:i])) {
				t.Errorf("%s: crypto/tls would wait for more than %d of %d bytes", name, i, len(b))
			}
		}
		if !helloCame([]byte(b)) {
			t.Errorf("%s: more is waited for", name)
		}
	}
}

// Clients that do not say all of their first message keep nobody busy.
func TestTLSSilentClients(t *testing.T) {
	s := start(t, &Server{Loops: 1, TLSConfig: serverTLS.Clone()})
	hello := string(clientHello())
	first := s.dial(t)
	first.get("/")
	before := runtime.NumGoroutine()
	const each = 20
	beginnings := []string{"", "\x16\x03", hello[:len(hello)-1], "G", "\x15\x03\x03\x40\x00", "\x16\x03\x01\x40\x00\x02"}
	for i := range len(beginnings) * each {
		s.dialPlain(t).send(beginnings[i%len(beginnings)])
	}
	lingertest.Wait(t, "all are known", func() bool { return s.Report().Connections[linger.Handshake] == len(beginnings)*each })
	first.get("/")
	if n := s.run.handshakes.handlers(); n != 0 {
		t.Errorf("%d handshakes are under way", n)
	}
	if n := runtime.NumGoroutine() - before; n > each/2 {
		t.Errorf("they have cost %d goroutines", n)
	}
	lingertest.Must(t, s.Close())
	s.assertGone(t)
}

// Beyond MaxHandshakes clients wait for their turn, and whoever has made a handshake is served all the while.
func TestMaxHandshakes(t *testing.T) {
	s := start(t, &Server{Loops: 1, TLSConfig: serverTLS.Clone(), MaxHandshakes: 2})
	established := s.dial(t)
	established.get("/")
	hello := string(clientHello())
	var stopped []*client
	for range 2 {
		c := s.dialPlain(t)
		c.send(hello)
		stopped = append(stopped, c)
	}
	lingertest.Wait(t, "two are under way", func() bool { return s.run.handshakes.handlers() == 2 })
	waiting := s.dial(t)
	waiting.send(getRoot)
	queued := func() int {
		s.run.handshakes.mu.Lock()
		defer s.run.handshakes.mu.Unlock()
		return s.run.handshakes.queue.Len()
	}
	lingertest.Wait(t, "the third waits", func() bool { return queued() == 1 })
	left := s.dialPlain(t)
	left.send(hello)
	lingertest.Wait(t, "the fourth waits", func() bool { return queued() == 2 })
	_ = left.SetLinger(0)
	_ = left.TCPConn.Close()
	lingertest.Wait(t, "the fourth, which has left, waits no more", func() bool { return queued() == 1 })
	established.get("/")
	_ = stopped[0].SetLinger(0)
	_ = stopped[0].TCPConn.Close()
	waiting.answer("GET")
	lingertest.Wait(t, "one handshake is left", func() bool { return s.Report().Connections[linger.Handshake] == 1 })
}

func TestHandshakeTimeout(t *testing.T) {
	s := start(t, &Server{Loops: 1, TLSConfig: serverTLS.Clone()})
	hello := string(clientHello())
	in := func(want state) func(*conn) bool {
		return func(c *conn) bool { return c.state == want && !c.readable() }
	}
	silent := s.dialPlain(t)
	s.timeOut(t, handshakeTimeout, in(greeting))
	silent.wantEOF()
	_ = silent.SetLinger(0)
	_ = silent.Close()

	half := s.dialPlain(t)
	half.send(hello[:100])
	s.timeOut(t, handshakeTimeout, func(c *conn) bool { return c.state == greeting && len(c.in) > 0 })
	half.wantReset()

	stopped := s.dialPlain(t)
	stopped.send(hello)
	s.timeOut(t, handshakeTimeout, in(shaking))
	if _, err := stopped.ended(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a client that stops in the middle reads %v", err)
	}
	lingertest.Wait(t, "nothing is left", func() bool { return s.run.live.Load() == 0 && s.run.handshakes.handlers() == 0 })
	if !s.log.Contains("HandshakeTimeout") {
		t.Error("the log says nothing")
	}
}

// What is no handshake ends the connection, and nothing else.
func TestTLSGarbage(t *testing.T) {
	s := start(t, &Server{TLSConfig: serverTLS.Clone()})
	hello := string(clientHello())
	for _, tt := range []struct{ name, sent, want string }{
		{"HTTP", getRoot, string(plainRequest)},
		{"HTTP, an upload", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000), string(plainRequest)},
		{"garbage", "no TLS at all", ""},
		{"zeros", strings.Repeat("\x00", 1000), ""},
		{"SSLv2", "\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10", ""},
		{"a long record", "\x16\x03\x01\xff\xff" + strings.Repeat("x", 1<<16), "\x15"},
		{"another message", "\x16\x03\x01\x00\x04\x02\x00\x00\x00", "\x15"},
		{"a long message", "\x16\x03\x01\x00\x04\x01\xff\xff\xff", "\x15"},
		{"a ClientHello without sense", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "\x15"},
		{"two of them", hello + hello, "\x16"},
		{"an alert", "\x15\x03\x01\x00\x02\x02\x28", ""},
		{"data behind a ClientHello", hello + "\x17\x03\x03\x00\x05hello", "\x16"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := s.dialPlain(t)
			c.send(tt.sent)
			if got, err := c.ended(); !strings.HasPrefix(got, tt.want) || err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("it ended with %v after %.60q, want %.60q", err, got, tt.want)
			}
			_ = c.SetLinger(0)
			_ = c.Close()
			lingertest.Wait(t, "it is gone", func() bool { return s.run.live.Load() == 0 })
		})
	}
	if !s.log.Contains("level=DEBUG msg=\"TLS handshake failed\"") || s.log.Contains("level=ERROR") || s.log.Contains("level=WARN") {
		t.Error("the log should speak of them at debug, and only there")
	}
	s.dial(t).get("/")
}

// Clients that go away in any flight of the handshake leave nothing behind.
func TestTLSClientsThatLeave(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, config *tls.Config) {
		s := start(t, &Server{TLSConfig: server})
		for i := range 40 {
			c := s.dialPlain(t)
			writes := 0
			c.tls = tls.Client(&leaving{TCPConn: c.TCPConn, writes: &writes, last: 1 + i%2, fin: i%4 < 2}, config)
			_ = c.tls.Handshake()
		}
		lingertest.Wait(t, "nothing is left", func() bool { return s.run.live.Load() == 0 && s.run.handshakes.handlers() == 0 })
		s.dial(t).get("/")
	})
}

// leaving ends the connection with its last write, by FIN or RST.
type leaving struct {
	*net.TCPConn
	writes *int
	last   int
	fin    bool
}

func (l *leaving) Write(p []byte) (int, error) {
	if *l.writes++; *l.writes < l.last {
		return l.TCPConn.Write(p)
	}
	_, _ = l.TCPConn.Write(p[:len(p)/2])
	if !l.fin {
		_ = l.TCPConn.SetLinger(0)
	}
	_ = l.TCPConn.Close()
	return 0, net.ErrClosed
}

// Functions of the configuration may wait, and others make their handshakes meanwhile.
func TestTLSCallbacksMayWait(t *testing.T) {
	cert, pool := newCertificate("localhost", "slow.test")
	waits := computingPerProcessor * runtime.GOMAXPROCS(0) // as many as may compute
	called, goOn := make(chan struct{}, waits), make(chan struct{}, waits)
	wait := func(name string) {
		if name == "slow.test" {
			called <- struct{}{}
			<-goOn
		}
	}
	verify := func(state tls.ConnectionState) error { wait(state.ServerName); return nil }
	for _, tt := range []struct {
		by  string
		set func(*tls.Config)
	}{
		{"GetCertificate", func(c *tls.Config) {
			c.Certificates = nil
			c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { wait(hello.ServerName); return &cert, nil }
		}},
		{"GetConfigForClient", func(c *tls.Config) {
			given := c.Clone()
			c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) { wait(hello.ServerName); return given, nil }
		}},
		{"VerifyConnection", func(c *tls.Config) { c.VerifyConnection = verify }},
		{"VerifyConnection behind GetConfigForClient", func(c *tls.Config) {
			given := c.Clone()
			given.VerifyConnection = verify
			c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) { return given, nil }
		}},
		{"VerifyPeerCertificate", func(c *tls.Config) {
			c.ClientAuth = tls.RequestClientCert
			c.VerifyPeerCertificate = func(certs [][]byte, _ [][]*x509.Certificate) error {
				if len(certs) > 0 {
					wait("slow.test")
				}
				return nil
			}
		}},
		{"WrapSession", func(c *tls.Config) {
			c.WrapSession = func(state tls.ConnectionState, _ *tls.SessionState) ([]byte, error) {
				wait(state.ServerName)
				return []byte("x"), nil
			}
		}},
	} {
		t.Run(tt.by, func(t *testing.T) {
			config := &tls.Config{Certificates: []tls.Certificate{cert}}
			tt.set(config)
			s := start(t, &Server{TLSConfig: config})
			slow := make(chan error, waits)
			client := &tls.Config{RootCAs: pool, ServerName: "slow.test", Certificates: []tls.Certificate{cert},
				ClientSessionCache: tls.NewLRUClientSessionCache(1)}
			for range waits {
				c := s.dialPlain(t)
				c.tls = tls.Client(c.TCPConn, client)
				go func() {
					_, err := io.WriteString(c.tls, getRoot)
					if err == nil {
						_, err = c.tls.Read(make([]byte, 1))
					}
					slow <- err
				}()
			}
			for range waits {
				<-called
			}
			quick, _ := s.dialTLS(t, &tls.Config{RootCAs: pool, ServerName: "localhost"})
			quick.get("/")
			for range waits {
				goOn <- struct{}{}
			}
			for range waits {
				lingertest.Must(t, <-slow)
			}
		})
	}
}

// A panic in a function of the configuration costs its connection, and a context that ends with the handshake tells it.
func TestTLSCallbackPanics(t *testing.T) {
	s := start(t, &Server{TLSConfig: &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		switch hello.ServerName {
		case "panic.test":
			panic("for the test")
		case "wait.test":
			<-hello.Context().Done()
			return nil, hello.Context().Err()
		}
		return &serverTLS.Certificates[0], nil
	}}})
	for range computingPerProcessor * runtime.GOMAXPROCS(0) { // as many as may compute
		c := s.dialPlain(t)
		c.tls = tls.Client(c.TCPConn, &tls.Config{ServerName: "panic.test"})
		if err := c.tls.Handshake(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after a panic: %v", err)
		}
	}
	c := s.dialPlain(t)
	c.tls = tls.Client(c.TCPConn, &tls.Config{ServerName: "wait.test"})
	ended := make(chan error, 1)
	go func() { ended <- c.tls.Handshake() }()
	lingertest.Wait(t, "it waits", func() bool { return s.run.handshakes.handlers() == 1 })
	s.dial(t).get("/")
	lingertest.Must(t, s.Close())
	if err := <-ended; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after Close: %v", err)
	}
	lingertest.Wait(t, "the function has returned", func() bool { return s.run.handshakes.handlers() == 0 })
}

// sealer writes records of TLS 1.3 with keys of the test's own, as crypto/tls's client has no KeyUpdate to send.
type sealer struct {
	secret []byte
	seq    byte
}

func expand(secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	info := append([]byte{0, byte(n), byte(len(label))}, label...)
	b, err := hkdf.Expand(sha256.New, secret, string(append(info, 0)), n)
	if err != nil {
		panic(err)
	}
	return b
}

func (s *sealer) seal(kind byte, content string) string {
	block, err := aes.NewCipher(expand(s.secret, "key", 16))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	nonce := expand(s.secret, "iv", 12)
	nonce[11] ^= s.seq
	s.seq++
	inner := append([]byte(content), kind)
	n := len(inner) + aead.Overhead()
	head := []byte{23, 3, 3, byte(n >> 8), byte(n)}
	return string(aead.Seal(head, nonce, inner, head))
}

func (s *sealer) keyUpdate() string {
	record := s.seal(22, "\x18\x00\x00\x01\x01") // update_requested
	s.secret, s.seq = expand(s.secret, "traffic upd", 32), 0
	return record
}

// A client can change its keys and have the server change its own; without end it cannot.
func TestTLSKeyUpdate(t *testing.T) {
	for _, target := range []string{"/", "/handler"} {
		s := start(t, secureBoth(serverTLS.Clone(), func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			w.Write(b)
		}))
		var log bytes.Buffer
		config := clientTLS.Clone()
		config.KeyLogWriter = &log
		c, _ := s.dialTLS(t, config)
		if c.tls.ConnectionState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
			t.Fatalf("the cipher suite is %s", tls.CipherSuiteName(c.tls.ConnectionState().CipherSuite))
		}
		var k sealer
		for lines := bufio.NewScanner(&log); lines.Scan(); {
			if fields := strings.Fields(lines.Text()); fields[0] == "CLIENT_TRAFFIC_SECRET_0" {
				k.secret, _ = hex.DecodeString(fields[2])
			}
		}
		send := func(records string) {
			if _, err := io.WriteString(c.TCPConn, records); err != nil {
				t.Fatal(err)
			}
		}
		post := "POST " + target + " HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
		for range 3 {
			send(k.seal(23, post[:20]) + k.keyUpdate() + k.seal(23, post[20:]) + k.keyUpdate() + k.seal(23, "hello") + k.keyUpdate())
			if res, _ := c.answer("POST"); res.StatusCode != 200 {
				t.Errorf("answer = %s", res.Status)
			}
		}
		// While a handler waits for its content.
		send(k.seal(23, "POST /handler HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"))
		s.waitConn(t, "it is with the handler", func(c *conn) bool { return c.lease != nil })
		send(k.keyUpdate() + k.seal(23, "hello"))
		c.answer("POST")
		send(strings.Repeat(k.seal(23, ""), 1))
		var flood strings.Builder
		for range 100 {
			flood.WriteString(k.keyUpdate())
		}
		_, _ = io.WriteString(c.TCPConn, flood.String())
		if _, err := c.ended(); err == nil {
			t.Error("a flood of KeyUpdate messages ends in order")
		}
		_ = c.SetLinger(0)
		_ = c.TCPConn.Close()
		lingertest.Wait(t, "it is gone", func() bool { return s.run.live.Load() == 0 })
		s.dial(t).get("/")
	}
}
