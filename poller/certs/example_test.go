package certs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"rstserver/poller/certs"
)

// A renewed certificate is taken up by a server of net/http, without the end of anything.
func Example() {
	dir, err := os.MkdirTemp("", "certs")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	pair := certs.Pair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	writePair(pair, "old.example")

	store, err := certs.Load(pair)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go store.Watch(ctx) // which sees a renewal after a few seconds
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{TLSConfig: &tls.Config{GetCertificate: store.GetCertificate}}
	defer srv.Close()
	go srv.ServeTLS(ln, "", "")

	before := dial(ln.Addr())
	defer before.Close()
	writePair(pair, "renewed.example")
	if err := store.Reload(); err != nil { // for those who cannot wait, or on SIGHUP
		log.Fatal(err)
	}
	after := dial(ln.Addr())
	defer after.Close()

	for _, conn := range []*tls.Conn{before, after} {
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: example\r\n\r\n")
		status := make([]byte, len("HTTP/1.1 404"))
		_, err := conn.Read(status)
		fmt.Printf("%v: %s, %v\n", conn.ConnectionState().PeerCertificates[0].DNSNames, status, err)
	}
	// Output:
	// [old.example]: HTTP/1.1 404, <nil>
	// [renewed.example]: HTTP/1.1 404, <nil>
}

// writePair puts a new certificate into the files, as who renews it would.
func writePair(pair certs.Pair, host string) {
	cert, err := certs.SelfSigned(host)
	if err != nil {
		log.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(
		os.WriteFile(pair.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), 0o644),
		os.WriteFile(pair.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600),
	); err != nil {
		log.Fatal(err)
	}
}

func dial(addr net.Addr) *tls.Conn {
	conn, err := tls.Dial("tcp", addr.String(), &tls.Config{InsecureSkipVerify: true}) // its name is looked at
	if err != nil {
		log.Fatal(err)
	}
	return conn
}
