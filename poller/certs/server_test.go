package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"testing"

	"rstserver/poller/certs"
)

// TestRenewalUnderNetHTTP expects a server of net/http to go on with its connections and sessions when its certificate is renewed.
func TestRenewalUnderNetHTTP(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			old, renewed := issue(t, nil, "a.test"), issue(t, nil, "a.test")
			s, pairs := store(t, old)
			s.Logger = slog.New(slog.DiscardHandler)
			addr := serve(t, s)
			roots := x509.NewCertPool()
			roots.AddCert(old.Leaf)
			roots.AddCert(renewed.Leaf)
			client := func(sessions tls.ClientSessionCache) *http.Client {
				config := &tls.Config{ServerName: "a.test", RootCAs: roots, MaxVersion: version, ClientSessionCache: sessions}
				c := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
				t.Cleanup(c.CloseIdleConnections)
				return c
			}
			sessions := tls.NewLRUClientSessionCache(1)
			kept, resuming := client(nil), client(sessions)
			expectRequest(t, kept, addr, false, false, old)
			expectRequest(t, resuming, addr, false, false, old)
			resuming.CloseIdleConnections()

			put(t, pairs[0], renewed)
			must(t, s.Reload())

			expectRequest(t, kept, addr, true, false, old)
			expectRequest(t, resuming, addr, false, true, old)
			expectRequest(t, client(nil), addr, false, false, renewed)
			// A client whose connection ends without a session to resume is told of the new one.
			kept.CloseIdleConnections()
			expectRequest(t, kept, addr, false, false, renewed)
		})
	}
}

// serve has net/http serve on some port of 127.0.0.1 until the end of the test.
func serve(t *testing.T, s *certs.Store) (addr string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	srv := &http.Server{
		TLSConfig: &tls.Config{GetCertificate: s.GetCertificate},
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }),
		ErrorLog:  log.New(io.Discard, "", 0), // of clients that go away
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.ServeTLS(ln, "", "") }()
	t.Cleanup(func() {
		srv.Close()
		<-ended
	})
	return ln.Addr().String()
}

// expectRequest makes one, and expects whether it is the first of its connection, whether that resumes a session, and of what
// certificate its client knows.
func expectRequest(t *testing.T, c *http.Client, addr string, reused, resumed bool, cert tls.Certificate) {
	t.Helper()
	req, err := http.NewRequest("GET", "https://"+addr, nil)
	must(t, err)
	var got httptrace.GotConnInfo
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { got = info }}
	resp, err := c.Do(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	must(t, err)
	_, err = io.Copy(io.Discard, resp.Body) // with which the client reads its tickets
	must(t, err)
	must(t, resp.Body.Close())
	if got.Reused != reused || resp.TLS.DidResume != resumed {
		t.Errorf("reused, resumed = %t, %t; want %t, %t", got.Reused, resp.TLS.DidResume, reused, resumed)
	}
	if leaf := resp.TLS.PeerCertificates[0]; !leaf.Equal(cert.Leaf) {
		t.Errorf("the client knows certificate %s, want %s", leaf.SerialNumber, cert.Leaf.SerialNumber)
	}
}
