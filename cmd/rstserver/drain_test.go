package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

// patientSlow is a request that is not answered before a test is over, if nothing sees to it.
var patientSlow = head("GET", "/slow?ms=86400000")

// refuses reports whether the port refuses connections. One that comes just before that may be reset while it is being made.
func refuses(t testing.TB, addr netip.AddrPort) bool {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr.String(), lingertest.Patience)
	switch {
	case err == nil:
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	case errors.Is(err, syscall.ECONNREFUSED):
		return true
	case !errors.Is(err, syscall.ECONNRESET):
		t.Fatalf("dialling %s: %v, want ECONNREFUSED", addr, err)
	}
	return false
}

// waitLog waits for a log line with all of parts.
func (p *process) waitLog(parts ...string) {
	p.t.Helper()
	lingertest.Wait(p.t, "a log line with "+strings.Join(parts, ", "), func() bool { return p.stderr.count(parts...) > 0 })
}

// TestDrain drains with connections in every state. What is in flight is finished, and the rest is reset.
func TestDrain(t *testing.T) {
	t.Parallel()
	// One request has to last until the signal has come. How long that takes is the machine's affair.
	for ms := 1000; !drains(t, ms) && !t.Failed(); ms *= 4 {
		if ms > int(lingertest.Patience/time.Millisecond) {
			t.Fatalf("%d ms are not enough for a signal to come", ms)
		}
	}
}

// drains is a drain with a request that takes so many milliseconds, and reports whether that was longer than it took to send the signal.
func drains(t *testing.T, ms int) bool {
	p := start(t, "--log-format", "json", "--drain-timeout", "0", "--min-body-rate", "0")
	idle, fresh := dial(t, p.addr), dial(t, p.addr)
	idle.expectHello()
	fresh.accepted()
	half, content, upgraded := dial(t, p.addr), dial(t, p.addr), dial(t, p.addr)
	half.send("GET / HTTP/1.1\r\nHo")
	half.accepted()
	content.send("%s", head("POST", "/echo", "Content-Length: 10")+"01234")
	content.accepted()
	upgraded.send("%s", upgradeRequest)
	upgraded.expectUpgrade()
	// A stream lasts as long as its client does not read.
	stream, slow := dialSlow(t, p.addr), dial(t, p.addr)
	stream.send("%s", head("GET", "/stream?chunks=100&bytes=100000&ms=0"))
	stream.stalled()
	slow.send("%s", head("GET", "/slow?ms="+itoa(ms)))
	slow.accepted()
	p.signal(syscall.SIGQUIT)

	idle.expectReset()
	fresh.expectReset()
	// Whoever was in the accept queue is taken in before.
	lingertest.Wait(t, "the port refuses", func() bool { return refuses(t, p.addr) })
	p.waitLog(`"msg":"draining"`, `"reason":"SIGQUIT"`, `"timeout":"none"`)
	upgraded.expectEcho("still here")
	// An upload that stalls is not waited for as long as a request can be slow.
	half.send("st: test\r\n\r\n")
	content.send("56789")
	for _, tc := range []struct {
		name, method, body string
		c                  *client
	}{
		{"half a head", "GET", hello, half},
		{"half the content", "POST", "0123456789", content},
		{"stream", "GET", counted(10_000_000), stream},
	} {
		resp, body := tc.c.response(tc.method)
		// The head of the stream was sent before the drain began.
		if resp.StatusCode != 200 || body != tc.body || !resp.Close && tc.c != stream {
			t.Errorf("%s: got %s, %d bytes, close %t; want 200, %d, close", tc.name, resp.Status, len(body), resp.Close, len(tc.body))
		}
		tc.c.Close()
	}
	resp, body := slow.response("GET")
	if !resp.Close {
		return false
	}
	if want := fmt.Sprintf("slept %d ms\n", ms); resp.StatusCode != 200 || body != want {
		t.Errorf("slow: got %s, %q; want 200, %q", resp.Status, body, want)
	}
	slow.Close()
	select {
	case <-p.ended:
		t.Error("it ended before the upgraded connection did")
	default:
	}
	upgraded.expectEcho("and still")
	if err := upgraded.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	upgraded.expectEnd()
	upgraded.Close()
	p.exit(0)
	expectFree(t, p.addr)
	if rep := p.report(); rep.Mode != "drain" || rep.Left.Outlived.Total() > 0 {
		t.Errorf("mode, outlived = %q, %s; want drain, none", rep.Mode, rep.Left.Outlived)
	}
	return true
}

