//go:build linux

package wire

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/bench/internal/kernel"
	"rstserver/internal/lingertest"
)

// open opens a tap that ends with the test, which it skips where that needs what the test does not have.
func open(t *testing.T, port uint16, room int) *Tap {
	t.Helper()
	tap, err := Open(port, room)
	if errors.Is(err, unix.EPERM) {
		t.Skipf("needs CAP_NET_RAW (run the tests as root): %v", err)
	}
	lingertest.Must(t, err)
	t.Cleanup(tap.Close)
	return tap
}

// pair is a connection.
type pair struct{ client, server *net.TCPConn }

// own is the client's address.
func (p pair) own() netip.AddrPort { return p.client.LocalAddr().(*net.TCPAddr).AddrPort() }

// listen listens on a port that ends with the test.
func listen(t *testing.T, addr string) *net.TCPListener {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	lingertest.Must(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln.(*net.TCPListener)
}

func portOf(ln *net.TCPListener) uint16 { return ln.Addr().(*net.TCPAddr).AddrPort().Port() }

// connect opens n connections.
func connect(t *testing.T, ln *net.TCPListener, n int) []pair {
	t.Helper()
	pairs := make([]pair, n)
	for i := range pairs {
		pairs[i].client = lingertest.Dial(t, net.Dialer{}, ln.Addr().(*net.TCPAddr).AddrPort())
		s, err := ln.AcceptTCP()
		lingertest.Must(t, err)
		t.Cleanup(func() { s.Close() })
		pairs[i].server = s
	}
	return pairs
}

// reset ends connections from the server's side and waits until the clients know.
func reset(t *testing.T, pairs []pair) {
	t.Helper()
	for _, p := range pairs {
		lingertest.Must(t, p.server.SetLinger(0))
		lingertest.Must(t, p.server.Close())
		if _, err := p.client.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
			t.Fatalf("the client reads %v, want a reset", err)
		}
	}
}

// finish is reset with FIN.
func finish(t *testing.T, pairs []pair) {
	t.Helper()
	for _, p := range pairs {
		lingertest.Must(t, p.server.CloseWrite())
		if _, err := p.client.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("the client reads %v, want the end", err)
		}
	}
}

// expectEnds lets a server end connections in either way and leave others, among much else that goes over the loopback interface, and
// expects that the tap has seen each end, at its time, and nothing else.
func expectEnds(t *testing.T, addr string) {
	const n = 25
	ln, other := listen(t, addr), listen(t, addr)
	tap := open(t, portOf(ln), 4*n)
	before := kernel.Now()
	byRST, byFIN, left, byClient, others := connect(t, ln, n), connect(t, ln, n+1), connect(t, ln, 3), connect(t, ln, 5), connect(t, other, 7)
	for _, p := range left {
		_, err := p.server.Write([]byte("hello"))
		lingertest.Must(t, err)
		_, err = io.ReadFull(p.client, make([]byte, len("hello")))
		lingertest.Must(t, err)
	}
	for _, p := range byClient { // which the server does not answer with an end of its own
		lingertest.Must(t, p.client.Close())
		if _, err := p.server.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
			t.Fatalf("the server reads %v, want a reset", err)
		}
	}
	reset(t, others)
	reset(t, byRST)
	between := kernel.Now()
	finish(t, byFIN)
	after := kernel.Now()
	seen, err := tap.Read()
	lingertest.Must(t, err)

	if seen.Dropped > 0 {
		t.Errorf("%d segments were dropped", seen.Dropped)
	}
	got := make(map[netip.AddrPort]Segment)
	for _, s := range seen.Segments {
		if first, again := got[s.To]; again && (s.RST || first.RST) { // a FIN may be sent again
			t.Errorf("%s was sent a segment after its last one", s.To)
		} else if !again {
			got[s.To] = s
		}
	}
	if want := len(byRST) + len(byFIN); len(got) != want {
		t.Errorf("%d connections have ended, want %d", len(got), want)
	}
	// The two clocks are compared to less than a thread may be held up.
	const exact = time.Second
	expect := func(pairs []pair, rst bool, from, to time.Duration) {
		t.Helper()
		for _, p := range pairs {
			s, ok := got[p.own()]
			if !ok || s.RST != rst || s.At < from-exact || s.At > to+exact {
				t.Errorf("the end of %s is %+v, %v; want RST: %v, from %s to %s", p.own(), s, ok, rst, from, to)
			}
		}
	}
	expect(byRST, true, before, between)
	expect(byFIN, false, between, after)
}

