package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"unicode"

	"rstserver/poller"
	"rstserver/poller/certs"
)

// checkTLS refuses flags that mean nothing without others, or beside them.
func (c *serveCommand) checkTLS() error {
	for _, v := range []struct {
		flag   string
		values []string
	}{{"--tls-cert", c.TLSCert}, {"--tls-key", c.TLSKey}} {
		if slices.Contains(v.values, "") {
			return usage("%s=: it must name a file", v.flag)
		}
	}
	n, keys := len(c.TLSCert), len(c.TLSKey)
	switch {
	case c.TLSSelfSigned && n > 0:
		return usage("--tls-self-signed makes a certificate, and --tls-cert=%s has one: leave out one of them", c.TLSCert[0])
	case c.TLSSelfSigned && keys > 0:
		return usage("--tls-self-signed makes a key, and --tls-key=%s has one: leave out one of them", c.TLSKey[0])
	case n > 0 && keys == 0:
		return usage("--tls-cert=%s: its private key is missing: add --tls-key FILE, which may be the same file", c.TLSCert[0])
	case n == 0 && keys > 0:
		return usage("--tls-key=%s: the certificate that it belongs to is missing: add --tls-cert FILE", c.TLSKey[0])
	case n != keys:
		return usage("--tls-cert is given %d times and --tls-key %d times: give each certificate its key, in the same order", n, keys)
	case c.TLSClientCA != nil && !c.hasTLS():
		return usage("--tls-client-ca=%s: only over TLS have clients a certificate: add --tls-cert and --tls-key, or --tls-self-signed",
			*c.TLSClientCA)
	}
	return nil
}

func (c *serveCommand) hasTLS() bool { return len(c.TLSCert) > 0 || c.TLSSelfSigned }

func (c *serveCommand) scheme() string {
	if c.hasTLS() {
		return "https"
	}
	return "http"
}

// security is how connections are secured.
type security struct {
	config *tls.Config  // nil: not at all
	store  *certs.Store // nil: without files that can be renewed
}

// secure reads the files that the flags name.
func (c *serveCommand) secure(log *slog.Logger) (s security, err error) {
	if !c.hasTLS() {
		return s, nil
	}
	s.config = &tls.Config{}
	if c.TLSSelfSigned {
		err = c.selfSign(s.config, log)
	} else {
		err = c.load(&s, log)
	}
	if err == nil && c.TLSClientCA != nil {
		s.config.ClientAuth = tls.RequireAndVerifyClientCert
		s.config.ClientCAs, err = readAuthorities(*c.TLSClientCA)
	}
	return s, err
}

func (c *serveCommand) load(s *security, log *slog.Logger) error {
	var pairs []certs.Pair
	for i, cert := range c.TLSCert {
		pairs = append(pairs, certs.Pair{Cert: cert, Key: c.TLSKey[i]})
	}
	store, err := certs.Load(pairs...)
	if err != nil {
		return fmt.Errorf("cannot serve with the files of --tls-cert and --tls-key: %w", explainFile(err))
	}
	store.Logger = log
	s.store, s.config.GetCertificate = store, store.GetCertificate
	return nil
}

// selfSign makes a certificate for the names by which this machine knows itself, and for the host of --addr.
func (c *serveCommand) selfSign(config *tls.Config, log *slog.Logger) error {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	addr, _, _ := net.SplitHostPort(c.Addr)
	name, _ := os.Hostname()
	for _, host := range []string{name, addr} {
		// The kernel lets a hostname be anything, and a certificate does not.
		ascii := !strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII })
		if ip, _ := netip.ParseAddr(host); host != "" && ascii && !ip.IsUnspecified() && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	cert, err := certs.SelfSigned(hosts...)
	if err != nil {
		return fmt.Errorf("--tls-self-signed: %w", err)
	}
	config.Certificates = []tls.Certificate{cert}
	log.Warn("serving with a throw-away certificate: clients refuse it unless they are told to take it, such as by curl -k",
		"sha256", fingerprint(cert.Leaf), "names", hosts, "not_after", cert.Leaf.NotAfter)
	return nil
}

// fingerprint is the SHA-256 of a certificate, as openssl x509 -fingerprint and browsers show it.
func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// readAuthorities reads the certificates of those who sign clients' certificates.
func readAuthorities(file string) (*x509.CertPool, error) {
	rest, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read --tls-client-ca=%s: %w", file, explainFile(err))
	}
	pool, n := x509.NewCertPool(), 0
	for {
		var part *pem.Block
		if part, rest = pem.Decode(rest); part == nil {
			break
		}
		if part.Type != "CERTIFICATE" {
			continue
		}
		n++
		cert, err := x509.ParseCertificate(part.Bytes)
		if err != nil {
			return nil, fmt.Errorf("--tls-client-ca=%s: certificate %d in it cannot be read: %w", file, n, err)
		}
		pool.AddCert(cert)
	}
	if n == 0 {
		return nil, fmt.Errorf("--tls-client-ca=%s: no certificate is in it: it has to be PEM, with the certificates of those who sign "+
			"clients' certificates", file)
	}
	return pool, nil
}

// explainFile says what can be done about a file that cannot be read.
func explainFile(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		dir, _ := os.Getwd()
		return fmt.Errorf("%w: name one that is there; what does not begin with / is looked for in %s", err, dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: have user %d, who this runs as, be allowed to read it, and to enter its directory", err, os.Geteuid())
	}
	return err
}

// serve is srv's Serve or ServeTLS.
func (s security) serve(srv *poller.Server, ln net.Listener) error {
	if s.config == nil {
		return srv.Serve(ln)
	}
	return srv.ServeTLS(ln, "", "")
}

// renew takes up renewed certificates until ctx has ended: by itself, and at once on SIGHUP. It has a goroutine of its own, so that a file
// system that does not answer holds up nothing else; nobody waits for it.
func (s security) renew(ctx context.Context, hangups <-chan os.Signal, log *slog.Logger) {
	if s.store != nil {
		go s.store.Watch(ctx)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case sig := <-hangups:
			s.reload(signalName(sig), log)
		}
	}
}

func (s security) reload(reason string, log *slog.Logger) {
	if s.store == nil {
		log.Info("signal without effect: there are no certificates to look at", "signal", reason)
		return
	}
	if err := s.store.Reload(); err != nil {
		log.Error("certificates are not all renewed, the ones in use stay", "reason", reason, "error", oneLine(err))
		return
	}
	log.Info("the certificates have been looked at again", "reason", reason)
}
