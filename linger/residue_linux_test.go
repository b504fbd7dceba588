//go:build linux

package linger

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

// leave makes one connection of each state that an ordinary close leaves, each closed by the server, and returns their
// cookies.
func (s *server) leave(t *testing.T) []uint64 {
	t.Helper()
	var cookies []uint64
	closed := func(full bool, before, after func(client *net.TCPConn)) {
		client, conn := s.connect(t)
		cookies = append(cookies, conn.cookie(t))
		if full {
			conn.fill(t)
		}
		before(client)
		conn.close(t)
		after(client)
	}
	nothing := func(*net.TCPConn) {}
	state := func(cookie uint64, want sockdiag.State) {
		t.Helper()
		lingertest.Wait(t, want.String(), func() bool {
			d, err := sockdiag.Port(s.addr.Port())
			lingertest.Must(t, err)
			return slices.ContainsFunc(d.Sockets, func(s sockdiag.Socket) bool {
				return s.Cookie == cookie && s.State == want && s.Inode == 0
			})
		})
	}
	fin := func(client *net.TCPConn) { lingertest.Must(t, client.CloseWrite()) }
	// The client's FIN has to come to a connection in the state that the test wants to see the end of.
	after := func(want sockdiag.State) func(*net.TCPConn) {
		return func(client *net.TCPConn) {
			state(cookies[len(cookies)-1], want)
			fin(client)
		}
	}
	closed(false, nothing, after(sockdiag.FinWait2)) // TIME_WAIT
	state(cookies[len(cookies)-1], sockdiag.TimeWait)
	closed(false, nothing, nothing)
	state(cookies[len(cookies)-1], sockdiag.FinWait2)
	closed(true, nothing, nothing)
	state(cookies[len(cookies)-1], sockdiag.FinWait1)
	closed(true, nothing, after(sockdiag.FinWait1))
	state(cookies[len(cookies)-1], sockdiag.Closing)
	closed(true, func(client *net.TCPConn) {
		fin(client)
		lingertest.Wait(t, "CLOSE_WAIT", func() bool { return sockdiagtest.Count(t, s.addr.Port())[sockdiag.CloseWait] == 1 })
	}, nothing)
	state(cookies[len(cookies)-1], sockdiag.LastAck)
	return cookies
}

func TestResidue(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	eachFamily(t, func(t *testing.T, s *server) {
		var r Residue
		for _, cookie := range s.leave(t) {
			r.Closed(cookie)
		}
		r.Closed(0)
		r.Note(s.addr)
		lingertest.Must(t, s.Close())
		if got, want := r.Destroy(s.addr.Port(), nil), (Swept{Destroyed: 5}); got != want {
			t.Errorf("Destroy = %+v, want %+v", got, want)
		}
		s.wantGone(t)
		if got := r.Destroy(s.addr.Port(), nil); got != (Swept{}) {
			t.Errorf("a second Destroy = %+v, want nothing", got)
		}
	})
}

// TestResidueOfAborted: both sides had closed a connection that was then aborted.
func TestResidueOfAborted(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	s := listen(t, families[0])
	client, conn := s.connect(t)
	cookie := conn.cookie(t)
	lingertest.Must(t, unix.Shutdown(conn.fd, unix.SHUT_WR))
	lingertest.Wait(t, "FIN_WAIT2", func() bool { return sockdiagtest.Count(t, s.addr.Port())[sockdiag.FinWait2] == 1 })
	lingertest.Must(t, client.CloseWrite())
	sockdiagtest.WaitCount(t, s.addr.Port(), sockdiag.Counts{sockdiag.Listen: 1, sockdiag.TimeWait: 1})
	var r Residue
	lingertest.Must(t, s.Close())
	_ = Abort(conn.fd)
	if got, want := r.Destroy(s.addr.Port(), []uint64{cookie}), (Swept{Destroyed: 1}); got != want {
		t.Errorf("Destroy = %+v, want %+v", got, want)
	}
	s.wantGone(t)
}

// TestResidueOfNobody: of what nobody told of, TIME_WAIT alone is taken for the server's.
func TestResidueOfNobody(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	eachFamily(t, func(t *testing.T, s *server) {
		s.leave(t)
		var r Residue
		r.Note(s.addr)
		if got, want := r.Destroy(s.addr.Port(), nil), (Swept{Destroyed: 1}); got != want {
			t.Errorf("Destroy = %+v, want %+v", got, want)
		}
		want := sockdiag.Counts{sockdiag.Listen: 1, sockdiag.FinWait1: 1, sockdiag.FinWait2: 1, sockdiag.Closing: 1, sockdiag.LastAck: 1}
		sockdiagtest.WaitCount(t, s.addr.Port(), want)
	})
}

// TestResidueAfterNote: what a successor has left on the port is not the server's.
func TestResidueAfterNote(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	s := listen(t, families[0])
	var r Residue
	r.Note(s.addr)
	s.leave(t)
	if got := r.Destroy(s.addr.Port(), nil); got != (Swept{}) {
		t.Errorf("Destroy = %+v, want nothing", got)
	}
	if n := sockdiagtest.Count(t, s.addr.Port()).Total(); n != 6 {
		t.Errorf("%d sockets are there, want 6", n)
	}
}

