package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTLS(t *testing.T) {
	cert := issue(t, nil, "a.test")
	files := put(t, cert)
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			p := start(t, append(files.flags(), "--log-format", format)...)
			if got := p.stdout.lines()[0]; !strings.Contains(got, "https://"+p.addr.String()) {
				t.Errorf("stdout begins with %q, want https in it", got)
			}
			var clients []*tlsClient
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				config := trusting("a.test", cert)
				config.MinVersion, config.MaxVersion = version, version
				c := dialTLS(t, p, config)
				c.expectHello()
				if body, err := c.do(head("POST", "/echo", "Content-Length: 4") + "echo"); body != "echo" || err != nil {
					t.Errorf("POST /echo = %q, %v; want what was sent", body, err)
				}
				if body, err := c.do(head("GET", "/slow?ms=0")); body != "slept 0 ms\n" || err != nil {
					t.Errorf("GET /slow = %q, %v", body, err)
				}
				clients = append(clients, c)
			}
			p.stop()
			for _, c := range clients {
				c.expectReset()
			}
			expectFree(t, p.addr)
			if !strings.Contains(p.stdout.String(), "abort") {
				t.Errorf("stdout = %q, want the report", p.stdout.String())
			}
		})
	}
}

// TestSNI serves with several certificates, one of them in one file with its key.
func TestSNI(t *testing.T) {
	first, second := issue(t, nil, "first.test"), issue(t, nil, "second.test", "*.second.test")
	files := put(t, second)
	cert, key := pemOf(t, second)
	both := filepath.Join(t.TempDir(), "a, b.pem") // is one name
	if err := os.WriteFile(both, append(key, cert...), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"two files": files.flags(),
		"one file":  {"--tls-cert", both, "--tls-key", both},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, append(put(t, first).flags(), args...)...)
			for name, want := range map[string]tls.Certificate{
				"first.test": first, "second.test": second, "x.second.test": second, "unknown.test": first, "": first,
			} {
				if got := shown(t, p, name); !got.Equal(want.Leaf) {
					t.Errorf("who asks for %q is shown that of %q, want %q", name, got.DNSNames, want.Leaf.DNSNames)
				}
			}
			p.stop()
		})
	}
}

func TestClientCertificates(t *testing.T) {
	cert, authority, other := issue(t, nil, "a.test"), issue(t, nil, "authority"), issue(t, nil, "another authority")
	p := start(t, append(put(t, cert).flags(), "--tls-client-ca", put(t, authority).cert)...)
	for _, tc := range []struct {
		name string
		show []tls.Certificate
		want bool
	}{
		{name: "signed", show: []tls.Certificate{issue(t, &authority, "client")}, want: true},
		{name: "none"},
		{name: "signed by another", show: []tls.Certificate{issue(t, &other, "client")}},
		{name: "signed by itself", show: []tls.Certificate{issue(t, nil, "client")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				config := trusting("a.test", cert)
				config.MinVersion, config.MaxVersion = version, version
				// Whatever authorities the server names.
				config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					return &append(tc.show, tls.Certificate{})[0], nil
				}
				c := tls.Client(dial(t, p.addr), config)
				err := c.Handshake()
				if err == nil { // with TLS 1.3 the client has shaken hands before the server looks at its certificate
					_, err = c.Write([]byte(head("GET", "/")))
				}
				if err == nil {
					_, err = c.Read(make([]byte, 1))
				}
				if ok := err == nil; ok != tc.want {
					t.Errorf("%s: %v, want an answer: %t", tls.VersionName(version), err, tc.want)
				}
			}
		})
	}
	p.stop()
}

