//go:build linux

package poller

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/httpcodec"
	"rstserver/internal/lingertest"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// wire is the TCP connection below a client's TLS, as a test wants it.
type wire struct {
	*net.TCPConn
	pieces int          // of a Write, in bytes; 0: as they are
	held   bool         // what is written waits
	hold   bytes.Buffer // for release
	read   bytes.Buffer // everything that came
}

func (w *wire) Write(p []byte) (int, error) {
	if w.held {
		return w.hold.Write(p)
	}
	for rest := p; len(rest) > 0; {
		n := len(rest)
		if w.pieces > 0 {
			n = min(n, w.pieces)
		}
		if _, err := w.TCPConn.Write(rest[:n]); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.TCPConn.Read(p)
	w.read.Write(p[:n])
	return n, err
}

// release sends what was held.
func (w *wire) release(t *testing.T) {
	t.Helper()
	w.held = false
	_, err := w.Write(w.hold.Bytes())
	lingertest.Must(t, err)
}

// dialTLS returns a client that has made its handshake, on a wire of the test's.
func (s *served) dialTLS(t *testing.T, config *tls.Config) (*client, *wire) {
	t.Helper()
	c := s.dialPlain(t)
	w := &wire{TCPConn: c.TCPConn}
	c.tls = tls.Client(w, config)
	if err := c.tls.Handshake(); err != nil {
		t.Fatalf("TLS handshake: %v", err)
	}
	c.sent = make(chan struct{})
	close(c.sent)
	return c, w
}

// dialPlain returns a client that speaks no TLS.
func (s *served) dialPlain(t *testing.T) *client {
	t.Helper()
	speaks := s.tls
	s.tls = nil
	defer func() { s.tls = speaks }()
	return s.dial(t)
}

// eachVersion runs a test with each version of TLS.
func eachVersion(t *testing.T, f func(t *testing.T, server, client *tls.Config)) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			client := clientTLS.Clone()
			client.MinVersion, client.MaxVersion = version, version
			f(t, serverTLS.Clone(), client)
		})
	}
}

func notHandler(r *httpcodec.Request) bool { return string(r.Path) != "/handler" }

// secureBoth serves the paths under /handler by h, and others on the loop.
func secureBoth(server *tls.Config, h http.HandlerFunc) *Server {
	return &Server{Loops: 1, TLSConfig: server, Handler: h, LoopHandler: LoopHandlerFunc(bytesHandler), OnLoop: notHandler}
}

// What a request and its connection look like behind TLS.
func TestTLS(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		type key struct{}
		srv := &Server{
			Loops: 1, TLSConfig: server, OnLoop: notHandler,
			LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) { fmt.Fprint(w, r.TLS().Version, r.TLS().HandshakeComplete) }),
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c := r.Context().Value(key{}).(*tls.Conn)
				fmt.Fprint(w, r.TLS.Version, c.ConnectionState().HandshakeComplete, c.RemoteAddr().String() == r.RemoteAddr)
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, errOwned) {
					t.Errorf("Read on the connection of ConnContext = %v", err)
				}
			}),
			ConnContext: func(ctx context.Context, c net.Conn) context.Context {
				if !c.(*tls.Conn).ConnectionState().HandshakeComplete {
					t.Error("ConnContext is called before the handshake")
				}
				return context.WithValue(ctx, key{}, c)
			},
		}
		s := start(t, srv)
		c, _ := s.dialTLS(t, client)
		if got, want := c.get("/"), fmt.Sprint(client.MinVersion, true); got != want {
			t.Errorf("on the loop: %s, want %s", got, want)
		}
		c.send(getWorld)
		if _, got := c.answer("GET"); got != fmt.Sprint(client.MinVersion, true, true) {
			t.Errorf("in the handler: %s", got)
		}
	})
}

