package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Store holds the certificates of some pairs of files. It comes from [Load]. Any goroutine may call its methods.
type Store struct {
	// Logger gets what Watch and Reload have to say. Nil means slog.Default(). It must not be changed once one of them was called.
	Logger *slog.Logger

	current atomic.Pointer[[]*tls.Certificate] // what GetCertificate chooses from, in the order of the pairs; never written to

	mu    sync.Mutex // serialises looks at the files, and guards what follows
	pairs []*watched
}

// watched is a pair and what was found when it was looked at.
type watched struct {
	Pair
	cert    *tls.Certificate // that is in use
	version version          // of the files that it came from
	seen    version          // at the last look of Watch
	fault   string           // that Watch has found at the last look
	told    string           // the fault that was told of
	dated   string           // what was logged of the certificate's dates
}

// Load reads the certificates of pairs, of which there must be one at least. With several, the client's hello decides which one it
// is shown; see [Store.GetCertificate]. One that has ended is taken all the same, and [Store.Watch] says so.
//
// An error says of each file at fault what is wrong with it; it wraps that of the system, such as [fs.ErrNotExist], if there is one.
func Load(pairs ...Pair) (*Store, error) {
	if len(pairs) == 0 {
		return nil, errors.New("certs: no pair of files to load")
	}
	s := &Store{}
	var errs []error
	for _, p := range pairs {
		cert, v, err := p.read()
		errs = append(errs, err)
		s.pairs = append(s.pairs, &watched{Pair: p, cert: cert, version: v})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.publish()
	return s, nil
}

// publish gives handshakes what the pairs have. s.mu is held, or s is new.
func (s *Store) publish() {
	certs := make([]*tls.Certificate, len(s.pairs))
	for i, p := range s.pairs {
		certs[i] = p.cert
	}
	s.current.Store(&certs)
}

// GetCertificate is for the field of that name of a [tls.Config]. Of several certificates it returns the first that hello supports, by
// its name above all, or else the first, as crypto/tls does with [tls.Config.Certificates]. It neither waits nor looks at files. What it
// returns must not be changed. The error says that the Store does not come from Load.
func (s *Store) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	current := s.current.Load()
	if current == nil {
		return nil, errors.New("certs: a Store without certificates: it has to come from Load")
	}
	certs := *current
	if len(certs) > 1 {
		for _, cert := range certs {
			if hello.SupportsCertificate(cert) == nil {
				return cert, nil
			}
		}
	}
	return certs[0], nil
}

// Reload looks at the files now, and has the next full handshake get what they hold. A pair that is broken, or whose files do not
// belong together, is refused: the error says which file and why, and the certificate in use stays; the other pairs are
// renewed all the same. Renewals are logged, the error is not. It is to be called when the files are whole: unlike Watch it takes them as
// they are, even if they were changed a moment ago. It waits for the file system.
func (s *Store) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, p := range s.pairs {
		err := s.take(p)
		if err != nil {
			p.told = err.Error() // and Watch need not tell it again
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// take has p.cert be what the files hold, or returns what is wrong with them. s.mu is held.
func (s *Store) take(p *watched) error {
	cert, v, err := p.read()
	if err != nil {
		return err
	}
	p.version = v
	if slices.EqualFunc(cert.Certificate, p.cert.Certificate, bytes.Equal) {
		s.well(p) // with the key it is the same, as both belong together
		return nil
	}
	p.cert, p.fault, p.told, p.dated = cert, "", "", ""
	s.publish()
	s.logger().Info("certificate renewed", "file", p.Cert, "names", names(cert.Leaf), "not_after", cert.Leaf.NotAfter)
	s.checkDates(p)
	return nil
}

// well notes that the files hold the certificate in use. s.mu is held.
func (s *Store) well(p *watched) {
	if p.told != "" {
		s.logger().Info("certificate files are in order again, with the certificate in use", "file", p.Cert)
	}
	p.fault, p.told = "", ""
}

// checkDates logs once, of the certificate in use, that it is not valid now. s.mu is held.
func (s *Store) checkDates(p *watched) {
	leaf, now := p.cert.Leaf, time.Now()
	var fault string
	switch {
	case now.After(leaf.NotAfter):
		fault = "certificate has expired: clients refuse it"
	case now.Before(leaf.NotBefore):
		fault = "certificate is not valid yet: clients refuse it"
	}
	if fault == p.dated {
		return
	}
	if p.dated = fault; fault != "" {
		s.logger().Warn(fault, "file", p.Cert, "names", names(leaf), "not_before", leaf.NotBefore, "not_after", leaf.NotAfter)
	}
}

func (s *Store) logger() *slog.Logger {
	if s.Logger == nil {
		return slog.Default()
	}
	return s.Logger
}

// names are those that a certificate is for. What has none of them has the name of its subject.
func names(leaf *x509.Certificate) []string {
	all := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		all = append(all, fmt.Sprint(leaf.Subject))
	}
	return all
}
