//go:build linux

package http2

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// Every case of h2spec that net/http's own server passes, poller passes. Some it does not: it answers with 400 where a stream error is
// asked for, and takes a head that is larger than a frame may be.
func TestH2spec(t *testing.T) {
	h2spec := build(t, "github.com/summerwind/h2spec/cmd/h2spec")
	plainAndTLS(t, func(t *testing.T, config *tls.Config, _ *x509.CertPool) {
		theirs := specified(t, h2spec, serveNetHTTP(t, site(), config), config != nil)
		ours := specified(t, h2spec, serve(t, site(), config), config != nil)
		passed := 0
		for name, ok := range ours {
			if ok {
				passed++
			} else if theirs[name] {
				t.Errorf("failed, and net/http passes: %s", name)
			}
		}
		if len(ours) < 140 || len(ours) != len(theirs) {
			t.Errorf("there were %d cases, and %d on net/http", len(ours), len(theirs))
		}
		t.Logf("passed are %d of %d cases", passed, len(ours))
	})
}

// specified returns the names of the cases, and which were passed.
func specified(t *testing.T, h2spec string, at *target, overTLS bool) map[string]bool {
	t.Helper()
	host, port, err := net.SplitHostPort(at.addr)
	if err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(t.TempDir(), "report.xml")
	args := []string{"-h", host, "-p", port, "-o", "5", "-j", report}
	if overTLS {
		args = append(args, "-t", "-k")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, h2spec, args...).CombinedOutput() // fails where a case does
	b, readErr := os.ReadFile(report)
	if readErr != nil {
		t.Fatalf("%v, %v\n%s", err, readErr, out)
	}
	var suites struct {
		Suites []struct {
			Name  string `xml:"name,attr"`
			ID    string `xml:"id,attr"`
			Cases []struct {
				Name    string    `xml:"classname,attr"`
				Failure *struct{} `xml:"failure"`
				Error   *struct{} `xml:"error"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b, &suites); err != nil {
		t.Fatal(err)
	}
	passed := make(map[string]bool)
	for _, s := range suites.Suites {
		for _, c := range s.Cases {
			if c.Skipped != nil {
				t.Errorf("skipped: %s %s", s.ID, c.Name)
			}
			passed[s.ID+" "+s.Name+": "+c.Name] = !slices.ContainsFunc([]*struct{}{c.Failure, c.Error}, func(f *struct{}) bool { return f != nil })
		}
	}
	return passed
}
