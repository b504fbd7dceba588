package main

import (
	"bytes"
	"log/slog"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestCountdown(t *testing.T) {
	for _, tc := range []struct {
		d    time.Duration
		want string
	}{
		{500 * time.Millisecond, "500ms"},
		{time.Second, "1s"},
		{2500 * time.Millisecond, "2.5s 2s 1s"},
		{3 * time.Second, "3s 2s 1s"},
		{time.Minute, "1m0s 10s 9s 8s 7s 6s 5s 4s 3s 2s 1s"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			began := time.Now()
			c := newCountdown(tc.d, slog.New(slog.NewTextHandler(&log, nil)))
			c.begin()
			<-c.over
			c.stop()
			if took := time.Since(began); took != tc.d {
				t.Errorf("newCountdown(%s) took %s", tc.d, took)
			}
			var got []string
			for _, m := range regexp.MustCompile(`in=(\S+)`).FindAllStringSubmatch(log.String(), -1) {
				got = append(got, m[1])
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("newCountdown(%s) logs %v, want %s", tc.d, got, tc.want)
			}
		})
	}
}

func TestCountdownStops(t *testing.T) {
	for _, d := range []time.Duration{0, time.Hour} {
		synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left
			c := newCountdown(d, slog.New(slog.DiscardHandler))
			c.begin()
			c.stop()
		})
	}
}

// TestShutdownAfter is the real thing.
func TestShutdownAfter(t *testing.T) {
	t.Parallel()
	const d = 300 * time.Millisecond
	began := time.Now()
	p := launch(t, exec.Command(binary, "--shutdown-after", d.String(), "--log-format", "json"))
	p.exit(0)
	if took := time.Since(began); took < d {
		t.Errorf("it ended after %s, want %s", took, d)
	}
	if rep := p.report(); rep.Mode != "abort" {
		t.Errorf("mode = %q, want abort", rep.Mode)
	}
	if p.stderr.count("shutting down", d.String()) != 1 || p.stderr.count(`"reason":"countdown"`) != 1 {
		t.Errorf("stderr = %q, want how long it takes, and the reason", p.stderr.String())
	}
}

// TestSignalDuringCountdown sends a signal before the countdown's end.
func TestSignalDuringCountdown(t *testing.T) {
	p := start(t, "--shutdown-after", "1h")
	dial(t, p.addr).expectHello()
	p.stop()
	if p.stderr.count("shutting down", "in=1h0m0s") != 1 {
		t.Errorf("stderr = %q, want the countdown's first line", p.stderr.String())
	}
}
