package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"rstserver/internal/lingertest"
)

// TestLogConns follows three connections by their numbers: one closed, one that its client resets, one aborted.
func TestLogConns(t *testing.T) {
	for _, form := range []struct{ format, message, number, reason string }{
		{"text", `msg="connection %s"`, "conn=%d", "reason=SIGTERM"},
		{"json", `"msg":"connection %s"`, `"conn":%d,`, `"reason":"SIGTERM"`},
	} {
		t.Run(form.format, func(t *testing.T) {
			p := start(t, "--log-conns", "--log-format", form.format)
			logged := func(what string, number int) {
				t.Helper()
				lingertest.Wait(t, fmt.Sprintf("connection %d is %s", number, what), func() bool {
					return p.stderr.count(fmt.Sprintf(form.message, what), fmt.Sprintf(form.number, number)) == 1
				})
			}
			closed := dial(t, p.addr)
			logged("opened", 1)
			closed.Close()
			logged("closed", 1)
			aborted := dial(t, p.addr)
			logged("opened", 2)
			aborted.expectHello()
			if n := p.stderr.count(aborted.LocalAddr().String()); n != 1 {
				t.Errorf("%d log lines name the client's address %s, want 1", n, aborted.LocalAddr())
			}
			p.stop()
			aborted.expectReset()
			logged("aborted", 2)
			for what, want := range map[string]int{"opened": 2, "closed": 1, "aborted": 1} {
				if n := p.stderr.count(fmt.Sprintf(form.message, what)); n != want {
					t.Errorf("%d connections %s, want %d", n, what, want)
				}
			}
			if p.stderr.count(form.reason) != 1 {
				t.Errorf("no log line says %s", form.reason)
			}
		})
	}
}

func TestConnsAreNotLoggedUnasked(t *testing.T) {
	p := start(t)
	dial(t, p.addr).expectHello()
	p.stop()
	if n := p.stderr.count("connection"); n != 0 {
		t.Errorf("%d log lines about connections, want none", n)
	}
}

func TestQuiet(t *testing.T) {
	p := start(t, "--quiet", "--log-conns", "--shutdown-after", "1h")
	c := dial(t, p.addr)
	c.expectHello()
	p.stop()
	c.expectReset()
	if got := p.stderr.String(); got != "" {
		t.Errorf("stderr = %q, want nothing", got)
	}
	if got := p.stdout.String(); !strings.HasPrefix(got, "listening on ") || !strings.Contains(got, "\nteardown of ") {
		t.Errorf("stdout = %q, want the address and the report", got)
	}
	// What ends the program is still said.
	if _, stderr, code := runCommand("--quiet", "--addr", "192.0.2.1:80"); code != 1 || stderr == "" {
		t.Errorf("a failed start = exit code %d, stderr %q; want 1 and the reason", code, stderr)
	}
}

// TestReadersGone closes the other ends of stdout and stderr, as happens when the program that they are piped into ends.
func TestReadersGone(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(binary, "--log-conns")
	cmd.Stdout, cmd.Stderr = w, w
	p := launch(t, cmd)
	w.Close()
	var line string
	if _, err := fmt.Fscanf(r, "listening on http://%s\n", &line); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if err := p.addr.UnmarshalText([]byte(line)); err != nil {
		t.Fatal(err)
	}
	c := dial(t, p.addr)
	c.expectHello()
	c.expectHello()
	p.signal(syscall.SIGTERM)
	p.exit(0)
	c.expectReset()
	expectFree(t, p.addr)
}
