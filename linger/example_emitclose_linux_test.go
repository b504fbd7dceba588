//go:build linux

package linger_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log"
	"math/big"
	"net/http"

	"rstserver/linger"
)

// Where 'close' is emitted early so that a server with a renewed certificate can listen: a release gives up the port and
// keeps the connections. Who wants a renewed certificate and nothing else need not let go of the port: see [rstserver/poller/certs].
func Example_emitClose() {
	old := listenTLS("127.0.0.1:0", "the old certificate")
	before := dialTLS(old)

	if err := old.Release(); err != nil {
		log.Fatal(err)
	}
	renewed := listenTLS(old.Addr().String(), "the renewed certificate")
	after := dialTLS(renewed)

	fmt.Println(get(before))
	fmt.Println(get(after))
	before.Close() // the old server's Serve returns with the last of its connections
	after.Close()
	renewed.Abort()
	// Output:
	// the old certificate: 204 No Content
	// the renewed certificate: 204 No Content
}

// listenTLS serves with a certificate of the given name.
func listenTLS(addr, name string) *linger.Listener {
	ln, err := linger.Listen("tcp", addr)
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{selfSigned(name)}}}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	go srv.ServeTLS(ln, "", "")
	return ln
}

func dialTLS(ln *linger.Listener) *tls.Conn {
	c, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true}) // its name is looked at
	if err != nil {
		log.Fatal(err)
	}
	return c
}

// get asks for something, and returns the name of the server's certificate and the status.
func get(c *tls.Conn) string {
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		log.Fatal(err)
	}
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName + ": " + resp.Status
}

func selfSigned(name string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
