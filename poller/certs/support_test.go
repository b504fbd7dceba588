package certs_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rstserver/poller/certs"
)

// issue makes a certificate for names, signed by itself. change may have it be another one.
func issue(t testing.TB, change func(*x509.Certificate), names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return sign(t, key, change, names...)
}

// sign is issue with a key.
func sign(t testing.TB, key crypto.Signer, change func(*x509.Certificate), names ...string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: names[0]},
		NotBefore: time.Now().Add(-time.Hour),
		NotAfter:  time.Now().Add(24 * time.Hour),
		DNSNames:  names,
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func certPEM(cert tls.Certificate) []byte {
	var all []byte
	for _, der := range cert.Certificate {
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return all
}

func keyPEM(t testing.TB, cert tls.Certificate) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// write writes to the file itself. Its time is that of the test's clock, so that no two writes have the same.
func write(t testing.TB, name string, content []byte) {
	t.Helper()
	must(t, os.WriteFile(name, content, 0o600))
	must(t, os.Chtimes(name, time.Now(), time.Now()))
}

// replace puts another file under the name.
func replace(t testing.TB, name string, content []byte) {
	t.Helper()
	write(t, name+".new", content)
	must(t, os.Rename(name+".new", name))
}

// pairIn is the pair of files in a directory.
func pairIn(dir string) certs.Pair {
	return certs.Pair{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
}

// put puts other files in the place of those of a pair.
func put(t testing.TB, p certs.Pair, cert tls.Certificate) {
	t.Helper()
	replace(t, p.Cert, certPEM(cert))
	replace(t, p.Key, keyPEM(t, cert))
}

// store loads certificates, each from a directory of its own.
func store(t testing.TB, all ...tls.Certificate) (*certs.Store, []certs.Pair) {
	t.Helper()
	var pairs []certs.Pair
	for _, cert := range all {
		p := pairIn(t.TempDir())
		put(t, p, cert)
		pairs = append(pairs, p)
	}
	s, err := certs.Load(pairs...)
	must(t, err)
	return s, pairs
}

// expectUse expects that a store with one pair has handshakes get want.
func expectUse(t testing.TB, s *certs.Store, want tls.Certificate) {
	t.Helper()
	got, err := s.GetCertificate(&tls.ClientHelloInfo{})
	must(t, err)
	if !slices.EqualFunc(got.Certificate, want.Certificate, bytes.Equal) {
		t.Errorf("in use are %d certificates, that of %s first; want %d, that of %s", len(got.Certificate), got.Leaf.Subject,
			len(want.Certificate), want.Leaf.Subject)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// statOf is the time of a file's last change, and chtimes sets it.
func statOf(t testing.TB, name string) time.Time {
	t.Helper()
	info, err := os.Stat(name)
	must(t, err)
	return info.ModTime()
}

func chtimes(t testing.TB, name string, to time.Time) {
	t.Helper()
	must(t, os.Chtimes(name, to, to))
}
