//go:build linux

package poller

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"math/big"
	"net"
	"testing"
	"time"
)

// overTLS makes the tests of this package that say nothing of TLS speak HTTPS, too.
var overTLS = flag.Bool("tls", false, "speak HTTPS in all tests, but for those that say why not")

// plain skips a test that looks at what is on the wire, or at connections without TLS as such.
func plain(t testing.TB, why string) {
	t.Helper()
	if *overTLS {
		t.Skip("not over TLS: " + why)
	}
}

// serverTLS and clientTLS fit each other.
var serverTLS, clientTLS = func() (server, client *tls.Config) {
	server, pool := certificateFor("localhost")
	return server, &tls.Config{RootCAs: pool, ServerName: "localhost"}
}()

// certificateFor returns a configuration with a new certificate, and who trusts it.
func certificateFor(names ...string) (*tls.Config, *x509.CertPool) {
	cert, pool := newCertificate(names...)
	return &tls.Config{Certificates: []tls.Certificate{cert}}, pool
}

func newCertificate(names ...string) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}
