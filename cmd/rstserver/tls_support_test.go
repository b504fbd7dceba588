package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

// issue makes a certificate for names, signed by issuer, or by itself.
func issue(t testing.TB, issuer *tls.Certificate, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: names[0]},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		DNSNames:              names,
		IsCA:                  issuer == nil,
		BasicConstraintsValid: true,
	}
	parent, signer := template, any(key)
	if issuer != nil {
		parent, signer = issuer.Leaf, issuer.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// pemOf is a certificate and its key as they stand in files.
func pemOf(t testing.TB, c tls.Certificate) (cert, key []byte) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// certFiles are those of a certificate.
type certFiles struct{ cert, key string }

// put makes files with a certificate, in a directory of their own.
func put(t testing.TB, cert tls.Certificate) certFiles {
	t.Helper()
	dir := t.TempDir()
	f := certFiles{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	f.replace(t, cert)
	return f
}

// replace puts other files in their place.
func (f certFiles) replace(t testing.TB, c tls.Certificate) {
	t.Helper()
	cert, key := pemOf(t, c)
	for name, content := range map[string][]byte{f.cert: cert, f.key: key} {
		if err := errors.Join(os.WriteFile(name+".new", content, 0o600), os.Rename(name+".new", name)); err != nil {
			t.Fatal(err)
		}
	}
}

// flags are those by which the command serves with them.
func (f certFiles) flags() []string { return []string{"--tls-cert", f.cert, "--tls-key", f.key} }

// trusting is a client's configuration: it takes these certificates for name.
func trusting(name string, all ...tls.Certificate) *tls.Config {
	roots := x509.NewCertPool()
	for _, cert := range all {
		roots.AddCert(cert.Leaf)
	}
	return &tls.Config{ServerName: name, RootCAs: roots}
}

// tlsClient is one connection to a server, over TLS.
type tlsClient struct {
	*tls.Conn
	t testing.TB
	r *bufio.Reader
}

// dialTLS connects and shakes hands.
func dialTLS(t testing.TB, p *process, config *tls.Config) *tlsClient {
	t.Helper()
	c := tls.Client(dial(t, p.addr), config)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return newTLSClient(t, c)
}

func newTLSClient(t testing.TB, c *tls.Conn) *tlsClient { return &tlsClient{c, t, bufio.NewReader(c)} }

// do sends a request and returns the answer's content.
func (c *tlsClient) do(request string) (string, error) {
	if err := c.SetDeadline(time.Now().Add(lingertest.Patience)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, request); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %q", resp.Status, body)
	}
	return string(body), err
}

func (c *tlsClient) expectHello() {
	c.t.Helper()
	if body, err := c.do(head("GET", "/")); body != hello || err != nil {
		c.t.Errorf("GET / = %q, %v; want %q", body, err, hello)
	}
}

// expectReset expects that the connection ends with RST, and no alert before it.
func (c *tlsClient) expectReset() {
	c.t.Helper()
	if n, err := io.Copy(io.Discard, c.r); !errors.Is(err, syscall.ECONNRESET) {
		c.t.Errorf("reading from %s: %v after %d bytes, want ECONNRESET", c.LocalAddr(), err, n)
	}
}

// shown returns the certificate that the server shows a client who asks for name.
func shown(t testing.TB, p *process, name string) *x509.Certificate {
	t.Helper()
	c := dialTLS(t, p, &tls.Config{ServerName: name, InsecureSkipVerify: true}) // it is looked at
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

// expectOneLine expects one line with all of want.
func expectOneLine(t testing.TB, got string, want ...string) {
	t.Helper()
	for line := range strings.Lines(got) {
		if !slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(line, w) }) {
			return
		}
	}
	t.Errorf("got %q, want a line with %q", got, want)
}