// What somebody else does with a connection that belongs to the server ends that connection, and no other.
func TestTLSConnIsNobodyElses(t *testing.T) {
	var kept *tls.Conn
	srv := secureBoth(serverTLS.Clone(), func(w http.ResponseWriter, r *http.Request) {})
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		kept = c.(*tls.Conn)
		return ctx
	}
	s := start(t, srv)
	c := s.dial(t)
	c.send(getWorld)
	c.answer("GET")
	c.tls.Close()
	c.TCPConn.Close()
	lingertest.Wait(t, "it is gone", func() bool { return s.run.live.Load() == 0 })
	if n, err := kept.Write([]byte("x")); err == nil {
		t.Errorf("Write wrote %d bytes to a descriptor that is somebody else's by now", n)
	}
	if n, err := kept.Read(make([]byte, 1)); err == nil {
		t.Errorf("Read read %d bytes from it", n)
	}
}

// Contents that are larger than every buffer, in both directions, on the loop and in a handler, whatever pieces the records come in.
func TestTLSContents(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, config *tls.Config) {
		const size = 1 << 20
		srv := secureBoth(server, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
		srv.LoopContent = func(*httpcodec.Request) int64 { return size }
		srv.LoopHandler = LoopHandlerFunc(func(w *Responder, r *Request) {
			w.SetContent(bytes.NewReader(bytes.Clone(r.Body)), int64(len(r.Body)))
		})
		s := start(t, srv)
		content := strings.Repeat("0123456789abcdef", size/16)
		for _, target := range []string{"/", "/handler"} {
			for _, pieces := range []int{0, 16<<10 + 100} {
				c, w := s.dialTLS(t, config)
				w.pieces = pieces
				go c.tls.Write([]byte(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", target, size, content)))
				if _, got := c.answer("POST"); got != content {
					t.Errorf("POST %s in pieces of %d: %d bytes came back, want %d", target, pieces, len(got), size)
				}
			}
			c, w := s.dialTLS(t, config)
			w.pieces = 1
			for range 2 {
				c.send(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n%s", target, content[:500]))
				if _, got := c.answer("POST"); got != content[:500] {
					t.Errorf("POST %s byte by byte: %d bytes came back", target, len(got))
				}
			}
		}
	})
}

// A request that comes together with the end of the handshake, and those behind it, are not left in TLS's buffers.
func TestTLSRequestsInOnePiece(t *testing.T) {
	for _, target := range []string{"/", "/handler"} {
		srv := secureBoth(serverTLS.Clone(), func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
		s := start(t, srv)
		c := s.dialPlain(t)
		w := &wire{TCPConn: c.TCPConn}
		config := clientTLS.Clone()
		config.MinVersion = tls.VersionTLS13
		hello := true
		config.GetClientCertificate = nil
		c.tls = tls.Client(&corked{wire: w, hello: &hello}, config)
		lingertest.Must(t, c.tls.Handshake())
		request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", target)
		for range 3 {
			_, err := c.tls.Write([]byte(request + request))
			lingertest.Must(t, err)
		}
		w.release(t)
		for range 6 {
			c.answer("POST")
		}
		// And as one record.
		_, err := c.tls.Write([]byte(strings.Repeat(request, 4)))
		lingertest.Must(t, err)
		for range 4 {
			c.answer("POST")
		}
	}
}

// corked holds back all that is written after the ClientHello.
type corked struct {
	*wire
	hello *bool
}

func (c *corked) Write(p []byte) (int, error) {
	n, err := c.wire.Write(p)
	if *c.hello {
		*c.hello, c.wire.held = false, true
	}
	return n, err
}

// Connections that end in order say so; aborts say nothing before the RST.
func TestTLSEnds(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, config *tls.Config) {
		release := make(chan struct{})
		s := start(t, secureBoth(server, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Query().Get("do") {
			case "wait":
				<-release
			case "panic":
				w.Header().Set("Content-Length", "100")
				w.Write([]byte("short"))
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
		}))
		for _, end := range []string{"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "GET /handler HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
			"nonsense\r\n\r\n", "GET /handler HTTP/1.0\r\n\r\n"} {
			c, _ := s.dialTLS(t, config)
			c.send(end)
			c.answer("GET")
			c.wantEOF() // without close_notify crypto/tls says io.ErrUnexpectedEOF
		}
		idle, _ := s.dialTLS(t, config)
		idle.get("/")
		s.timeOut(t, idleTimeout, func(*conn) bool { return true })
		idle.wantEOF()
		_ = idle.TCPConn.Close()

		cut, w := s.dialTLS(t, config)
		cut.send("GET /handler?do=panic HTTP/1.1\r\nHost: x\r\n\r\n")
		wantSilentReset(t, cut, w)

		c, w := s.dialTLS(t, config)
		c.get("/")
		handling, w2 := s.dialTLS(t, config)
		handling.send("GET /handler?do=wait HTTP/1.1\r\nHost: x\r\n\r\n")
		s.waitConn(t, "it is handled", (*conn).isHandled)
		lingertest.Must(t, s.Close())
		close(release)
		wantSilentReset(t, c, w)
		wantSilentReset(t, handling, w2)
	})
}

// wantSilentReset wants ECONNRESET, and no alert before it.
func wantSilentReset(t *testing.T, c *client, w *wire) {
	t.Helper()
	_, err := c.ended()
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended with %v, want ECONNRESET", err)
	}
	for b := w.read.Bytes(); len(b) >= recordHeader; {
		if b[0] == 21 {
			t.Error("an alert came before the reset") // in TLS 1.3 all types look alike: the error above says it then
		}
		b = b[min(len(b), recordHeader+int(b[3])<<8+int(b[4])):]
	}
}

