//go:build linux

package poller

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
)

// ServeTLS is [Server.Serve] for HTTPS. The certificate, with those of its issuers behind it, and its key are read from files; both names
// are empty where Server.TLSConfig has Certificates, GetCertificate or GetConfigForClient. Package poller/certs has certificates that are
// renewed in place. Its errors are those of Serve, and what is wrong with the files or TLSConfig: ln is closed then, too.
func (s *Server) ServeTLS(ln net.Listener, certFile, keyFile string) error {
	config, err := s.tlsConfig(certFile, keyFile)
	if err != nil {
		if ln != nil && !isNil(ln) {
			_ = ln.Close()
		}
		return err
	}
	return s.serve(ln, config)
}

// ListenAndServeTLS listens on Server.Addr and serves HTTPS on it; see [Listen] and [Server.ServeTLS]. An empty Addr means ":https".
// What is wrong with the files is an error before the port is touched.
func (s *Server) ListenAndServeTLS(certFile, keyFile string) error {
	if err := s.startable(); err != nil {
		return err
	}
	config, err := s.tlsConfig(certFile, keyFile)
	if err != nil {
		return err // and no port is touched
	}
	ln, err := Listen(context.Background(), or(s.Addr, ":https"), s.ReusePort)
	if err != nil {
		return err
	}
	return s.serve(ln, config)
}

// ListenAndServeTLS serves handler on addr by HTTPS until the process ends; see [ListenAndServe] and [Server.ServeTLS].
func ListenAndServeTLS(addr, certFile, keyFile string, handler http.Handler) error {
	return (&Server{Addr: addr, Handler: handler}).ListenAndServeTLS(certFile, keyFile)
}

// tlsConfig is Server.TLSConfig as the server uses it.
func (s *Server) tlsConfig(certFile, keyFile string) (*tls.Config, error) {
	config := s.TLSConfig
	if config == nil {
		config = new(tls.Config)
	}
	adapt := s.adapt
	config = adapt(config)
	if certFile != "" || keyFile != "" {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("poller: certificate %q with key %q: %w", certFile, keyFile, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if len(config.Certificates) == 0 && config.GetCertificate == nil && config.GetConfigForClient == nil {
		return nil, errors.New("poller: HTTPS needs a certificate: name its files, or set Certificates, GetCertificate or " +
			"GetConfigForClient in Server.TLSConfig")
	}
	get, own := config.GetConfigForClient, config.Clone()
	if get == nil && !mayWaitUnnamed(own) {
		return config, nil
	}
	// What is returned is new each time. Keys of session tickets that have been set come with it, and others are those of config.
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		t := hello.Conn.(*tlsLayer)
		if get != nil {
			given, err := t.ask(get, hello)
			if err != nil {
				return nil, err
			}
			if given != nil {
				return t.yieldIn(adapt(given)), nil
			}
		}
		if !mayWaitUnnamed(own) {
			return nil, nil
		}
		return t.yieldIn(own.Clone()), nil
	}
	return config, nil
}

// adapt returns a configuration that is like config, for the server's protocols, in records of full size: small ones at the beginning cost more
// than they win for the client.
func (s *Server) adapt(config *tls.Config) *tls.Config {
	config = config.Clone()
	config.DynamicRecordSizingDisabled = true
	withH2 := s.Protocols == nil || s.Protocols.HTTP2()
	config.NextProtos = slices.DeleteFunc(slices.Clone(config.NextProtos), func(p string) bool { return p == "h2" && !withH2 })
	for _, p := range []string{"h2", "http/1.1"} {
		if !slices.Contains(config.NextProtos, p) && (p != "h2" || withH2) {
			config.NextProtos = append(config.NextProtos, p)
		}
	}
	if get := config.GetCertificate; get != nil {
		config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			defer hello.Conn.(*tlsLayer).yield()()
			return get(hello)
		}
	}
	if get := config.GetEncryptedClientHelloKeys; get != nil {
		config.GetEncryptedClientHelloKeys = func(hello *tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) {
			defer hello.Conn.(*tlsLayer).yield()()
			return get(hello)
		}
	}
	return config
}

// yield gives the handshake's token to others until the result is called: a function of the user's may wait, for the network or
// for a file.
func (t *tlsLayer) yield() (again func()) {
	x := t.shake
	x.stopComputing()
	return x.startComputing
}

// ask calls GetConfigForClient.
func (t *tlsLayer) ask(get func(*tls.ClientHelloInfo) (*tls.Config, error), hello *tls.ClientHelloInfo) (*tls.Config, error) {
	defer t.yield()()
	return get(hello)
}

// mayWaitUnnamed reports whether there is something for yieldIn to do.
func mayWaitUnnamed(config *tls.Config) bool {
	return config.VerifyPeerCertificate != nil || config.VerifyConnection != nil || config.WrapSession != nil || config.UnwrapSession != nil
}

// yieldIn makes those functions of config yield that are not told whose handshake it is, so that config is for t alone.
func (t *tlsLayer) yieldIn(config *tls.Config) *tls.Config {
	if verify := config.VerifyPeerCertificate; verify != nil {
		config.VerifyPeerCertificate = func(certs [][]byte, chains [][]*x509.Certificate) error {
			defer t.yield()()
			return verify(certs, chains)
		}
	}
	if verify := config.VerifyConnection; verify != nil {
		config.VerifyConnection = func(state tls.ConnectionState) error {
			defer t.yield()()
			return verify(state)
		}
	}
	if wrap := config.WrapSession; wrap != nil {
		config.WrapSession = func(state tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
			defer t.yield()()
			return wrap(state, session)
		}
	}
	if unwrap := config.UnwrapSession; unwrap != nil {
		config.UnwrapSession = func(identity []byte, state tls.ConnectionState) (*tls.SessionState, error) {
			defer t.yield()()
			return unwrap(identity, state)
		}
	}
	return config
}
