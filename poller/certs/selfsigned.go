package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"time"
)

// What a throw-away certificate is valid for. The clocks of clients may be slow.
const (
	selfSignedLife  = 24 * time.Hour
	selfSignedSlack = 5 * time.Minute
)

// SelfSigned makes a throw-away certificate for hosts, which are names and IP addresses, one at least: for trying things out, and for
// tests. It is valid for a day. Its key (ECDSA, P-256) is in memory only. No client takes it, but one that is told to take this one
// (Leaf, in a [tls.Config.RootCAs]) or any. The error says that there is no host, or why it could not be made. Any goroutine may call it.
func SelfSigned(hosts ...string) (tls.Certificate, error) {
	if len(hosts) == 0 {
		return tls.Certificate{}, errors.New("certs: no host to make a certificate for")
	}
	now := time.Now()
	template := &x509.Certificate{ // which has a serial number chosen at random
		Subject:               pkix.Name{CommonName: "throw-away certificate"},
		NotBefore:             now.Add(-selfSignedSlack),
		NotAfter:              now.Add(selfSignedLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, // no authority: who trusts it trusts these hosts
	}
	for _, host := range hosts {
		switch ip := net.ParseIP(host); {
		case host == "":
			return tls.Certificate{}, errors.New("certs: a host without a name to make a certificate for")
		case ip != nil:
			template.IPAddresses = append(template.IPAddresses, ip)
		default:
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certs: making a key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certs: making a certificate for %q: %w", hosts, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certs: making a certificate for %q: %w", hosts, err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