// A client that has ended its side still gets its answer; FIN alone ends no content.
func TestTLSHalfClose(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, config *tls.Config) {
		read := make(chan error, 1)
		done := make(chan error, 1)
		s := start(t, secureBoth(server, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("wait") {
				<-r.Context().Done()
				done <- context.Cause(r.Context())
			}
			b, err := io.ReadAll(r.Body)
			read <- err
			w.Write(b)
		}))
		for _, target := range []string{"/", "/handler"} {
			c, _ := s.dialTLS(t, config)
			c.send("POST " + target + " HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
			lingertest.Must(t, c.tls.CloseWrite())
			if res, _ := c.answer("POST"); res.StatusCode != 200 {
				t.Errorf("after close_notify: %s", res.Status)
			}
			c.wantEOF()
			if target == "/handler" {
				lingertest.Must(t, <-read)
			}
		}
		for _, end := range []struct {
			name string
			ends func(*client) error
		}{
			{"close_notify", func(c *client) error { return c.tls.CloseWrite() }},
			{"FIN alone", func(c *client) error { return c.TCPConn.CloseWrite() }},
		} {
			c, _ := s.dialTLS(t, config)
			c.send("POST /handler HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel")
			s.waitConn(t, "it is with the handler", func(c *conn) bool { return c.lease != nil })
			lingertest.Must(t, end.ends(c))
			if err := <-read; !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: content that is cut short is read with %v", end.name, err)
			}
			c.answer("POST")

			c, _ = s.dialTLS(t, config)
			c.send("GET /handler?wait HTTP/1.1\r\nHost: x\r\n\r\n")
			s.waitConn(t, "it is handled", (*conn).isHandled)
			lingertest.Must(t, end.ends(c))
			if err := <-done; err != errHalfClosed {
				t.Errorf("%s: the context ended with %v", end.name, err)
			}
			lingertest.Must(t, <-read)
			c.answer("GET")
			c.wantEOF()
		}
		// What comes in place of the end is the next request.
		c, _ := s.dialTLS(t, config)
		c.send("GET /handler?wait HTTP/1.1\r\nHost: x\r\n\r\n")
		s.waitConn(t, "it is handled", (*conn).isHandled)
		c.send(getRoot)
		x := s.run.pool.busy()[0]
		lingertest.Wait(t, "it has been read", func() bool { return !x.body.nothingBehind() })
		x.end(context.Canceled) // lets the handler return
		<-done
		<-read
		c.answer("GET")
		c.answer("GET")
	})
}