// TestDrainOfNothing is over at once.
func TestDrainOfNothing(t *testing.T) {
	for _, n := range []int{0, 10} {
		p := start(t, "--drain-timeout", "0", "--log-format", "json")
		var clients []*client
		for range n {
			clients = append(clients, dial(t, p.addr))
			clients[len(clients)-1].expectHello()
		}
		p.signal(syscall.SIGQUIT)
		p.exit(0)
		for _, c := range clients {
			c.expectReset()
		}
		expectFree(t, p.addr)
		if rep := p.report(); rep.Mode != "drain" {
			t.Errorf("mode = %q, want drain", rep.Mode)
		}
	}
}

// inFlight returns clients with requests in flight that do not end by themselves, one of each kind.
func inFlight(t testing.TB, p *process) []*client {
	t.Helper()
	slow, stream, upgraded, half, sending := dial(t, p.addr), dial(t, p.addr), dial(t, p.addr), dial(t, p.addr), dialSlow(t, p.addr)
	slow.send("%s", patientSlow)
	slow.accepted()
	stream.send("%s", head("GET", "/stream?chunks=2&bytes=10&ms=86400000"))
	if _, err := stream.r.Peek(1); err != nil {
		t.Fatal(err)
	}
	upgraded.send("%s", upgradeRequest)
	upgraded.expectUpgrade()
	half.send("GET / HTTP/1.1\r\nHo")
	half.accepted()
	sending.send("%s", head("GET", "/bytes?n=1000000000"))
	sending.stalled()
	return []*client{slow, stream, upgraded, half, sending}
}

// TestDrainTimeout cuts off what does not end.
func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	p := start(t, "--log-format", "json", "--drain-timeout", "200ms")
	clients := inFlight(t, p)
	p.signal(syscall.SIGQUIT)
	p.exit(0)
	for _, c := range clients {
		c.expectReset()
	}
	expectFree(t, p.addr)
	if p.stderr.count(`"msg":"draining"`, `"timeout":"200ms"`) != 1 || p.stderr.count("the drain reached its timeout") != 1 {
		t.Errorf("stderr = %q, want that it drained and that the timeout was reached", p.stderr.String())
	}
	if rep := p.report(); rep.Mode != "drain" || rep.Left.Outlived.Total() > 0 {
		t.Errorf("mode, outlived = %q, %s; want drain, none", rep.Mode, rep.Left.Outlived)
	}
}

// TestDrainSpread lets idle clients wait for their turn, which for nearly all of them is beyond the drain's timeout.
func TestDrainSpread(t *testing.T) {
	p := start(t, "--log-format", "json", "--drain-spread", "24h", "--drain-timeout", "0")
	const n = 5
	var clients []*client
	for range n {
		c := dial(t, p.addr)
		c.expectHello()
		clients = append(clients, c)
	}
	p.signal(syscall.SIGQUIT)
	lingertest.Wait(t, "the port refuses", func() bool { return refuses(t, p.addr) })
	// One that asks before its turn is answered, and told that this was the last time.
	clients[0].send("%s", head("GET", "/"))
	if resp, body := clients[0].response("GET"); body != hello || !resp.Close {
		t.Errorf("before its turn a client gets %s %q, close %v", resp.Status, body, resp.Close)
	}
	p.signal(syscall.SIGTERM)
	p.exit(0)
	for _, c := range clients[1:] {
		c.expectReset()
	}
	expectFree(t, p.addr)
}