func TestTLSSelfSigned(t *testing.T) {
	p := start(t, "--tls-self-signed")
	cert := shown(t, p, "localhost")
	expectOneLine(t, p.stderr.String(), "level=WARN", "throw-away certificate", "curl -k", "sha256="+fingerprint(cert))
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1", hostname} {
		c := dialTLS(t, p, trusting(name, tls.Certificate{Leaf: cert}))
		c.expectHello()
		c.Close()
	}
	if err := tls.Client(dial(t, p.addr), &tls.Config{ServerName: "localhost"}).Handshake(); !errors.As(err, &x509.UnknownAuthorityError{}) {
		t.Errorf("a client that was told nothing: %v, want that it does not know who signed the certificate", err)
	}
	p.stop()
	// The next is another one.
	again := start(t, "--tls-self-signed", "--addr", "127.0.0.2:0")
	next := shown(t, again, "localhost")
	if next.Equal(cert) {
		t.Error("the next server has the same certificate")
	}
	if err := next.VerifyHostname("127.0.0.2"); err != nil {
		t.Errorf("the certificate is not for the host of --addr: %v", err)
	}
	again.stop()
}

// TestFingerprint compares with what openssl says it is.
func TestFingerprint(t *testing.T) {
	openssl := needProgram(t, "openssl")
	cert := issue(t, nil, "a.test")
	out, err := exec.Command(openssl, "x509", "-in", put(t, cert).cert, "-noout", "-fingerprint", "-sha256").Output()
	if _, want, _ := strings.Cut(strings.TrimSpace(string(out)), "="); err != nil || fingerprint(cert.Leaf) != want {
		t.Errorf("fingerprint = %s, want %s (%v)", fingerprint(cert.Leaf), want, err)
	}
}

// TestCurl is a client that is not Go's.
func TestCurl(t *testing.T) {
	curl := needProgram(t, "curl")
	cert := issue(t, nil, "a.test")
	files := put(t, cert)
	named, selfSigned := start(t, files.flags()...), start(t, "--tls-self-signed")
	const refused = 60 // the certificate is
	for _, tc := range []struct {
		name string
		p    *process
		args []string
		code int
	}{
		{"its authority is known", named, []string{"--cacert", files.cert}, 0},
		{"its authority is not", named, nil, refused},
		{"throw-away, taken", selfSigned, []string{"-k"}, 0},
		{"throw-away, refused", selfSigned, nil, refused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			at := netip.AddrPortFrom(tc.p.addr.Addr(), tc.p.addr.Port())
			args := append([]string{"-sS", "--noproxy", "*", "--max-time", "30", "--connect-to", "a.test:443:" + at.String(), "https://a.test/"}, tc.args...)
			out, err := exec.Command(curl, args...).Output()
			var exit *exec.ExitError
			if errors.As(err, &exit); exit != nil && exit.ExitCode() != tc.code || exit == nil && tc.code != 0 {
				t.Errorf("curl: %v, want exit code %d", err, tc.code)
			}
			if tc.code == 0 && string(out) != hello {
				t.Errorf("curl got %q, want %q", out, hello)
			}
		})
	}
	named.stop()
	selfSigned.stop()
}

// needProgram is where a program is. It skips the test where it is missing.
func needProgram(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("needs %s (Debian: apt-get install %s): %v", name, name, err)
	}
	return path
}

// TestTLSFlags gives the command the flags in each way of writing them.
func TestTLSFlags(t *testing.T) {
	cert := issue(t, nil, "a.test")
	for _, command := range []string{"", "serve "} {
		for _, spaced := range []string{"=", " "} {
			args := strings.Fields(command)
			files := put(t, cert).flags()
			for pair := range slices.Chunk(files, 2) {
				args = append(args, strings.Fields(pair[0]+spaced+pair[1])...)
			}
			p := start(t, args...)
			dialTLS(t, p, trusting("a.test", cert)).expectHello()
			p.stop()
		}
	}
}

// TestHandshakeTimeout connects a client that says nothing, and one that does not go on.
func TestHandshakeTimeout(t *testing.T) {
	t.Parallel()
	p := start(t, "--tls-self-signed", "--handshake-timeout", "300ms")
	for name, sent := range map[string]string{"nothing": "", "a part of a hello": "\x16\x03\x01\x02\x00\x01"} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, p.addr)
			c.send("%s", sent)
			if n, err := c.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read %d bytes, %v; want the end", n, err)
			}
		})
	}
	p.stop()
}