// A handler that takes the connection over gets the tls.Conn, with what the client has sent already, and Close still resets it.
func TestTLSHijack(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, config *tls.Config) {
		s := start(t, secureBoth(server, func(w http.ResponseWriter, r *http.Request) {
			conn, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Errorf("Hijack = %v", err)
				return
			}
			if _, ok := conn.(*tls.Conn); !ok {
				t.Errorf("Hijack gives a %T", conn)
			}
			line, err := rw.ReadString('\n')
			if err != nil {
				t.Errorf("reading what came: %v", err)
			}
			io.WriteString(conn, line)
			if r.URL.Query().Has("stay") {
				io.Copy(conn, rw)
			}
			conn.Close()
		}))
		c, _ := s.dialTLS(t, config)
		c.send("GET /handler HTTP/1.1\r\nHost: x\r\n\r\nhello\n")
		if got, err := c.ended(); got != "hello\n" || err != nil {
			t.Errorf("the connection came to %q, %v", got, err)
		}
		_ = c.SetLinger(0)
		_ = c.TCPConn.Close()
		c, _ = s.dialTLS(t, config)
		c.send("GET /handler?stay HTTP/1.1\r\nHost: x\r\n\r\n")
		for range 3 {
			c.send("hello\n")
			if got, err := c.in.ReadString('\n'); got != "hello\n" {
				t.Fatalf("the echo is %q, %v", got, err)
			}
		}
		if n := s.Report().Connections[linger.Hijacked]; n != 1 {
			t.Errorf("%d hijacked connections are known, want 1", n)
		}
		lingertest.Must(t, s.Close())
		c.wantReset()
		s.assertGone(t)
	})
}

// Records are as full as they can be, also with configurations that GetConfigForClient returns, whose sessions are resumed.
func TestTLSConfigForClient(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, config *tls.Config) {
		given := server.Clone()
		outer := &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if hello.Conn.RemoteAddr() == nil {
				t.Error("the ClientHelloInfo has no address")
			}
			return given, nil
		}}
		s := start(t, &Server{TLSConfig: outer, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
			w.Write(make([]byte, 64<<10))
		})})
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for i := range 3 {
			c, w := s.dialTLS(t, config)
			from := w.read.Len()
			c.get("/")
			if got := c.tls.ConnectionState().DidResume; got != (i > 0) {
				t.Errorf("connection %d resumes a session: %t", i, got)
			}
			if c.tls.ConnectionState().NegotiatedProtocol != "" {
				t.Error("a protocol was negotiated that was not asked for")
			}
			c.get("/")
			largest := 0
			for b := w.read.Bytes()[from:]; len(b) >= recordHeader; {
				n := int(b[3])<<8 + int(b[4])
				largest = max(largest, n)
				b = b[min(len(b), recordHeader+n):]
			}
			if largest < 16<<10 && from == 0 {
				t.Errorf("the largest record has %d bytes", largest)
			}
			_ = c.tls.Close()
		}
	})
}

// Keys of session tickets that the configuration of GetConfigForClient is given, at any time, are those that count.
func TestTLSTicketKeys(t *testing.T) {
	eachVersion(t, func(t *testing.T, given, config *tls.Config) {
		given.SetSessionTicketKeys([][32]byte{{1}})
		s := start(t, &Server{TLSConfig: &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return given, nil }}})
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		resumes := func() bool {
			c, _ := s.dialTLS(t, config)
			c.get("/")
			_ = c.tls.Close()
			return c.tls.ConnectionState().DidResume
		}
		if resumes() || !resumes() {
			t.Error("the second connection does not resume the session of the first")
		}
		given.SetSessionTicketKeys([][32]byte{{2}})
		if resumes() {
			t.Error("a session is resumed by a key that has been withdrawn")
		}
		given.SetSessionTicketKeys([][32]byte{{3}, {2}})
		if !resumes() {
			t.Error("a session is not resumed by the key before")
		}
	})
}

