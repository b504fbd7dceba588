package main

import (
	"syscall"
	"testing"

	"rstserver/linger/sockdiag"
)

// TestRelease starts a successor on the port while connections of the old process are served on.
func TestRelease(t *testing.T) {
	p := start(t, "--log-format", "json", "--log-conns")
	kept, upgraded, half := dial(t, p.addr), dial(t, p.addr), dial(t, p.addr)
	kept.expectHello()
	upgraded.send("%s", upgradeRequest)
	upgraded.expectUpgrade()
	half.send("GET / HTTP/1.1\r\nHo")
	half.accepted()
	p.signal(syscall.SIGUSR1)
	p.waitLog(`"msg":"released`)
	if p.stderr.count(`"msg":"releasing the port"`, `"reason":"SIGUSR1"`) != 1 {
		t.Errorf("stderr = %q, want the reason", p.stderr.String())
	}
	if !refuses(t, p.addr) {
		t.Error("a port that has been released does not refuse")
	}
	// A second one changes nothing.
	p.signal(syscall.SIGUSR1)
	p.waitLog("signal without effect", `"signal":"SIGUSR1"`, `"during":"release"`)

	successor := start(t, "--addr", p.addr.String(), "--log-conns")
	fresh := dial(t, p.addr)
	fresh.expectHello()
	successor.waitLog("connection opened", fresh.LocalAddr().String())
	for range 3 {
		kept.expectHello()
		upgraded.expectEcho("still here")
	}
	kept.send("%s", head("GET", "/slow?ms=1"))
	if _, body := kept.response("GET"); body != "slept 1 ms\n" {
		t.Errorf("a worker's answer after the release = %q", body)
	}
	half.send("st: test\r\n\r\n")
	if resp, body := half.response("GET"); body != hello || resp.Close {
		t.Errorf("got %q, close %t; want %q, and that the connection stays", body, resp.Close, hello)
	}
	half.Close()
	upgraded.Close()
	kept.expectHello()
	select {
	case <-p.ended:
		t.Error("it ended before its last connection did")
	default:
	}
	kept.Close()
	p.exit(0)
	rep := p.report()
	if rep.Mode != "release" || rep.Left.Outlived.Total() > 0 {
		t.Errorf("mode, outlived = %q, %s; want release, none", rep.Mode, rep.Left.Outlived)
	}
	if others := rep.Left.Others; others[sockdiag.Listen] != 1 || others[sockdiag.Established] != 1 {
		t.Errorf("others = %s, want LISTEN 1, ESTABLISHED 1", others)
	}
	fresh.expectHello()
	successor.stop()
	fresh.expectReset()
	expectFree(t, p.addr)
}

// TestReleaseOfNothing is over at once.
func TestReleaseOfNothing(t *testing.T) {
	p := start(t, "--log-format", "json")
	p.signal(syscall.SIGUSR1)
	p.exit(0)
	expectFree(t, p.addr)
	if rep := p.report(); rep.Mode != "release" {
		t.Errorf("mode = %q, want release", rep.Mode)
	}
}

// TestEndOfRelease has further signals end what the release has left.
func TestEndOfRelease(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, onTerm string
		sig          syscall.Signal
		drains       bool
	}{
		{"SIGTERM", "abort", syscall.SIGTERM, false},
		{"SIGINT", "abort", syscall.SIGINT, false},
		{"SIGTERM that drains", "drain", syscall.SIGTERM, true},
		{"SIGQUIT", "abort", syscall.SIGQUIT, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := start(t, "--log-format", "json", "--on-term", tc.onTerm)
			idle, half := dial(t, p.addr), dial(t, p.addr)
			idle.expectHello()
			half.send("GET / HTTP/1.1\r\nHo")
			half.accepted()
			p.signal(syscall.SIGUSR1)
			p.waitLog(`"msg":"released`)
			successor := start(t, "--addr", p.addr.String())
			fresh := dial(t, p.addr)
			fresh.expectHello()
			p.signal(tc.sig)
			idle.expectReset()
			if tc.drains {
				half.send("st: test\r\n\r\n")
				if resp, body := half.response("GET"); body != hello || !resp.Close {
					t.Errorf("got %q, close %t; want %q, close", body, resp.Close, hello)
				}
				half.Close()
			} else {
				half.expectReset()
			}
			p.exit(0)
			if rep := p.report(); rep.Left.Outlived.Total() > 0 {
				t.Errorf("outlived = %s, want none", rep.Left.Outlived)
			}
			fresh.expectHello()
			successor.stop()
			expectFree(t, p.addr)
		})
	}
}
