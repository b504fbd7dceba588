package certs_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"rstserver/poller/certs"
)

// chainOf puts an authority's certificate behind one.
func chainOf(leaf, authority tls.Certificate) tls.Certificate {
	leaf.Certificate = append(leaf.Certificate[:1:1], authority.Certificate...)
	return leaf
}

func anAuthority(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }

// TestLoad loads what tls.LoadX509KeyPair takes.
func TestLoad(t *testing.T) {
	leaf := issue(t, nil, "a.test")
	chain := chainOf(leaf, issue(t, anAuthority, "authority.test"))
	expired := issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, "a.test")
	ec, err := x509.MarshalECPrivateKey(leaf.PrivateKey.(*ecdsa.PrivateKey))
	must(t, err)
	sec1 := append(pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 0}}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ec})...)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	rsaCert := sign(t, rsaKey, nil, "a.test")
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)})
	both := append(certPEM(leaf), keyPEM(t, leaf)...)
	for _, tc := range []struct {
		name      string
		cert, key []byte
		want      tls.Certificate
	}{
		{"a pair", certPEM(leaf), keyPEM(t, leaf), leaf},
		{"a chain", certPEM(chain), keyPEM(t, leaf), chain},
		{"both in each", both, both, leaf},
		{"a key as of openssl ecparam", certPEM(leaf), sec1, leaf},
		{"an RSA key as of old", certPEM(rsaCert), pkcs1, rsaCert},
		{"text around it", []byte("subject=a.test\n" + string(certPEM(leaf)) + "the end\n"), keyPEM(t, leaf), leaf},
		{"lines as of DOS", bytes.ReplaceAll(certPEM(leaf), []byte("\n"), []byte("\r\n")), keyPEM(t, leaf), leaf},
		{"expired", certPEM(expired), keyPEM(t, expired), expired},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := pairIn(t.TempDir())
			write(t, p.Cert, tc.cert)
			write(t, p.Key, tc.key)
			s, err := certs.Load(p)
			must(t, err)
			expectUse(t, s, tc.want)
			if got, err := s.GetCertificate(&tls.ClientHelloInfo{}); err != nil || got.Leaf == nil {
				t.Errorf("Leaf = nil, %v: each handshake has to parse it", err)
			}
		})
	}
}

