//go:build linux

package bench

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"rstserver/bench/kinds"
	"rstserver/poller/certs"
)

// Files of the certificate that servers have over TLS, in the directory of a run.
const (
	certName = "cert.pem"
	keyName  = "key.pem"
)

// makeCertificate makes these files, in a directory of their own, which is the caller's to remove.
func makeCertificate() (dir string, err error) {
	cert, err := certs.SelfSigned("127.0.0.1", "localhost")
	if err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	if dir, err = os.MkdirTemp("", "rstserver-bench-"); err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	write := func(name, what string, der []byte) error {
		return os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: what, Bytes: der}), 0o600)
	}
	err = errors.Join(write(certName, "CERTIFICATE", cert.Certificate[0]), write(keyName, "PRIVATE KEY", key))
	if err != nil {
		return "", errors.Join(fmt.Errorf("bench: %w", err), os.RemoveAll(dir))
	}
	return dir, nil
}

// overTLS is the server with the arguments for that.
func (s Server) overTLS() Server {
	s.Command = append(slices.Clone(s.Command), s.TLS...)
	return s
}

// unsecured says why connections of a kind to the server cannot be over TLS, if that is so.
func (s Server) unsecured(kind kinds.Kind) error {
	switch {
	case s.TLS == nil:
		return errors.New("it is not started with TLS; a server is by what tls=ARGUMENTS adds")
	case s.HTTP1 && kind.IsHTTP2():
		return fmt.Errorf("it has no HTTP/2, for %s connections", kind)
	}
	return nil
}
