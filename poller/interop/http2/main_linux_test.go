//go:build linux

package http2

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/poller"
)

func TestMain(m *testing.M) { lingertest.Main(m) }

// patience is for a client that hangs.
const patience = 2 * time.Minute

// target is a server that is under test.
type target struct {
	addr   string
	url    string
	server *poller.Server // nil: net/http's
}

// protocols are all that a server can speak.
func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// certified returns a certificate for 127.0.0.1 and example.com, and who trusts it.
func certified(t testing.TB) (*tls.Config, *x509.CertPool) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates}, pool
}

// serve serves h by poller, over TLS if a configuration is given, until the end of the test.
func serve(t testing.TB, h http.Handler, config *tls.Config) *target {
	t.Helper()
	srv := &poller.Server{Handler: h, TLSConfig: config, Protocols: protocols(), Logger: slog.New(slog.DiscardHandler)}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	lingertest.Must(t, err)
	ended := make(chan error, 1)
	go func() {
		if config != nil {
			ended <- srv.ServeTLS(ln, "", "")
		} else {
			ended <- srv.Serve(ln)
		}
	}()
	t.Cleanup(func() {
		lingertest.Must(t, srv.Close())
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve = %v, want ErrServerClosed", err)
		}
	})
	return &target{addr: ln.Addr().String(), url: scheme(config) + ln.Addr().String(), server: srv}
}

// serveNetHTTP has net/http do the same, as what poller is compared with.
func serveNetHTTP(t testing.TB, h http.Handler, config *tls.Config) *target {
	t.Helper()
	srv := &http.Server{Handler: h, Protocols: protocols(), ErrorLog: log.New(io.Discard, "", 0)}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	lingertest.Must(t, err)
	ended := make(chan error, 1)
	go func() {
		if config != nil {
			srv.TLSConfig = config.Clone()
			ended <- srv.ServeTLS(ln, "", "")
		} else {
			ended <- srv.Serve(ln)
		}
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-ended
	})
	return &target{addr: ln.Addr().String(), url: scheme(config) + ln.Addr().String()}
}

func scheme(config *tls.Config) string {
	if config != nil {
		return "https://"
	}
	return "http://"
}

// plainAndTLS runs test both ways.
func plainAndTLS(t *testing.T, test func(t *testing.T, config *tls.Config, trusted *x509.CertPool)) {
	t.Run("plain", func(t *testing.T) { test(t, nil, nil) })
	t.Run("TLS", func(t *testing.T) {
		config, trusted := certified(t)
		test(t, config, trusted)
	})
}

// site answers /echo with what it is sent and with a trailer, and anything else with how the request came.
func site() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Bytes")
		n, _ := io.Copy(w, r.Body)
		w.Header().Set("Bytes", fmt.Sprint(n))
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "%s %s", r.Method, r.Proto)
	})
	return mux
}

// run runs a program to its end, and returns what it printed.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // browsers have processes of their own
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", filepath.Base(name), args, err, out)
	}
	return string(out)
}

// build builds a program that this module requires.
func build(t testing.TB, program string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(program))
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, program).CombinedOutput()
	if err != nil {
		t.Fatalf("go build %s: %v\n%s", program, err, out)
	}
	lingertest.Must(t, os.Chmod(path, 0o755))
	return path
}
