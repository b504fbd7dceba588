package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"rstserver/internal/lingertest"
)

// fronted is a command with --health and --admin.
type fronted struct {
	*process
	t      testing.TB
	health string // its URL
	admin  string // its --admin
}

func startFronted(t testing.TB, args ...string) *fronted {
	t.Helper()
	f := &fronted{t: t, admin: "unix:" + filepath.Join(t.TempDir(), "admin")}
	f.process = start(t, append([]string{"--health", "127.0.0.1:0", "--admin", f.admin}, args...)...)
	f.findHealth()
	return f
}

// findHealth waits for the line that says where that is.
func (f *fronted) findHealth() {
	f.t.Helper()
	f.findHealthIn(&f.stdout)
}

func (f *fronted) findHealthIn(out *output) {
	f.t.Helper()
	lingertest.Wait(f.t, "health is served", func() bool {
		for _, line := range out.lines() {
			if addr, ok := strings.CutPrefix(line, "health on "); ok {
				f.health = "http://" + addr
			}
		}
		return f.health != "" && out.count("admin on ") > 0
	})
}

// run runs another command on the server.
func (f *fronted) run(args ...string) (stdout string, code int) {
	stdout, stderr, code := runCommand(append([]string{args[0], "--admin", f.admin}, args[1:]...)...)
	if stderr != "" {
		f.t.Logf("%q: %s", args, stderr)
	}
	return stdout, code
}

// get is a GET by a client of its own.
func get(t testing.TB, url string) (status int, content string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: lingertest.Patience}
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// samples are what is scraped: the sums over all that have the labels. Of a histogram it is what was counted.
type samples func(name string, labels ...string) float64

// scrape reads the text by itself: tests that wait for a number scrape again and again, and Prometheus' own parser, under the race
// detector, takes more of a processor than the server does. That the text is as Prometheus wants it is TestPromtool's affair.
func (f *fronted) scrape() samples {
	f.t.Helper()
	status, text := get(f.t, f.health+"/metrics")
	if status != 200 {
		f.t.Fatalf("/metrics answers %d: %s", status, text)
	}
	return func(name string, labels ...string) (sum float64) {
		f.t.Helper()
		for line := range strings.Lines(text) {
			rest, ok := strings.CutPrefix(line, "rstserver_"+name)
			if !ok {
				continue
			}
			rest = strings.TrimPrefix(rest, "_count")
			if rest[0] != '{' && rest[0] != ' ' {
				continue // another, whose name begins alike
			}
			end := strings.LastIndexByte(rest, ' ')
			has, value := rest[:end], strings.TrimSpace(rest[end:])
			matches := true
			for i := 0; i < len(labels); i += 2 {
				label := labels[i] + `="` + labels[i+1] + `"`
				matches = matches && (strings.Contains(has, "{"+label) || strings.Contains(has, ","+label))
			}
			if !matches {
				continue
			}
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				f.t.Fatalf("/metrics has the line %q: %v", line, err)
			}
			sum += n
		}
		return sum
	}
}

// addUp checks that every connection that was accepted is held or has ended.
func (s samples) addUp(t testing.TB) {
	t.Helper()
	if accepted, held, ended := s("connections_accepted_total"), s("connections"), s("connections_ended_total"); accepted != held+ended {
		t.Errorf("%v connections were accepted, %v are held and %v have ended", accepted, held, ended)
	}
	if requests, timed := s("http_requests_total"), s("http_request_duration_seconds"); requests != timed {
		t.Errorf("%v requests were answered, and %v were timed", requests, timed)
	}
}

// inside is a client of an admin socket.
func inside(admin string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(admin, "unix:"))
	}}}
}
