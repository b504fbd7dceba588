package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rstserver/internal/lingertest"
	"rstserver/poller"
)

func TestAppendCombined(t *testing.T) {
	began := time.Date(2000, 10, 10, 13, 55, 36, 999, time.FixedZone("", -7*60*60))
	for _, tc := range []struct {
		name   string
		answer poller.Answer
		want   string
	}{
		{"as in Apache's manual", poller.Answer{RequestLine: "GET /apache_pb.gif HTTP/1.0", Status: 200, Bytes: 2326,
			Referer: "http://www.example.com/start.html", UserAgent: "Mozilla/4.08 [en] (Win98; I ;Nav)"},
			`127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326 ` +
				`"http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)"`},
		{"no fields", poller.Answer{RequestLine: "GET / HTTP/1.1", Status: 304},
			`127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 304 0 "-" "-"`},
		{"no request line", poller.Answer{Status: 408, Bytes: 12},
			`127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "-" 408 12 "-" "-"`},
		{"more than 32 bits", poller.Answer{RequestLine: "GET / HTTP/1.1", Status: 200, Bytes: 1 << 40},
			`127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200 1099511627776 "-" "-"`},
		{"quotes", poller.Answer{RequestLine: `GET /" 200 0 "-" "- HTTP/1.1`, Status: 400, Referer: `a"b`, UserAgent: `c\"d\`},
			`127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET /\x22 200 0 \x22-\x22 \x22- HTTP/1.1" 400 0 "a\x22b" "c\x5C\x22d\x5C"`},
		{"lines", poller.Answer{RequestLine: "GET /\r\nx", Status: 400, UserAgent: "a\nb\x00\t\x1b[31m\x7f"},
			`127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET /\x0D\x0Ax" 400 0 "-" "a\x0Ab\x00\x09\x1B[31m\x7F"`},
		{"not ASCII", poller.Answer{RequestLine: "\x16\x03\x01\xff", Status: 400, UserAgent: "é\u2028"},
			`127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "\x16\x03\x01\xFF" 400 0 "-" "\xC3\xA9\xE2\x80\xA8"`},
		{"the ends of what is printed", poller.Answer{RequestLine: " !#[]~", Status: 400},
			`127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] " !#[]~" 400 0 "-" "-"`},
	} {
		tc.answer.Began = began
		tc.answer.Conn.Remote = netip.MustParseAddrPort("127.0.0.1:1234")
		if got := string(appendCombined(nil, &tc.answer)); got != tc.want+"\n" {
			t.Errorf("%s: got  %s\nwant %s", tc.name, got, tc.want)
		}
	}
	for remote, want := range map[string]string{
		"[2001:db8::1]:1":      "2001:db8::1 ",
		"[::ffff:192.0.2.1]:1": "192.0.2.1 ",
		"[fe80::1%eth0]:1":     "fe80::1 ",
	} {
		a := poller.Answer{Conn: poller.Conn{Remote: netip.MustParseAddrPort(remote)}}
		if got := string(appendCombined(nil, &a)); !strings.HasPrefix(got, want) {
			t.Errorf("from %s: got %s, want %s", remote, got, want)
		}
	}
	if got := string(appendCombined(nil, &poller.Answer{})); !strings.HasPrefix(got, "- - - [") {
		t.Errorf("from nobody: got %s", got)
	}
}

// TestAccessLogIsAppendedTo opens a log twice.
func TestAccessLogIsAppendedTo(t *testing.T) {
	name := filepath.Join(t.TempDir(), "access.log")
	for range 2 {
		a, err := openAccessLog(name, io.Discard, false, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			a.answered(poller.Answer{Status: 200, UserAgent: strings.Repeat("x", 100)})
		}
		a.close()
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(b), `"-" 200 0 "-" "xxx`); lines != 2000 {
		t.Errorf("the log has %d lines, want 2000", lines)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode()&^0o644 != 0 || info.Mode()&0o600 != 0o600 {
		t.Errorf("mode %s, %v; want 0644, or what the umask leaves of it", info.Mode(), err)
	}
}

// TestAccessLogThatFails says so once, and when it is over.
func TestAccessLogThatFails(t *testing.T) {
	var log bytes.Buffer
	w := &complainingWriter{w: errorWriter{}, log: slog.New(slog.NewTextHandler(&log, nil))}
	for range 3 {
		_, _ = w.Write([]byte("x\n"))
	}
	w.w = io.Discard
	for range 3 {
		_, _ = w.Write([]byte("x\n"))
	}
	got := log.String()
	if strings.Count(got, "\n") != 2 || !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "disk full") ||
		!strings.Contains(got, "can be written to again") {
		t.Errorf("log = %q, want one error and its end", got)
	}
}

type errorWriter struct{}

func (errorWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// TestJSONOnly: with --log-format json and the access log on stdout, every line of both is JSON.
func TestJSONOnly(t *testing.T) {
	p := start(t, "--log-format", "json", "--access-log", "-")
	dial(t, p.addr).expectHello()
	lingertest.Wait(t, "the line of the answer", func() bool { return p.stdout.count(`"request":"GET / HTTP/1.1"`, `"status":200`) == 1 })
	p.stop()
	for _, line := range append(p.stdout.lines(), p.stderr.lines()...) {
		if line != "" && !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}
