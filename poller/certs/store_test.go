package certs_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"strings"
	"testing"
)

// shown returns the certificate that a client is shown.
func shown(t *testing.T, server, client *tls.Config) *x509.Certificate {
	t.Helper()
	a, b := net.Pipe()
	served := make(chan error, 1)
	go func() {
		defer a.Close()
		served <- tls.Server(a, server).Handshake()
	}()
	conn := tls.Client(b, client)
	err := conn.Handshake()
	b.Close()
	if serverErr := <-served; err != nil {
		t.Fatalf("handshake: %v; at the server: %v", err, serverErr)
	}
	return conn.ConnectionState().PeerCertificates[0]
}

// TestSelection selects among several certificates as crypto/tls does for each client: by name, and by what they can verify.
func TestSelection(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	all := []tls.Certificate{
		issue(t, nil, "first.test"),
		issue(t, nil, "*.second.test", "second.test"),
		sign(t, key, nil, "first.test", "rsa.test"),
		issue(t, nil, "second.test", "last.test"),
	}
	s, _ := store(t, all...)
	ours, theirs := &tls.Config{GetCertificate: s.GetCertificate}, &tls.Config{Certificates: all}
	ours.SessionTicketsDisabled, theirs.SessionTicketsDisabled = true, true // nobody reads them from the pipe
	for _, tc := range []struct {
		name string
		rsa  bool // all that the client can verify
		want int
	}{
		{name: "first.test", want: 0},
		{name: "FIRST.test", want: 0},
		{name: "second.test", want: 1},
		{name: "x.second.test", want: 1},
		{name: "rsa.test", want: 2},
		{name: "last.test", want: 3},
		{name: "first.test", rsa: true, want: 2},
		{name: "unknown.test", want: 0},
		{name: "", want: 0},
		{name: "", rsa: true, want: 2},
	} {
		client := &tls.Config{ServerName: tc.name, InsecureSkipVerify: true}
		if tc.rsa {
			client.MaxVersion, client.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
		}
		want := all[tc.want].Leaf
		if got := shown(t, theirs, client); !got.Equal(want) {
			t.Errorf("crypto/tls shows %v for %q, RSA %t; want certificate %d", got.DNSNames, tc.name, tc.rsa, tc.want)
		}
		if got := shown(t, ours, client); !got.Equal(want) {
			t.Errorf("%v is shown for %q, RSA %t; want certificate %d", got.DNSNames, tc.name, tc.rsa, tc.want)
		}
	}
}

// TestReload renews one pair of two while the other is broken, and then that, too.
func TestReload(t *testing.T) {
	old := []tls.Certificate{issue(t, nil, "a.test"), issue(t, nil, "b.test")}
	renewed := []tls.Certificate{issue(t, nil, "a.test"), issue(t, nil, "b.test")}
	s, pairs := store(t, old...)
	var log bytes.Buffer
	s.Logger = slog.New(slog.NewTextHandler(&log, nil))
	expect := func(want ...tls.Certificate) {
		t.Helper()
		config := &tls.Config{GetCertificate: s.GetCertificate, SessionTicketsDisabled: true}
		for i, name := range []string{"a.test", "b.test"} {
			if got := shown(t, config, &tls.Config{ServerName: name, InsecureSkipVerify: true}); !got.Equal(want[i].Leaf) {
				t.Errorf("number %s is shown for %s, want %s", got.SerialNumber, name, want[i].Leaf.SerialNumber)
			}
		}
	}
	expect(old...)
	must(t, s.Reload())
	expect(old...)
	if log.Len() > 0 {
		t.Errorf("log = %q, want nothing of files that are as they were", &log)
	}

	put(t, pairs[0], renewed[0])
	replace(t, pairs[1].Cert, certPEM(renewed[1])) // and not the key
	for range 2 {
		if err := s.Reload(); err == nil || !strings.Contains(err.Error(), pairs[1].Key+" is not the key of the certificate in "+pairs[1].Cert) {
			t.Errorf("Reload() = %v, want what is wrong with the second pair", err)
		}
		expect(renewed[0], old[1])
	}

	replace(t, pairs[1].Key, keyPEM(t, renewed[1]))
	must(t, s.Reload())
	expect(renewed...)
	got := log.String()
	for i, p := range pairs {
		want := `level=INFO msg="certificate renewed" file=` + p.Cert + ` names=` + `[` + renewed[i].Leaf.DNSNames[0] + `]`
		if strings.Count(got, want) != 1 || !strings.Contains(got, "not_after="+renewed[i].Leaf.NotAfter.Format("2006-01-02T15:04:05")) {
			t.Errorf("log = %s\nwant one line with %s and the end", got, want)
		}
	}
	if strings.Count(got, "\n") != 2 {
		t.Errorf("log = %s\nwant the two renewals and nothing else", got)
	}
}

// TestReloadUnwatched makes a change that stat(2) does not show: the same size, and the time set back, as cp -p in the middle of the
// same file would. Reload reads it all the same.
func TestReloadUnwatched(t *testing.T) {
	old := issue(t, nil, "a.test")
	s, pairs := store(t, old)
	renewed := old
	for sameSize := false; !sameSize; { // signatures differ by a byte or two
		renewed = issue(t, nil, "a.test")
		sameSize = len(certPEM(renewed)) == len(certPEM(old))
	}
	before := statOf(t, pairs[0].Cert)
	write(t, pairs[0].Cert, certPEM(renewed))
	write(t, pairs[0].Key, keyPEM(t, renewed))
	chtimes(t, pairs[0].Cert, before)
	chtimes(t, pairs[0].Key, before)
	must(t, s.Reload())
	expectUse(t, s, renewed)
}

// TestConcurrently lets handshakes ask while certificates are renewed.
func TestConcurrently(t *testing.T) {
	all := []tls.Certificate{issue(t, nil, "a.test"), issue(t, nil, "a.test")}
	s, pairs := store(t, all[0])
	s.Logger = slog.New(slog.DiscardHandler)
	stop, done := make(chan bool), make(chan bool)
	for range 4 {
		go func() {
			defer func() { done <- true }()
			for {
				select {
				case <-stop:
					return
				default:
				}
				cert, err := s.GetCertificate(&tls.ClientHelloInfo{})
				if err != nil || !cert.Leaf.Equal(all[0].Leaf) && !cert.Leaf.Equal(all[1].Leaf) {
					t.Errorf("GetCertificate = %v, %v", cert, err)
					return
				}
			}
		}()
	}
	for i := range 20 {
		put(t, pairs[0], all[(i+1)%2])
		must(t, s.Reload())
		expectUse(t, s, all[(i+1)%2])
	}
	close(stop)
	for range 4 {
		<-done
	}
}
