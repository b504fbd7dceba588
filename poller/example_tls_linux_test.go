//go:build linux

package poller_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"rstserver/poller"
	"rstserver/poller/certs"
)

// Over TLS it is as with net/http, but for the end: the client reads ECONNRESET, and no alert before it. In the place of the
// throw-away certificate there may be the names of files.
func ExampleServer_ListenAndServeTLS() {
	cert, err := certs.SelfSigned("localhost")
	if err != nil {
		log.Fatal(err)
	}
	srv := &poller.Server{
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s over %s", r.Method, tls.VersionName(r.TLS.Version))
		}),
	}
	addr, ended := serveTLS(srv)

	conn, err := tls.Dial("tcp", addr, trusting(cert))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer(conn))
	srv.Close()
	_, err = conn.Read(make([]byte, 1))
	fmt.Println("the client reads ECONNRESET:", errors.Is(err, syscall.ECONNRESET))
	conn.Close()
	fmt.Println(<-ended)
	// Output:
	// GET over TLS 1.3
	// the client reads ECONNRESET: true
	// http: Server closed
}

// A server for clients that have a certificate, which an authority of one's own has signed.
func Example_clientCertificates() {
	cert, err := certs.SelfSigned("localhost")
	if err != nil {
		log.Fatal(err)
	}
	authority := signed("authority", nil)
	authorities := x509.NewCertPool()
	authorities.AddCert(authority.Leaf)
	srv := &poller.Server{
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{cert},
			ClientAuth:   tls.RequireAndVerifyClientCert,
			ClientCAs:    authorities,
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "hello, ", r.TLS.PeerCertificates[0].Subject.CommonName)
		}),
	}
	addr, _ := serveTLS(srv)
	defer srv.Close()

	config := trusting(cert)
	config.Certificates = []tls.Certificate{signed("a client", &authority)}
	conn, err := tls.Dial("tcp", addr, config)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Println(answer(conn))

	stranger, err := tls.Dial("tcp", addr, trusting(cert))
	if err != nil {
		log.Fatal(err)
	}
	defer stranger.Close()
	_, err = stranger.Read(make([]byte, 1)) // with TLS 1.3 the client has shaken hands before the server has
	fmt.Println(err)
	// Output:
	// hello, a client
	// remote error: tls: certificate required
}

// serveTLS is serve over TLS, with the certificate of srv.TLSConfig.
func serveTLS(srv *poller.Server) (addr string, ended <-chan error) {
	serving, result := make(chan netip.AddrPort, 1), make(chan error, 1)
	srv.Addr = "127.0.0.1:0"
	srv.Serving = func(a netip.AddrPort) { serving <- a }
	go func() { result <- srv.ListenAndServeTLS("", "") }()
	return (<-serving).String(), result
}

// trusting is the configuration of a client that was told to take cert.
func trusting(cert tls.Certificate) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	return &tls.Config{ServerName: "localhost", RootCAs: roots}
}

// answer asks for something and returns the answer's content.
func answer(conn *tls.Conn) string {
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		log.Fatal(err)
	}
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	return string(content)
}

// signed makes a certificate that an authority has signed, or, without one, an authority's.
func signed(name string, authority *tls.Certificate) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Minute),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  authority == nil,
		BasicConstraintsValid: true,
	}
	parent, by := template, any(key)
	if authority != nil {
		parent, by = authority.Leaf, authority.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		log.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