func TestTLSProtocols(t *testing.T) {
	server := serverTLS.Clone()
	server.NextProtos = []string{"h2", "http/1.1", "acme-tls/1"} // as autocert has it
	s := start(t, &Server{TLSConfig: server})
	for _, offers := range [][]string{{"http/1.1"}, {"http/1.0", "http/1.1"}, nil, {"h2", "http/1.1"}} {
		config := clientTLS.Clone()
		config.NextProtos = offers
		c, _ := s.dialTLS(t, config)
		want := ""
		if len(offers) > 0 {
			want = strings.Replace(offers[0], "http/1.0", "http/1.1", 1)
		}
		if got := c.tls.ConnectionState().NegotiatedProtocol; got != want {
			t.Errorf("of %q it chose %q, want %q", offers, got, want)
		}
		if want != "h2" {
			c.get("/")
		}
	}
}

func TestTLSClientCertificates(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, config *tls.Config) {
		cert, pool := newCertificate("client.test")
		server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, pool
		s := start(t, secureBoth(server, func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
		}))
		known := config.Clone()
		known.Certificates = []tls.Certificate{cert}
		c, _ := s.dialTLS(t, known)
		c.send(getWorld)
		if _, got := c.answer("GET"); got != "client.test" {
			t.Errorf("the client is %q", got)
		}
		c = s.dialPlain(t)
		c.tls = tls.Client(c.TCPConn, config)
		err := c.tls.Handshake()
		if err == nil { // TLS 1.3: it learns of it later
			_, err = c.tls.Read(make([]byte, 1))
		}
		if err == nil || !strings.Contains(err.Error(), "remote error: tls") {
			t.Errorf("a client without a certificate: %v", err)
		}
	})
}

func TestServeTLSErrors(t *testing.T) {
	listen := func() net.Listener { return listenAlone(t) }
	for _, tt := range []struct {
		name string
		err  error
		want []string
	}{
		{"tls.NewListener", (&Server{}).Serve(tls.NewListener(listen(), serverTLS)), []string{"ServeTLS", "tls.NewListener"}},
		{"no certificate", (&Server{}).ServeTLS(listen(), "", ""), []string{"GetCertificate", "files"}},
		{"no file", (&Server{}).ServeTLS(listen(), "missing.pem", "missing.key"), []string{"missing.pem", "missing.key"}},
		{"no file, no port", (&Server{Addr: "127.0.0.1:0"}).ListenAndServeTLS("missing.pem", "missing.key"), []string{"missing.pem"}},
		{"nil", (&Server{TLSConfig: serverTLS}).ServeTLS(nil, "", ""), []string{"nil"}},
		{"negative", (&Server{MaxHandshakes: -1, TLSConfig: serverTLS}).ServeTLS(listen(), "", ""), []string{"MaxHandshakes"}},
	} {
		t.Run(tt.name, func(t *testing.T) { lingertest.ExpectError(t, tt.err, tt.want...) })
	}
}

// A drain lets answers come to their ends, and resets who is idle; a Release keeps both.
func TestTLSLettingGo(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, config *tls.Config) {
		for _, release := range []bool{false, true} {
			goOn := make(chan struct{})
			s := start(t, secureBoth(server, func(w http.ResponseWriter, r *http.Request) { <-goOn }))
			idle, w := s.dialTLS(t, config)
			idle.get("/")
			busy, _ := s.dialTLS(t, config)
			busy.send(getWorld)
			s.waitConn(t, "it is handled", (*conn).isHandled)
			ended := make(chan error, 1)
			if release {
				lingertest.Must(t, s.Release())
				idle.get("/")
				close(goOn)
				busy.answer("GET")
				busy.get("/")
				_ = idle.tls.Close()
				_ = idle.TCPConn.Close()
				_ = busy.tls.Close()
				_ = busy.TCPConn.Close()
				if err := s.wait(t); !errors.Is(err, ErrServerClosed) {
					t.Errorf("Serve = %v", err)
				}
			} else {
				go func() { ended <- s.Shutdown(context.Background()) }()
				wantSilentReset(t, idle, w)
				close(goOn)
				if res, _ := busy.answer("GET"); !res.Close {
					t.Error("the last answer does not say so")
				}
				busy.tls.Close()
				busy.TCPConn.Close()
				lingertest.Must(t, <-ended)
			}
		}
	})
}