// TestLoadRefuses loads files at fault. The error names the file, and nothing of a key is in it.
func TestLoadRefuses(t *testing.T) {
	leaf, other := issue(t, nil, "a.test"), issue(t, nil, "b.test")
	cert, key := certPEM(leaf), keyPEM(t, leaf)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	authority := issue(t, anAuthority, "authority.test")
	block := func(kind string, headers map[string]string) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Headers: headers, Bytes: leaf.Certificate[0]})
	}
	const crt, k = "tls.crt", "tls.key"
	for _, tc := range []struct {
		name      string
		cert, key []byte // nil: there is none
		want      []string
	}{
		{"no certificate there", nil, key, []string{crt, "no such file"}},
		{"no key there", cert, nil, []string{k, "no such file"}},
		{"empty certificate", []byte("\n"), key, []string{crt + " is empty"}},
		{"empty key", cert, []byte{}, []string{k + " is empty"}},
		{"swapped", key, cert, []string{crt + " holds the key", k + " the certificate: swap them"}},
		{"key in place of the certificate", key, key, []string{crt + " holds no certificate: what is in it is a private key"}},
		{"certificate in place of the key", cert, cert, []string{k + " holds no private key: what is in it is a certificate"}},
		{"request in place of the certificate", block("CERTIFICATE REQUEST", nil), key, []string{crt, "what is in it is CERTIFICATE REQUEST"}},
		{"public key", cert, block("PUBLIC KEY", nil), []string{k, "what is in it is PUBLIC KEY"}},
		{"DER", leaf.Certificate[0], key, []string{crt + " holds no certificate in PEM", "-inform der"}},
		{"text", cert, []byte("secret"), []string{k + " holds no private key in PEM"}},
		{"encrypted", cert, block("ENCRYPTED PRIVATE KEY", nil), []string{k + " is encrypted", "openssl pkey -in "}},
		{"encrypted as of old", cert, block("EC PRIVATE KEY", map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}),
			[]string{k + " is encrypted"}},
		{"key of another", cert, keyPEM(t, other), []string{k + " is not the key of the certificate in ", crt, "does not match"}},
		{"key of another kind", cert, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)}),
			[]string{k + " is not the key of the certificate in ", crt, "type"}},
		{"key that is none", cert, block("PRIVATE KEY", nil), []string{k + " is not the key", "parse"}},
		{"authority first", append(certPEM(authority), cert...), key, []string{"the first certificate in ", crt, "an authority's"}},
		{"certificate that is none", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("none")}), key,
			[]string{crt, "cannot be read", "x509"}},
		{"certificate cut off", cert[:len(cert)-40], key, []string{crt, "cut off"}},
		{"key cut off", cert, key[:len(key)-40], []string{k, "cut off"}},
		{"chain cut off", append(bytes.Clone(cert), cert[:200]...), key, []string{crt, "cut off"}},
		{"chain cut off in a line", append(bytes.Clone(cert), "-----BEG"...), key, []string{crt, "cut off"}},
		{"chain damaged", append(bytes.Replace(certPEM(other), []byte("\nMII"), []byte("\n!MI"), 1), cert...), key, []string{crt, "damaged"}},
		{"too much", bytes.Repeat([]byte("x"), 2<<20), key, []string{crt, "bytes"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := pairIn(t.TempDir())
			if tc.cert != nil {
				write(t, p.Cert, tc.cert)
			}
			if tc.key != nil {
				write(t, p.Key, tc.key)
			}
			s, err := certs.Load(p)
			if s != nil || err == nil {
				t.Fatal("it was taken")
			}
			if missing := tc.cert == nil || tc.key == nil; errors.Is(err, fs.ErrNotExist) != missing {
				t.Errorf("errors.Is(%v, fs.ErrNotExist) = %t, want %t", err, !missing, missing)
			}
			text := strings.ReplaceAll(err.Error(), p.Cert, crt)
			text = strings.ReplaceAll(text, p.Key, k)
			if !strings.HasPrefix(text, "certs: ") || strings.Contains(text, "\n") {
				t.Errorf("error = %q, want one line that begins with certs", text)
			}
			for _, want := range tc.want {
				if !strings.Contains(text, want) {
					t.Errorf("error = %q, want %q in it", text, want)
				}
			}
		})
	}
	t.Run("a directory", func(t *testing.T) {
		p := pairIn(t.TempDir())
		must(t, os.Mkdir(p.Cert, 0o700))
		if _, err := certs.Load(p); err == nil || !strings.Contains(err.Error(), p.Cert+" is no regular file") {
			t.Errorf("error = %v, want it to say what is no file", err)
		}
	})
	t.Run("nothing", func(t *testing.T) {
		if _, err := certs.Load(); err == nil || !strings.Contains(err.Error(), "no pair") {
			t.Errorf("error = %v, want one", err)
		}
	})
	t.Run("two of three", func(t *testing.T) {
		var pairs []certs.Pair
		for range 3 {
			p := pairIn(t.TempDir())
			put(t, p, leaf)
			pairs = append(pairs, p)
		}
		must(t, os.Remove(pairs[0].Key))
		write(t, pairs[2].Cert, nil)
		_, err := certs.Load(pairs...)
		for _, want := range []string{pairs[0].Key, pairs[2].Cert + " is empty"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error = %v, want %q in it", err, want)
			}
		}
	})
}

func TestStoreOfNobody(t *testing.T) {
	var s certs.Store
	if cert, err := s.GetCertificate(&tls.ClientHelloInfo{}); cert != nil || err == nil || !strings.Contains(err.Error(), "Load") {
		t.Errorf("GetCertificate of a Store that was not loaded = %v, %v; want an error that says so", cert, err)
	}
	must(t, s.Reload())
}
