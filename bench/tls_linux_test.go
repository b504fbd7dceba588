//go:build linux

package bench

import (
	"crypto/tls"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rstserver/bench/internal/fleet"
	"rstserver/bench/kinds"
	"rstserver/bench/report"
	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

// certificate is the directory of one.
func certificate(t *testing.T) string {
	dir, err := makeCertificate()
	lingertest.Must(t, err)
	t.Cleanup(func() { lingertest.Must(t, os.RemoveAll(dir)) })
	return dir
}

// The files are what servers take, and nobody else can read the key.
func TestCertificate(t *testing.T) {
	dir := certificate(t)
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, certName), filepath.Join(dir, keyName))
	lingertest.Must(t, err)
	lingertest.Must(t, cert.Leaf.VerifyHostname("127.0.0.1"))
	info, err := os.Stat(filepath.Join(dir, keyName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// Each kind of connection over TLS ends as the server's way of letting go has it.
func TestKindsOverTLS(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	const each = 5
	abort := ours()
	drain := abort
	drain.Command = append(slices.Clone(abort.Command), "--on-term", "drain")
	reset := make(map[kinds.Kind]string)
	for _, k := range kinds.All() {
		if k.Over(true) == nil {
			reset[k] = "reset"
		}
	}
	floor := peer("floor")
	floor.Bare, floor.Paths = true, kinds.Paths{Get: "/"}
	const closed, left = "close_notify then eof", "GOAWAY then left"
	for _, tt := range []struct {
		name   string
		server Server
		want   map[kinds.Kind]string
	}{
		{"rstserver abort", abort, reset},
		{"rstserver drain", drain, map[kinds.Kind]string{
			kinds.Idle: "reset", kinds.InFlight: "answered", kinds.H2: "reset", kinds.H2Streams: "answered", kinds.WebSocket: "close 1001 + close_notify then eof",
		}},
		{"floor", floor, reset},
		// A handshake is not over, and so there is nobody to send close_notify to.
		{"net/http Close", peer("nethttp-close"), map[kinds.Kind]string{
			kinds.Idle: closed, kinds.Handshake: "eof", kinds.InFlight: closed, kinds.H2: closed, kinds.H2Streams: closed,
		}},
		{"net/http map", peer("nethttp-map"), map[kinds.Kind]string{
			kinds.Idle: "close_notify then reset", kinds.Handshake: "reset", kinds.H2: "close_notify then reset",
		}},
		{"net/http Shutdown", peer("nethttp-shutdown"), map[kinds.Kind]string{kinds.Idle: closed, kinds.H2: left, kinds.H2Streams: "answered"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var mix fleet.Mix
			for _, kind := range kinds.All() {
				if _, ok := tt.want[kind]; ok {
					mix = append(mix, kinds.Share{Kind: kind, N: each})
				}
			}
			r := run{Server: tt.server.overTLS(), Mix: mix, Timeout: patience, Stderr: os.Stderr, TLS: true, Dir: certificate(t)}
			if slices.Contains(slices.Collect(maps.Values(tt.want)), "answered") { // it is waited for, so it is as short as the machine can have it
				r.Late = time.Second
			}
			rep, err := measure(t, r)
			for ; r.Late > 0 && r.Late < patience && err != nil && strings.Contains(err.Error(), "--late"); rep, err = measure(t, r) {
				r.Late *= 4
			}
			if err != nil {
				t.Fatal(err)
			}
			for kind, ending := range tt.want {
				got := rep.ByKind[string(kind)]
				if tt.name == "rstserver drain" && kind == kinds.H2 {
					// In a drain GOAWAY may come before, upon which the client may be the first to close.
					got["reset"] += got["GOAWAY then reset"] + got[left]
					delete(got, "GOAWAY then reset")
					delete(got, left)
				}
				expectTally(t, string(kind), got, map[string]int{ending: each})
			}
			if rep.Told == nil || !slices.Equal(rep.Exit, []string{"exit code 0"}) {
				t.Errorf("told after %v, exit %q", rep.Told, rep.Exit)
			}
			resets := tt.name != "rstserver drain" && !slices.ContainsFunc(slices.Collect(maps.Values(tt.want)), func(ending string) bool { return !strings.HasSuffix(ending, "reset") })
			if got := rep.Left[0].States; resets && got.Total() != 0 || got.Total() != got[sockdiag.TimeWait]+got[sockdiag.FinWait2] {
				t.Errorf("left: %s", got)
			}
		})
	}
}

// A comparison over TLS says so of its mixes, leaves out who cannot, and keeps no key.
func TestComparisonOverTLS(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	floor := peer("floor")
	floor.Bare, floor.Paths, floor.Role, floor.TLS = true, kinds.Paths{Get: "/"}, report.Floor, nil
	plain := faulty("none")
	plain.TLS = nil
	old := peer("nethttp-map")
	old.HTTP1 = true
	lying := peer("nethttp-close")
	lying.TLS = []string{} // it is said to serve over TLS, and does not
	c := &Comparison{
		Servers: []Server{ours(), floor, plain, old, lying}, TLS: true,
		N: []int{10}, Shares: []kinds.Shares{shares("idle"), shares("h2=1,h2-in-flight=1")}, Runs: 1, Timeout: patience, Late: patience,
	}
	d := compare(t, c)
	var cells, skipped, failed []string
	for _, cell := range d.Cells {
		cells = append(cells, cell.Server+": "+cell.Mix)
		expectTally(t, cell.Server+" "+cell.Mix, cell.Runs[0].Endings, map[string]int{map[bool]string{true: "close_notify then reset", false: "reset"}[cell.Server == old.Name]: 10})
		if cell.Runs[0].Pair != 0 {
			t.Errorf("a pair of plain programs is compared with handshakes")
		}
	}
	for _, o := range d.Skipped {
		skipped = append(skipped, o.Server+": "+o.Mix+": "+o.Reason)
	}
	for _, o := range d.Failed {
		failed = append(failed, o.Server+": "+o.Mix+": "+o.Reason)
	}
	const h2 = "50 % h2, 50 % h2-in-flight over TLS"
	if want := []string{"rstserver: idle over TLS", "floor: idle over TLS", "nethttp-map: idle over TLS", "rstserver: " + h2, "floor: " + h2}; !slices.Equal(cells, want) {
		t.Errorf("cells: %q, want %q", cells, want)
	}
	const without = "it is not started with TLS; a server is by what tls=ARGUMENTS adds"
	if want := []string{
		"faulty none: idle over TLS: " + without, "faulty none: " + h2 + ": " + without, "nethttp-map: " + h2 + ": it has no HTTP/2, for h2 connections",
	}; !slices.Equal(skipped, want) {
		t.Errorf("skipped: %q, want %q", skipped, want)
	}
	if len(failed) != 2 || !strings.Contains(failed[0], "the TLS handshake has failed") || !strings.Contains(failed[1], "the TLS handshake has failed") {
		t.Errorf("failed: %q", failed)
	}
	if command := strings.Join(d.Servers[0].Command, " "); !strings.HasSuffix(command, "--tls-cert {cert} --tls-key {key}") {
		t.Errorf("the command is shown as %q", command)
	}
	if left, err := os.ReadDir(tmp); len(left) > 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
}

// Whoever is measured over TLS has something by which it gets its certificate.
func TestRosterOverTLS(t *testing.T) {
	var able []string
	for _, k := range NewRoster("/bin/rstserver", "peers", "make peers") {
		switch {
		case k.TLS != nil && k.Bare:
			t.Errorf("%s has TLS, and none", k.Key)
		case k.Bare != (k.Role == report.Floor):
			t.Errorf("%s: bare is %t", k.Key, k.Bare)
		case k.TLS != nil:
			able = append(able, k.Key)
			if args := strings.Join(k.overTLS().words(k.overTLS().Command, localPort(1), "/tmp/x"), " "); !strings.HasSuffix(args, "/tmp/x/cert.pem /tmp/x/key.pem") &&
				!strings.HasSuffix(args, "/tmp/x/cert.pem --tls-key /tmp/x/key.pem") {
				t.Errorf("%s is started by %s", k.Key, args)
			}
		}
	}
	for _, key := range []string{"rstserver", "rstserver-drain", "rstserver-kill", "nethttp-close", "nethttp-shutdown", "nethttp-map", "nginx", "nginx-quit", "haproxy", "haproxy-soft", "caddy", "caddy-graceful", "node-map", "node-process-exit"} {
		if !slices.Contains(able, key) {
			t.Errorf("%s is not measured over TLS", key)
		}
	}
}