// TestMaxHandshakes makes one handshake wait for another's end.
func TestMaxHandshakes(t *testing.T) {
	p := start(t, "--tls-self-signed", "--max-handshakes", "1")
	kept := dialTLS(t, p, &tls.Config{InsecureSkipVerify: true})
	first, second := dial(t, p.addr), dial(t, p.addr)
	first.send("%s", clientHello(t))
	if _, err := first.Read(make([]byte, 1)); err != nil { // it has its answer, and does not go on
		t.Fatal(err)
	}
	handshake := tls.Client(second, &tls.Config{InsecureSkipVerify: true})
	ended := make(chan error, 1)
	go func() { ended <- handshake.Handshake() }()
	for range 100 { // meanwhile it would, and others are not held up
		kept.expectHello()
	}
	select {
	case err := <-ended:
		t.Fatalf("a handshake that has to wait has ended: %v", err)
	default:
	}
	first.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	p.stop()
}

// clientHello is the first message of a client.
func clientHello(t testing.TB) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- tls.Client(theirs, &tls.Config{InsecureSkipVerify: true}).Handshake() }()
	hello := make([]byte, 16<<10)
	n, err := ours.Read(hello)
	if err != nil {
		t.Fatal(err)
	}
	ours.Close()
	<-ended
	return hello[:n]
}

// TestTLSFiles starts with files at fault. The error names the file and the remedy.
func TestTLSFiles(t *testing.T) {
	cert, other := issue(t, nil, "a.test"), issue(t, nil, "b.test")
	good, another := put(t, cert), put(t, other)
	dir := t.TempDir()
	file := func(name, content string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	missing, empty := filepath.Join(dir, "missing.pem"), file("empty.pem", "")
	encrypted := file("encrypted.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
	broken := file("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	for _, tc := range []struct {
		name string
		args []string
		want []string
	}{
		{"no such certificate", []string{"--tls-cert", missing, "--tls-key", good.key}, []string{"--tls-cert", missing, "no such file", "name one that is there"}},
		{"no such key", []string{"--tls-cert", good.cert, "--tls-key", "key.pem"}, []string{"--tls-key", "key.pem", "no such file", "looked for in /"}},
		{"empty", []string{"--tls-cert", empty, "--tls-key", good.key}, []string{empty + " is empty"}},
		{"a directory", []string{"--tls-cert", good.cert, "--tls-key", dir}, []string{dir + " is no regular file"}},
		{"key of another", []string{"--tls-cert", good.cert, "--tls-key", another.key}, []string{another.key + " is not the key of the certificate in " + good.cert}},
		{"swapped", []string{"--tls-cert", good.key, "--tls-key", good.cert}, []string{good.key + " holds the key", "swap them"}},
		{"two certificates", []string{"--tls-cert", good.cert, "--tls-key", good.cert}, []string{good.cert + " holds no private key", "a certificate"}},
		{"two keys", []string{"--tls-cert", good.key, "--tls-key", good.key}, []string{good.key + " holds no certificate", "a private key"}},
		{"encrypted", []string{"--tls-cert", good.cert, "--tls-key", encrypted}, []string{encrypted + " is encrypted", "openssl pkey -in " + encrypted}},
		{"second pair", append(good.flags(), "--tls-cert", another.cert, "--tls-key", missing), []string{missing, "no such file"}},
		{"both pairs", []string{"--tls-cert", missing, "--tls-key", missing, "--tls-cert", empty, "--tls-key", missing}, []string{missing, empty}},
		{"no such authorities", append(good.flags(), "--tls-client-ca", missing), []string{"--tls-client-ca=" + missing, "no such file"}},
		{"no authorities", append(good.flags(), "--tls-client-ca", good.key), []string{"--tls-client-ca=" + good.key, "no certificate is in it"}},
		{"broken authorities", append(good.flags(), "--tls-client-ca", broken), []string{"--tls-client-ca=" + broken, "certificate 1", "cannot be read"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := launch(t, exec.Command(binary, tc.args...))
			p.expectFailedStart(tc.want...)
		})
	}
	t.Run("no permission", func(t *testing.T) {
		needNobody(t)
		p := launch(t, asNobody(exec.Command(binary, good.flags()...)))
		p.expectFailedStart(good.cert, "permission denied", "user 65534")
	})
}