func (c *conn) isHandled() bool { return c.state == handling }

// A request of which part of a record has come before a drain has its answer, as one of which part of the head has come.
func TestTLSDrainWithPartOfARecord(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, config *tls.Config) {
		goOn, end := make(chan struct{}), make(chan struct{})
		s := start(t, secureBoth(server, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("stay") { // so that the drain does
				<-end
				return
			}
			w.Header().Set("Content-Length", "0")
			w.(http.Flusher).Flush() // it does not say that it is the last
			<-goOn
		}))
		defer close(end)
		stays, _ := s.dialTLS(t, config)
		stays.send("GET /handler?stay HTTP/1.1\r\nHost: x\r\n\r\n")
		s.waitConn(t, "it is handled", (*conn).isHandled)
		c, w := s.dialTLS(t, config)
		c.send(getWorld)
		var x *exchange
		s.waitConn(t, "it is handled too", func(h *conn) bool {
			if h.id == 2 && h.isHandled() {
				x = h.lease
			}
			return x != nil
		})
		w.held = true
		c.send(getRoot)
		_, err := w.TCPConn.Write(w.hold.Next(w.hold.Len() / 2))
		lingertest.Must(t, err)
		lingertest.Wait(t, "it has been read", func() bool {
			x.mu.Lock()
			defer x.mu.Unlock()
			return x.tls.cut()
		})
		go s.Shutdown(context.Background())
		lingertest.Wait(t, "the drain has begun", s.run.draining)
		onLoop(s.run.loops[0], func() {})
		close(goOn)
		lingertest.Wait(t, "the loop has it again", func() (back bool) {
			onLoop(x.loop, func() { back = x.conn.lease == nil })
			return back
		})
		c.answer("GET")
		w.release(t)
		if res, _ := c.answer("GET"); !res.Close {
			t.Error("the last answer does not say so")
		}
	})
}

// TestTLSDrainAfterHandshake leaves a client that has made its handshake in a drain the time to send its request, and no more.
func TestTLSDrainAfterHandshake(t *testing.T) {
	for _, sends := range []bool{true, false} {
		queue := lingertest.Patience
		if !sends {
			queue = 50 * time.Millisecond
		}
		s := start(t, &Server{TLSConfig: serverTLS.Clone(), Loops: 1, Spread: 10 * time.Millisecond, Queue: queue, Handler: newGate()})
		busy := s.dial(t)
		busy.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n") // it keeps the drain from its end
		<-s.Handler.(*gate).entered
		c := s.dialPlain(t)
		s.waitState(t, greeting)
		onLoop(s.run.loops[0], func() { s.run.loops[0].ending = true }) // as if the drain had come to it as its handshake began
		result := s.shutdown(t, context.Background())
		c.tls = tls.Client(c.TCPConn, s.tls)
		lingertest.Must(t, c.tls.Handshake())
		if sends {
			s.waitState(t, spread)
			c.get("/free")
		}
		c.wantReset()
		close(s.Handler.(*gate).open)
		busy.answer("GET")
		_ = busy.Close()
		if err := wait(t, "Shutdown", result); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
	}
}