// TestAbortOfDrain ends a drain that would go on for ever, by a signal.
func TestAbortOfDrain(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		onTerm string
		first  syscall.Signal
		second syscall.Signal
	}{
		{"SIGQUIT, SIGTERM", "abort", syscall.SIGQUIT, syscall.SIGTERM},
		{"SIGQUIT, SIGINT", "drain", syscall.SIGQUIT, syscall.SIGINT},
		{"SIGTERM, SIGTERM", "drain", syscall.SIGTERM, syscall.SIGTERM},
		{"SIGINT, SIGTERM", "drain", syscall.SIGINT, syscall.SIGTERM},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := start(t, "--log-format", "json", "--drain-timeout", "0", "--on-term", tc.onTerm)
			idle := dial(t, p.addr)
			idle.expectHello()
			clients := inFlight(t, p)
			p.signal(tc.first)
			idle.expectReset()
			p.waitLog(`"msg":"draining"`, signalName(tc.first))
			// Neither of these changes anything.
			p.signal(syscall.SIGQUIT, syscall.SIGUSR1)
			p.waitLog("signal without effect", `"signal":"SIGQUIT"`, `"during":"drain"`)
			p.waitLog("signal without effect", `"signal":"SIGUSR1"`, `"during":"drain"`)
			clients[2].expectEcho("still here")
			p.signal(tc.second)
			p.exit(0)
			for _, c := range clients {
				c.expectReset()
			}
			expectFree(t, p.addr)
			if p.stderr.count(`"msg":"aborting"`, signalName(tc.second)) != 1 {
				t.Errorf("stderr = %q, want that %s aborted", p.stderr.String(), signalName(tc.second))
			}
			if rep := p.report(); rep.Left.Outlived.Total() > 0 {
				t.Errorf("outlived = %s, want none", rep.Left.Outlived)
			}
			// It was not a deadline that cut them.
			if got := p.stdout.String(); !strings.Contains(got, `"cut_at_deadline":{},"cut_by_abort":{"`) {
				t.Errorf("stdout = %s, want that an abort cut them", got)
			}
		})
	}
}

// TestThirdSignal sends the second and the third to a process that is stopped, so that it meets both at once.
func TestThirdSignal(t *testing.T) {
	t.Parallel()
	p := start(t, "--on-term", "drain", "--drain-timeout", "0")
	idle := dial(t, p.addr)
	idle.expectHello()
	var clients []*client
	for range 500 {
		c := dial(t, p.addr)
		c.send("GET / HTTP/1.1\r\nHo")
		clients = append(clients, c)
	}
	for _, c := range clients {
		c.accepted()
	}
	p.signal(syscall.SIGTERM)
	idle.expectReset()
	p.waitLog("msg=draining")
	p.signal(syscall.SIGSTOP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCONT)
	p.exit(1)
	if got := p.stderr.String(); !strings.Contains(got, "during the teardown: exiting at once") {
		t.Errorf("stderr = %q, want it to say that the exit was at once", got)
	}
	for _, c := range clients {
		c.expectReset()
	}
	expectFree(t, p.addr)
}

// TestOnTermDrain finishes what is in flight.
func TestOnTermDrain(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signalName(sig), func(t *testing.T) {
			p := start(t, "--on-term", "drain", "--log-format", "json")
			idle, half := dial(t, p.addr), dial(t, p.addr)
			idle.expectHello()
			half.send("GET / HT")
			half.accepted()
			p.signal(sig)
			idle.expectReset()
			half.send("TP/1.1\r\nHost: test\r\n\r\n")
			if resp, body := half.response("GET"); body != hello || !resp.Close {
				t.Errorf("got %q, close %t; want %q, close", body, resp.Close, hello)
			}
			half.Close()
			p.exit(0)
			expectFree(t, p.addr)
			if rep := p.report(); rep.Mode != "drain" {
				t.Errorf("mode = %q, want drain", rep.Mode)
			}
			if p.stderr.count(`"msg":"draining"`, signalName(sig), `"timeout":"30s"`) != 1 {
				t.Errorf("stderr = %q, want that %s drains for 30s", p.stderr.String(), signalName(sig))
			}
		})
	}
}
