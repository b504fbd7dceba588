package main

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"rstserver/internal/sockdiagtest"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// crowd makes connections in every state in which a server can be told to let go, and returns them and their numbers. Some
// stop within their content, which the server is to allow (--min-body-rate 0).
func crowd(t *testing.T, p *process) (clients []*client, connections map[string]int) {
	t.Helper()
	connections = make(map[string]int)
	for _, kind := range []struct {
		n     int
		state string // as the Report calls it
		dial  func(testing.TB, netip.AddrPort) *client
		send  string
		ready func(*client)
	}{
		{20, "idle", dial, head("GET", "/"), func(c *client) { c.response("GET") }},
		{5, "new", dial, "", (*client).accepted},
		{5, "receiving", dial, "GET / HTTP/1.1\r\nHo", (*client).accepted},
		{5, "receiving", dial, head("POST", "/echo", "Content-Length: 100") + "some of it", (*client).accepted},
		{5, "handling", dial, patientSlow, (*client).accepted},
		{5, "sending", dialSlow, head("GET", "/bytes?n=1000000000"), (*client).stalled},
		{5, "sending", dialSlow, head("GET", "/bytes?n=1000000000"), func(c *client) {
			// Requests that the server leaves unread, as the client does not read the answer before them.
			c.stalled()
			c.send("%s", strings.Repeat(head("GET", "/"), 100))
			c.waitPeer("input is left unread", func(s sockdiag.Socket) bool { return s.RecvQueue > 0 })
		}},
	} {
		first := len(clients)
		for range kind.n {
			c := kind.dial(t, p.addr)
			c.send("%s", kind.send)
			clients = append(clients, c)
		}
		for _, c := range clients[first:] {
			kind.ready(c)
		}
		connections[kind.state] += kind.n
	}
	return clients, connections
}

func TestSignals(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		for _, arm := range []string{"armed", "unarmed"} {
			t.Run(signalName(sig)+" "+arm, func(t *testing.T) {
				args := []string{"--log-format", "json", "--min-body-rate", "0"}
				if arm == "unarmed" {
					args = append(args, "--no-arm")
				}
				p := start(t, args...)
				clients, connections := crowd(t, p)
				p.signal(sig)
				p.exit(0)
				for _, c := range clients {
					c.expectReset()
				}
				expectFree(t, p.addr)
				rep := p.report()
				for state, n := range connections {
					if rep.Connections[state] != n {
						t.Errorf("connections = %v, want %v", rep.Connections, connections)
						break
					}
				}
				if n := rep.Left.Outlived.Total(); n > 0 {
					t.Errorf("%d connections outlived the teardown: %s", n, rep.Left.Outlived)
				}
			})
		}
	}
}

// TestAbortInFlight aborts with answers on their way, and with a connection that is no longer the server's own.
func TestAbortInFlight(t *testing.T) {
	p := start(t, "--log-format", "json")
	clients := inFlight(t, p)
	clients[2].expectEcho("still here")
	p.stop()
	for _, c := range clients {
		c.expectReset()
	}
	expectFree(t, p.addr)
	if rep := p.report(); rep.Mode != "abort" || rep.Left.Outlived.Total() > 0 {
		t.Errorf("mode, outlived = %q, %s; want abort, none", rep.Mode, rep.Left.Outlived)
	}
}

// TestAcceptQueue aborts with clients whom the server has not even accepted.
func TestAcceptQueue(t *testing.T) {
	p := start(t, "--max-conns", "1")
	held := dial(t, p.addr)
	held.expectHello()
	var queued []*client
	for range 20 {
		c := dial(t, p.addr)
		c.send("%s", head("GET", "/"))
		queued = append(queued, c)
	}
	p.stop()
	for _, c := range append(queued, held) {
		c.expectReset()
	}
	expectFree(t, p.addr)
}

// TestSecondSignal sends two signals to a process that is stopped, so that it meets both at once.
func TestSecondSignal(t *testing.T) {
	p := start(t)
	var clients []*client
	for range 500 {
		clients = append(clients, dial(t, p.addr))
	}
	clients[len(clients)-1].expectHello()
	p.signal(syscall.SIGSTOP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCONT)
	p.exit(1)
	if got := p.stderr.String(); !strings.Contains(got, "during the teardown: exiting at once") {
		t.Errorf("stderr = %q, want it to say that the exit was at once", got)
	}
	if got := p.stdout.lines(); len(got) != 2 {
		t.Errorf("stdout = %q, want nothing behind the first line", got)
	}
	for _, c := range clients {
		c.expectReset()
	}
	expectFree(t, p.addr)
}

// TestResidue ends with connections closed whose TIME_WAIT is the server's. The report tells of them, and they are no failure.
func TestResidue(t *testing.T) {
	p := start(t, "--log-format", "json")
	const n = 3
	for range n {
		c := dial(t, p.addr)
		c.send("GET / HTTP/1.0\r\n\r\n")
		c.response("GET")
		c.expectEnd()
		c.Close()
		c.waitPeer("TIME_WAIT", func(s sockdiag.Socket) bool { return s.State == sockdiag.TimeWait })
	}
	p.stop()
	rep := p.report()
	if got := rep.Left.Residue[sockdiag.TimeWait]; got != n || rep.Left.Residue.Total() != n {
		t.Errorf("residue = %s, want TIME_WAIT %d", rep.Left.Residue, n)
	}
	if err := linger.CheckFree(p.addr); err == nil {
		t.Error("the port is free, although connections are in TIME_WAIT")
	}
	// The next server does not mind.
	next := start(t, "--addr", p.addr.String())
	dial(t, next.addr).expectHello()
	next.stop()
}

// TestSuccessor starts a server on a port as soon as the one before has ended, over and over.
func TestSuccessor(t *testing.T) {
	addr := sockdiagtest.OwnAddr(t, "127.0.0.1:0")
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	for range rounds {
		p := start(t, "--addr", addr)
		c := dial(t, p.addr)
		c.expectHello()
		p.stop()
		c.expectReset()
		expectFree(t, p.addr)
	}
}
