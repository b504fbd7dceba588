package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"

	"rstserver/poller/certs"
)

func TestSelfSigned(t *testing.T) {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	cert, err := certs.SelfSigned(hosts...)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	server := &tls.Config{Certificates: []tls.Certificate{cert}, SessionTicketsDisabled: true}
	for _, host := range hosts {
		shown(t, server, &tls.Config{ServerName: host, RootCAs: roots}) // and verified
	}
	if err := cert.Leaf.VerifyHostname("else.test"); err == nil {
		t.Error("it is for others too")
	}
	if cert.Leaf.IsCA {
		t.Error("it is an authority's: who trusts it trusts all that its key signs")
	}
	another, err := certs.SelfSigned(hosts...)
	must(t, err)
	if another.Leaf.SerialNumber.Cmp(cert.Leaf.SerialNumber) == 0 || another.Leaf.Equal(cert.Leaf) {
		t.Error("the next one is the same")
	}
	for _, hosts := range [][]string{{}, {""}, {"localhost", "münchen.test"}} {
		if _, err := certs.SelfSigned(hosts...); err == nil || !strings.HasPrefix(err.Error(), "certs: ") {
			t.Errorf("SelfSigned(%q) = %v, want an error", hosts, err)
		}
	}
}
