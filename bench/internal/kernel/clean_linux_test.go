//go:build linux

package kernel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

// leave leaves n connections of which the server has closed its end: orphans, until the clients reset them or the kernel gives up.
func leave(t *testing.T, n int) (port uint16, reset func()) {
	t.Helper()
	ln, err := net.Listen("tcp", sockdiagtest.OwnAddr(t, "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var clients []net.Conn
	reset = func() {
		for _, c := range clients {
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	}
	t.Cleanup(reset)
	for range n {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
		s, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	port = netip.MustParseAddrPort(ln.Addr().String()).Port()
	lingertest.Wait(t, "FIN_WAIT2", func() bool {
		counts, _, err := sockdiag.Count(port)
		return err == nil && counts[sockdiag.FinWait2] == n
	})
	return port, reset
}

// What is left is destroyed, also when ctx has ended.
func TestClean(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	const n = 20
	port, _ := leave(t, n)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := Clean(ctx, port, func(left sockdiag.Counts) { t.Errorf("it waits for %s", left) })
	if got != n || err != nil {
		t.Errorf("Clean() = %d, %v, want %d", got, err, n)
	}
	if left := lingertest.Leftover(port); left != "" {
		t.Errorf("left:\n%s", left)
	}
}

// A port that is still held is an error that says by whom.
func TestCleanHeld(t *testing.T) {
	ln, err := net.Listen("tcp", sockdiagtest.OwnAddr(t, "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	port := netip.MustParseAddrPort(ln.Addr().String()).Port()
	_, err = Clean(t.Context(), port, func(sockdiag.Counts) {})
	lingertest.ExpectError(t, err, "still held", "pid")
}

// What may not be destroyed is waited for.
func TestCleanUnprivileged(t *testing.T) {
	prepare := func() error { return errors.Join(lingertest.Network(nil), lingertest.Unprivileged()) }
	if !lingertest.Elsewhere(t, prepare) {
		return
	}
	if sockdiag.CanDestroy() == nil {
		t.Fatal("sockets can be destroyed")
	}
	const n = 20
	port, reset := leave(t, n)
	waited := 0
	got, err := Clean(t.Context(), port, func(left sockdiag.Counts) {
		if waited++; waited > 1 {
			return // what is left of them
		}
		if left != (sockdiag.Counts{sockdiag.FinWait2: n}) {
			t.Errorf("it waits for %s", left)
		}
		reset()
	})
	if got != n || err != nil {
		t.Errorf("Clean() = %d, %v, want %d", got, err, n)
	}
	if waited == 0 {
		t.Error("it has not told what it waits for")
	}
	if left := lingertest.Leftover(port); left != "" {
		t.Errorf("left:\n%s", left)
	}
}