func TestTap(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(addr, func(t *testing.T) {
			if ln, err := net.Listen("tcp", addr); err != nil {
				t.Skipf("needs the address (sysctl net.ipv6.conf.lo.disable_ipv6=0): %v", err)
			} else {
				ln.Close()
			}
			expectEnds(t, addr)
		})
	}
}

// A client of an IPv4 address at a server that listens on all addresses is known by that address.
func TestTapDualStack(t *testing.T) {
	ln := listen(t, ":0")
	tap := open(t, portOf(ln), 1)
	client := lingertest.Dial(t, net.Dialer{}, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), portOf(ln)))
	server, err := ln.AcceptTCP()
	lingertest.Must(t, err)
	reset(t, []pair{{client, server}})
	seen, err := tap.Read()
	lingertest.Must(t, err)
	if want := (pair{client: client}).own(); len(seen.Segments) != 1 || seen.Segments[0].To != want {
		t.Errorf("seen: %+v, want one segment to %s", seen.Segments, want)
	}
}

// A tap sees what is in its own network namespace, and needs CAP_NET_RAW only.
func TestTapInNetwork(t *testing.T) {
	if !lingertest.Elsewhere(t, func() error { return errors.Join(lingertest.Network(nil), lingertest.Unprivileged()) }) {
		return
	}
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(addr, func(t *testing.T) { expectEnds(t, addr) })
	}
}

// What the ring has no room for is counted, and is the last that came.
func TestTapDrops(t *testing.T) {
	const more = 50
	ln := listen(t, "127.0.0.1:0")
	tap := open(t, portOf(ln), 1)
	pairs := connect(t, ln, perBlock+more)
	reset(t, pairs)
	seen, err := tap.Read()
	lingertest.Must(t, err)
	if len(seen.Segments) != perBlock || seen.Dropped != more {
		t.Fatalf("%d seen, %d dropped, want %d and %d", len(seen.Segments), seen.Dropped, perBlock, more)
	}
	for i, s := range seen.Segments {
		if s.To != pairs[i].own() {
			t.Fatalf("segment %d was to %s, want %s", i, s.To, pairs[i].own())
		}
	}
}

// There is room for as many as are asked for, over several blocks.
func TestTapRoom(t *testing.T) {
	const n = perBlock + 50
	ln := listen(t, "127.0.0.1:0")
	tap := open(t, portOf(ln), n)
	pairs := connect(t, ln, n)
	reset(t, pairs)
	seen, err := tap.Read()
	lingertest.Must(t, err)
	if len(seen.Segments) != n || seen.Dropped != 0 {
		t.Errorf("%d seen, %d dropped, want %d and none", len(seen.Segments), seen.Dropped, n)
	}
}

// Who may not have a tap is told what is missing.
func TestTapUnprivileged(t *testing.T) {
	lingertest.AsNobody(t, func() {
		tap, err := Open(80, 1)
		if err == nil {
			tap.Close()
		}
		if !errors.Is(err, unix.EPERM) {
			t.Errorf("got %v, want EPERM", err)
		}
		lingertest.ExpectError(t, err, "needs CAP_NET_RAW", "operation not permitted")
	})
}

// A clock that is set while it is stamped with is an error, one that is kept right is none.
func TestSteady(t *testing.T) {
	const lead = 1_800_000_000 * time.Second
	for d, wrong := range map[time.Duration]bool{0: false, 50 * time.Microsecond: false, -50 * time.Microsecond: false, time.Second: true, -time.Hour: true} {
		if err := steady(lead, lead+d); (err != nil) != wrong {
			t.Errorf("set by %s: %v, want an error: %v", d, err, wrong)
		}
	}
}
