//go:build linux

package fleet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// Certificate is made once: it is what takes the time.
var Certificate = sync.OnceValues(func() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
})

// SelfSigned returns configurations for a server on 127.0.0.1, with HTTP/2, and for clients that believe it.
func SelfSigned(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	cert, err := Certificate()
	if err != nil {
		t.Fatal(err)
	}
	return Configs(cert)
}

// Configs returns what SelfSigned does, of one certificate.
func Configs(cert tls.Certificate) (server, client *tls.Config) {
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	server = &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}}
	return server, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
}
