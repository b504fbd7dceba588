//go:build linux

package poller

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"weak"
)

// ServeTLS is [Server.Serve] for HTTPS. The certificate, with those of its issuers behind it, and its key are read from files; both names
// are empty where Server.TLSConfig has Certificates, GetCertificate or GetConfigForClient. Package poller/certs has certificates that are
// renewed in place.
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
	if get := config.GetConfigForClient; get != nil {
		var adapted adaptedConfigs
		config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			defer unoccupied(hello)()
			config, err := get(hello)
			if config == nil || err != nil {
				return config, err
			}
			return adapted.of(config), nil
		}
	}
	return config, nil
}

// unoccupied has a handshake leave its token to others until the result is called: a function of the user's may wait, for the network or
// for a file.
func unoccupied(hello *tls.ClientHelloInfo) (again func()) {
	x := hello.Conn.(*tlsLayer).shake
	x.stopComputing()
	return x.startComputing
}

// adapt returns a configuration that is like config, for HTTP/1.1, in records of full size: small ones at the beginning cost more than they
// win for the client.
func adapt(config *tls.Config) *tls.Config {
	config = config.Clone()
	config.DynamicRecordSizingDisabled = true
	config.NextProtos = slices.DeleteFunc(slices.Clone(config.NextProtos), func(p string) bool { return p == "h2" })
	if !slices.Contains(config.NextProtos, "http/1.1") {
		config.NextProtos = append(config.NextProtos, "http/1.1")
	}
	if get := config.GetCertificate; get != nil {
		config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			defer unoccupied(hello)()
			return get(hello)
		}
	}
	return config
}

// adaptedConfigs remembers what adapt has made of configurations that come again: they hold the keys of session tickets, and
// one that is new each time would resume no session. Any goroutine may call its method.
type adaptedConfigs struct {
	mu sync.Mutex // guards of
	to map[weak.Pointer[tls.Config]]*tls.Config
}

func (a *adaptedConfigs) of(config *tls.Config) *tls.Config {
	key := weak.Make(config)
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, ok := a.to[key]; ok {
		return known
	}
	if a.to == nil {
		a.to = make(map[weak.Pointer[tls.Config]]*tls.Config)
	}
	runtime.AddCleanup(config, a.forget, key)
	adapted := adapt(config)
	a.to[key] = adapted
	return adapted
}

func (a *adaptedConfigs) forget(key weak.Pointer[tls.Config]) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.to, key)
}
