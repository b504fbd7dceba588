//go:build linux

package http2

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rstserver/internal/debian"
	"rstserver/internal/lingertest"
)

func TestNghttp(t *testing.T) {
	nghttp := debian.Program(t, "nghttp", "nghttp2-client")
	big := filepath.Join(t.TempDir(), "big")
	content := strings.Repeat("0123456789", 100_000)
	lingertest.Must(t, os.WriteFile(big, []byte(content), 0o644))
	plainAndTLS(t, func(t *testing.T, config *tls.Config, _ *x509.CertPool) {
		at := serve(t, site(), config)
		if got := run(t, nghttp, "--no-verify-peer", at.url); got != "GET HTTP/2.0" {
			t.Errorf("nghttp got %q", got)
		}
		// Far more than a window, both ways.
		if got := run(t, nghttp, "--no-verify-peer", "--data="+big, at.url+"/echo"); got != content {
			t.Errorf("nghttp got %d bytes, want the %d that it sent", len(got), len(content))
		}
	})
}

var h2loadResult = regexp.MustCompile(`requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored`)

func TestH2load(t *testing.T) {
	h2load := debian.Program(t, "h2load", "nghttp2-client")
	plainAndTLS(t, func(t *testing.T, config *tls.Config, _ *x509.CertPool) {
		at := serve(t, site(), config)
		out := run(t, h2load, "-n20000", "-c20", "-m10", at.url)
		if got := h2loadResult.FindStringSubmatch(out); got == nil || got[2] != "20000" || got[3] != "0" || got[4] != "0" || !strings.Contains(out, "20000 2xx") {
			t.Errorf("h2load printed\n%s", out)
		}
	})
}

// BenchmarkH2load is beside net/http's own server, in turn with -count.
func BenchmarkH2load(b *testing.B) {
	h2load := debian.Program(b, "h2load", "nghttp2-client")
	config, _ := certified(b)
	for name, config := range map[string]*tls.Config{"plain": nil, "TLS": config} {
		for server, serve := range map[string]func(testing.TB, http.Handler, *tls.Config) *target{"poller": serve, "net-http": serveNetHTTP} {
			b.Run(name+"/"+server, func(b *testing.B) {
				at := serve(b, site(), config)
				for b.Loop() {
					run(b, h2load, "-n20000", "-c20", "-m10", at.url)
				}
				b.ReportMetric(20000*float64(b.N)/b.Elapsed().Seconds(), "requests/s")
			})
		}
	}
}

// Node's client sends 100 requests with content at a time, and reads trailers.
func TestNode(t *testing.T) {
	node := debian.Program(t, "node", "nodejs")
	plainAndTLS(t, func(t *testing.T, config *tls.Config, _ *x509.CertPool) {
		at, ca := serve(t, site(), config), filepath.Join(t.TempDir(), "ca.pem")
		if config != nil {
			lingertest.Must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: config.Certificates[0].Certificate[0]}), 0o644))
		}
		if got := run(t, node, "testdata/client.js", at.url, ca); got != "100 answers, 100 trailers\n" {
			t.Errorf("node printed %s", got)
		}
	})
}

func TestChromium(t *testing.T) {
	chromium := debian.Program(t, "chromium", "chromium")
	config, _ := certified(t)
	out := run(t, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--user-data-dir="+t.TempDir(),
		"--dump-dom", serve(t, site(), config).url)
	if !strings.Contains(out, "GET HTTP/2.0") {
		t.Errorf("the page is %s", out)
	}
}