// In a drain, too, a client without TLS gets an answer that ends: it has no length.
func TestTLSDrainAnswersPlainHTTP(t *testing.T) {
	s := start(t, &Server{Loops: 1, TLSConfig: serverTLS.Clone()})
	c := s.dialPlain(t)
	c.send(getRoot[:2])
	s.waitConn(t, "some has come", func(c *conn) bool { return len(c.in) > 0 })
	go s.Shutdown(context.Background())
	lingertest.Wait(t, "the drain has begun", s.run.draining)
	onLoop(s.run.loops[0], func() {})
	c.send(getRoot[2:])
	if got, err := c.ended(); got != string(plainRequest) || err != nil {
		t.Errorf("it ended with %v after %q", err, got)
	}
}

// A client that ends its side right behind its request ends the request's context, whether or not both are read at once.
func TestTLSHalfCloseAtOnce(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, config *tls.Config) {
		done := make(chan error, 1)
		s := start(t, secureBoth(server, func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			done <- context.Cause(r.Context())
		}))
		c, w := s.dialTLS(t, config)
		w.held = true
		c.send(getWorld)
		lingertest.Must(t, c.tls.CloseWrite()) // which sends no FIN, and sets a deadline
		_ = c.SetDeadline(time.Now().Add(lingertest.Patience))
		w.release(t)
		select {
		case err := <-done:
			if err != errHalfClosed {
				t.Errorf("the context ended with %v", err)
			}
		case <-time.After(lingertest.Patience):
			t.Fatal("the context has not ended")
		}
		c.answer("GET")
		c.wantEOF()
	})
}

// AfterAnswer waits for the answer of its own request, and leaves the connection to the request behind it.
func TestTLSAfterAnswerBeforeAnother(t *testing.T) {
	called := make(chan struct{})
	s := start(t, secureBoth(serverTLS.Clone(), func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("first") {
			AfterAnswer(r.Context(), func() { close(called) })
			return
		}
		for {
			select {
			case <-called:
				return
			default:
				w.Write(make([]byte, 1<<10))
				w.(http.Flusher).Flush()
			}
		}
	}))
	c := s.dial(t)
	c.send("GET /handler?first HTTP/1.1\r\nHost: x\r\n\r\n" + getWorld)
	c.answer("GET")
	c.answer("GET")
}

// TIME_WAIT is the client's, which has said that it ends the connection, even if its FIN comes later than its close_notify.
func TestTLSTimeWaitIsTheClients(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, config *tls.Config) {
		s := start(t, secureBoth(server, func(http.ResponseWriter, *http.Request) {}))
		for _, request := range []string{getRoot, getWorld} {
			c, _ := s.dialTLS(t, config)
			c.send(request)
			c.answer("GET")
			lingertest.Must(t, c.tls.CloseWrite()) // which sends no FIN
			c.wantEOF()
			s.waitState(t, lingering)
			if got := s.peerState(t, c); got != sockdiag.Established.String() {
				t.Errorf("the server's end is in %s before the client has sent FIN", got)
			}
			_ = c.SetLinger(0)
			_ = c.TCPConn.Close()
			lingertest.Wait(t, "it is gone", func() bool { return s.run.live.Load() == 0 })
		}
	})
}

// A client that leaves FIN to the server, as it may once both have sent close_notify (RFC 5246, section 7.2.1), waits no longer for it than a client
// does that a drain waits for.
func TestTLSEndsForWhoWaits(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, config *tls.Config) {
		s := start(t, secureBoth(server, func(http.ResponseWriter, *http.Request) {}))
		for _, request := range []string{"", getRoot, getWorld} {
			c, _ := s.dialTLS(t, config)
			if request == "" {
				lingertest.Must(t, c.tls.Handshake())
			} else {
				c.send(request)
				c.answer("GET")
			}
			lingertest.Must(t, c.tls.CloseWrite()) // which sends no FIN
			c.wantEOF()
			s.timeOut(t, partTimeout, func(c *conn) bool { return c.state == lingering })
			if n, err := c.TCPConn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("behind close_notify the client reads %d bytes and %v, want EOF", n, err)
			}
			_ = c.SetLinger(0)
			_ = c.TCPConn.Close()
			lingertest.Wait(t, "it is gone", func() bool { return s.run.live.Load() == 0 })
		}
	})
}
