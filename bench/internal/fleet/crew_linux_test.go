//go:build linux

package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"rstserver/bench/kinds"
	"rstserver/internal/lingertest"
)

// A process of clients says what it was told wrong, and nothing when it was told nothing.
func TestServe(t *testing.T) {
	tests := []struct {
		name, in, answer, err string
	}{
		{name: "nothing"},
		{name: "no JSON", in: "open sesame", err: "is started by the benchmark"},
		{name: "no order", in: `{"stop":true}`, err: "is started by the benchmark"},
		{name: "no path", in: `{"open":{"target":{"addr":"127.0.0.1:1","paths":{"get":""}},"mix":[{"Kind":"idle","N":1}],"to":1}}`, answer: "it has no path for idle connections"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			err := Serve(strings.NewReader(tt.in), &out)
			if tt.err == "" && err != nil {
				t.Error(err)
			} else if tt.err != "" {
				lingertest.ExpectError(t, err, tt.err)
			}
			var a answer
			if out.Len() > 0 {
				if err := json.Unmarshal(out.Bytes(), &a); err != nil {
					t.Fatal(err)
				}
			}
			if tt.answer == "" && out.Len() > 0 || !strings.Contains(a.Err, tt.answer) {
				t.Errorf("answered %q, want %q", out.String(), tt.answer)
			}
		})
	}
}

// gathering is a server that does with its connections what is to be done with all of them once n are there. Until then none is answered.
func gathering(t *testing.T, n int, do func(i int, c net.Conn)) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan []net.Conn, 1)
	var serving sync.WaitGroup
	serving.Go(func() {
		var conns []net.Conn
		defer func() { accepted <- conns }()
		for len(conns) < n {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
		for i, c := range conns {
			serving.Go(func() { do(i, c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		for _, c := range <-accepted {
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
		serving.Wait()
	})
	return netip.MustParseAddrPort(ln.Addr().String())
}

// hire starts n clients, in processes of five each.
func hire(t *testing.T, n int) *Crew {
	t.Helper()
	crew, err := Hire(clients, n, 5)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(crew.Dismiss)
	return crew
}

func unasked() error { return nil }

// The processes of a crew open their connections beside each other: a server that answers nobody before all have come has all of them.
func TestCrewOpensBesideEachOther(t *testing.T) {
	const n = 20
	addr := gathering(t, n, func(_ int, c net.Conn) {
		b := make([]byte, 1<<10)
		for got := ""; !strings.Contains(got, "\r\n\r\n"); {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			got += string(b[:n])
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		_, _ = io.Copy(io.Discard, c)
	})
	crew := hire(t, n)
	o := Order{Target: Target{Addr: addr, Paths: kinds.Paths{Get: "/"}}, Mix: All(n, kinds.Idle), Patience: lingertest.Patience}
	last := 0
	progress := func(opened int) {
		if opened < last {
			t.Errorf("%d are open behind %d", opened, last)
		}
		last = opened
	}
	if err := crew.Open(t.Context(), o, progress, unasked); err != nil {
		t.Fatal(err)
	}
	if last != n {
		t.Errorf("%d are open at last, want %d", last, n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if e, err := crew.Watch(ctx); e.By != (Tally{Untold: n}) || err != nil {
		t.Errorf("%s, %v; want %d untold", e, err, n)
	}
}

// What the server has not taken in is counted over all processes, since the kernel is asked for all of them at a time.
func TestCrewAsksForAll(t *testing.T) {
	const n, unread = 20, 7
	const want = "has not taken 7 of 20 connections in"
	for patience := 250 * time.Millisecond; ; patience *= 4 { // as much as the machine needs to come so far
		addr := gathering(t, n, func(i int, c net.Conn) {
			if i >= unread {
				_, _ = io.Copy(io.Discard, c)
			}
		})
		o := Order{Target: Target{Addr: addr, Paths: kinds.Paths{Get: "/"}}, Mix: All(n, kinds.Half), Patience: patience}
		err := hire(t, n).Open(t.Context(), o, func(int) {}, unasked)
		var met Error
		switch {
		case errors.As(err, &met) && strings.Contains(string(met), want):
			return
		case err == nil || patience > lingertest.Patience:
			t.Fatalf("got %v, want %q", err, want)
		}
	}
}

// A client that is told something between the opening of its own connections and that of all is no success.
func TestCrewEndsEarly(t *testing.T) {
	const n = 20
	addr := gathering(t, n, func(i int, c net.Conn) {
		if i == n/2 {
			c.Close()
		}
	})
	crew := hire(t, n)
	o := Order{Target: Target{Addr: addr, Paths: kinds.Paths{Get: "/"}}, Mix: All(n, kinds.Half), Patience: lingertest.Patience}
	lingertest.ExpectError(t, crew.Open(t.Context(), o, func(int) {}, unasked), "ended connections before their time")
}
