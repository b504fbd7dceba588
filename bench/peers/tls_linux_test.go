//go:build linux

package peers

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/poller/certs"
)

// certificate makes the files that servers are started with, and has a client that takes no other.
func certificate(t *testing.T) (cert, key string, roots *x509.CertPool) {
	made, err := certs.SelfSigned("127.0.0.1")
	lingertest.Must(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	lingertest.Must(t, err)
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	lingertest.Must(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made.Certificate[0]}), 0o600))
	lingertest.Must(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	roots = x509.NewCertPool()
	roots.AddCert(made.Leaf)
	return cert, key, roots
}

// TestTLS asks programs over TLS, by HTTP/2 where they have it.
func TestTLS(t *testing.T) {
	for _, p := range programs() {
		if !p.tls {
			continue
		}
		t.Run(p.String(), func(t *testing.T) {
			cert, key, roots := certificate(t)
			s := p.start(t, "--tls", cert, key)
			for _, want := range []int{1, 2} {
				if want == 2 && p.name == "node" {
					continue // of it there is none with the ways
				}
				var protocols http.Protocols
				protocols.SetHTTP1(want == 1)
				protocols.SetHTTP2(want == 2)
				transport := &http.Transport{Protocols: &protocols, TLSClientConfig: &tls.Config{RootCAs: roots}}
				defer transport.CloseIdleConnections()
				client := &http.Client{Transport: transport, Timeout: patience}
				targets := map[string]string{"/": "Hello, World!"}
				if p.name != "caddy" {
					targets["/slow?ms=100"] = "slept 100 ms\n"
				}
				for target, content := range targets {
					resp, err := client.Get("https://" + s.addr + target)
					if err != nil {
						t.Fatal(err)
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil || resp.StatusCode != http.StatusOK || resp.ProtoMajor != want || string(got) != content {
						t.Errorf("GET %s = %s %s %q, %v; want HTTP/%d, 200 OK and %q", target, resp.Proto, resp.Status, got, err, want, content)
					}
				}
			}
		})
	}
}

// A flag that is none, or lacks its files, is told.
func TestNodeUsage(t *testing.T) {
	for _, more := range [][]string{{"--tls"}, {"--tls", "cert.pem"}, {"--ssl", "cert.pem", "key.pem"}} {
		t.Run(fmt.Sprint(more), func(t *testing.T) {
			s := program{name: "node", args: []string{"map"}}.spawn(t, "127.0.0.1:1", more...)
			if state := s.wait(t); state.ExitCode() != 1 {
				t.Errorf("its end is %v", state)
			}
			if got := s.errors(); len(got) < 10 || got[:10] != "usage: nod" {
				t.Errorf("it says %q", got)
			}
		})
	}
}