// TestResidueBesideOthers: with a second listener at the address, a TIME_WAIT can be of either.
func TestResidueBesideOthers(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		return errors.Join(e, err)
	}}
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(context.Background(), "tcp", sockdiagtest.OwnAddr(t, "127.0.0.1:0"))
	lingertest.Must(t, err)
	defer ln.Close()
	s := &server{TCPListener: ln.(*net.TCPListener), addr: ln.Addr().(*net.TCPAddr).AddrPort()}
	ours := s.leave(t)[0]

	other, err := lc.Listen(context.Background(), "tcp", s.addr.String())
	lingertest.Must(t, err)
	defer other.Close()
	var r Residue
	r.Note(s.addr)
	if got := r.Destroy(s.addr.Port(), nil); got != (Swept{}) {
		t.Errorf("Destroy = %+v, want nothing", got)
	}
	r.Closed(ours)
	if got, want := r.Destroy(s.addr.Port(), nil), (Swept{Destroyed: 1}); got != want {
		t.Errorf("Destroy = %+v, want %+v", got, want)
	}
}

// TestResidueSparesSuccessor: the client of a TIME_WAIT comes back to a successor from the same port.
func TestResidueSparesSuccessor(t *testing.T) {
	sockdiagtest.NeedDestroy(t)
	s := listen(t, families[0])
	dial := func(from string) *net.TCPConn {
		t.Helper()
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))}
		c, err := d.Dial("tcp", s.addr.String())
		lingertest.Must(t, err)
		t.Cleanup(func() { c.Close() })
		return c.(*net.TCPConn)
	}
	client := dial("127.0.0.1:0")
	conn := s.accept(t)
	var r Residue
	r.Closed(conn.cookie(t))
	conn.close(t)
	lingertest.Wait(t, "FIN_WAIT2", func() bool { return sockdiagtest.Count(t, s.addr.Port())[sockdiag.FinWait2] == 1 })
	from := client.LocalAddr().String()
	lingertest.Must(t, client.Close())
	sockdiagtest.WaitCount(t, s.addr.Port(), sockdiag.Counts{sockdiag.Listen: 1, sockdiag.TimeWait: 1})
	r.Note(s.addr)
	lingertest.Must(t, s.Close())

	// The successor has SO_REUSEADDR, as every listener of Go's.
	successor := relisten(t, s.addr.String())
	s.TCPListener = successor
	again := dial(from) // which takes the place of the TIME_WAIT
	lingertest.Must(t, again.SetLinger(0))
	served := s.accept(t)
	sockdiagtest.WaitCount(t, s.addr.Port(), sockdiag.Counts{sockdiag.Listen: 1, sockdiag.Established: 1})
	if got := r.Destroy(s.addr.Port(), nil); got != (Swept{}) {
		t.Errorf("Destroy = %+v, want nothing", got)
	}
	served.write(t, "alive")
	served.close(t)
	wantWhole(t, again, "alive")
}

func relisten(t *testing.T, addr string) *net.TCPListener {
	t.Helper()
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(context.Background(), "tcp", addr)
	lingertest.Must(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln.(*net.TCPListener)
}

func TestResidueWithoutPrivilege(t *testing.T) {
	s := listen(t, families[0])
	var r Residue
	for _, cookie := range s.leave(t) {
		r.Closed(cookie)
	}
	lingertest.AsNobody(t, func() {
		r.Note(s.addr)
		got := r.Destroy(s.addr.Port(), nil)
		if got.Destroyed != 0 || got.Refused != 5 || !strings.Contains(got.Reason, "CAP_NET_ADMIN") {
			t.Errorf("Destroy = %+v, want 5 refused for want of CAP_NET_ADMIN", got)
		}
	})
	if n := sockdiagtest.Count(t, s.addr.Port()).Total(); n != 6 {
		t.Errorf("%d sockets are there, want 6", n)
	}
}

func TestResidueRemembersTheLast(t *testing.T) {
	var r Residue
	for i := range residueMemory + 10 {
		r.Closed(uint64(i + 1))
	}
	if len(r.closed) != residueMemory || slices.Contains(r.closed, 10) || !slices.Contains(r.closed, 11) ||
		!slices.Contains(r.closed, residueMemory+10) {
		t.Errorf("%d cookies from %d to %d, want the last %d", len(r.closed), slices.Min(r.closed), slices.Max(r.closed), residueMemory)
	}
}

func TestSameAddress(t *testing.T) {
	for _, tt := range []struct {
		addr, ip string
		want     bool
	}{
		{"127.0.0.1", "127.0.0.1", true},
		{"127.0.0.1", "127.0.0.2", false},
		{"127.0.0.1", "0.0.0.0", true},
		{"127.0.0.1", "::", true},
		{"127.0.0.1", "::1", false},
		{"0.0.0.0", "10.0.0.1", true},
		{"0.0.0.0", "::1", false},
		{"0.0.0.0", "::", true},
		{"::", "10.0.0.1", true},
		{"::", "::1", true},
		{"::1", "::", true},
		{"::1", "::2", false},
		{"::ffff:127.0.0.1", "127.0.0.1", true},
		{"fe80::1%lo", "fe80::1", true},
	} {
		if got := sameAddress(netip.MustParseAddr(tt.addr), netip.MustParseAddr(tt.ip)); got != tt.want {
			t.Errorf("sameAddress(%s, %s) = %v, want %v", tt.addr, tt.ip, got, tt.want)
		}
	}
}
