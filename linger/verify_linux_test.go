//go:build linux

package linger

import (
	"net"
	"reflect"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/descriptors"
	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

// TestVerify leaves something on a port and asks whose it is.
func TestVerify(t *testing.T) {
	type counts = sockdiag.Counts
	tests := []struct {
		name string
		// make returns the cookies of the connections that were to end.
		make func(t *testing.T, s *server) (ended []uint64)
		want Left
		// wait is what has to be on the port before it is asked about.
		wait counts
	}{
		{name: "nothing", make: func(t *testing.T, s *server) []uint64 {
			_, a := s.connect(t)
			cookie := a.cookie(t)
			lingertest.Must(t, Abort(a.fd))
			s.Close()
			return []uint64{cookie}
		}},
		{name: "a listener", make: func(t *testing.T, s *server) []uint64 { return nil },
			want: Left{Others: counts{sockdiag.Listen: 1}}},
		{name: "a connection that waits for accept", make: func(t *testing.T, s *server) []uint64 {
			s.dial(t)
			return nil
		}, wait: counts{sockdiag.Listen: 1, sockdiag.Established: 1},
			want: Left{Others: counts{sockdiag.Listen: 1, sockdiag.Established: 1}}},
		{name: "a connection that waits for accept, its peer gone", make: func(t *testing.T, s *server) []uint64 {
			lingertest.Must(t, s.dial(t).CloseWrite())
			return nil
		}, wait: counts{sockdiag.Listen: 1, sockdiag.CloseWait: 1},
			want: Left{Others: counts{sockdiag.Listen: 1, sockdiag.CloseWait: 1}}},
		{name: "connections that outlived", make: func(t *testing.T, s *server) (ended []uint64) {
			for range 3 {
				_, a := s.connect(t)
				ended = append(ended, a.cookie(t))
			}
			// In the order that no search expects, among some that are gone.
			slices.Reverse(ended)
			return append(ended, 1<<60, 0, 3)
		}, want: Left{Outlived: counts{sockdiag.Established: 3}, Others: counts{sockdiag.Listen: 1}}},
		{name: "one that outlived among a successor's", make: func(t *testing.T, s *server) []uint64 {
			_, a := s.connect(t)
			s.connect(t)
			s.connect(t)
			return []uint64{a.cookie(t)}
		}, want: Left{Outlived: counts{sockdiag.Established: 1}, Others: counts{sockdiag.Established: 2, sockdiag.Listen: 1}}},
		{name: "one that outlived, its peer gone", make: func(t *testing.T, s *server) []uint64 {
			client, a := s.connect(t)
			lingertest.Must(t, client.CloseWrite())
			return []uint64{a.cookie(t)}
		}, wait: counts{sockdiag.Listen: 1, sockdiag.CloseWait: 1},
			want: Left{Outlived: counts{sockdiag.CloseWait: 1}, Others: counts{sockdiag.Listen: 1}}},
		{name: "one that was to be aborted and was closed", make: func(t *testing.T, s *server) []uint64 {
			_, a := s.connect(t)
			cookie := a.cookie(t)
			a.close(t)
			return []uint64{cookie}
		}, wait: counts{sockdiag.Listen: 1, sockdiag.FinWait2: 1},
			want: Left{Outlived: counts{sockdiag.FinWait2: 1}, Others: counts{sockdiag.Listen: 1}}},
		{name: "FIN_WAIT1 orphan", make: func(t *testing.T, s *server) []uint64 {
			_, a := s.connect(t)
			a.fill(t)
			a.close(t)
			return nil
		}, wait: counts{sockdiag.Listen: 1, sockdiag.FinWait1: 1},
			want: Left{Residue: counts{sockdiag.FinWait1: 1}, Others: counts{sockdiag.Listen: 1}}},
		{name: "FIN_WAIT2 orphan", make: func(t *testing.T, s *server) []uint64 {
			_, a := s.connect(t)
			a.close(t)
			return nil
		}, wait: counts{sockdiag.Listen: 1, sockdiag.FinWait2: 1},
			want: Left{Residue: counts{sockdiag.FinWait2: 1}, Others: counts{sockdiag.Listen: 1}}},
		{name: "FIN_WAIT2 of somebody who has it open", make: func(t *testing.T, s *server) []uint64 {
			_, a := s.connect(t)
			lingertest.Must(t, unix.Shutdown(a.fd, unix.SHUT_WR))
			return nil
		}, wait: counts{sockdiag.Listen: 1, sockdiag.FinWait2: 1},
			want: Left{Others: counts{sockdiag.FinWait2: 1, sockdiag.Listen: 1}}},
		{name: "LAST_ACK orphan", make: func(t *testing.T, s *server) []uint64 {
			client, a := s.connect(t)
			a.fill(t)
			lingertest.Must(t, client.CloseWrite())
			waitTCP(t, a, unix.BPF_TCP_CLOSE_WAIT)
			a.close(t)
			return nil
		}, wait: counts{sockdiag.Listen: 1, sockdiag.LastAck: 1},
			want: Left{Residue: counts{sockdiag.LastAck: 1}, Others: counts{sockdiag.Listen: 1}}},
		{name: "TIME_WAIT", make: func(t *testing.T, s *server) []uint64 {
			for range 2 {
				client, a := s.connect(t)
				a.close(t)
				lingertest.Must(t, client.CloseWrite())
				wantWhole(t, client, "")
			}
			s.Close()
			return nil
		}, wait: counts{sockdiag.TimeWait: 2}, want: Left{Residue: counts{sockdiag.TimeWait: 2}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachFamily(t, func(t *testing.T, s *server) {
				ended := tt.make(t, s)
				if tt.wait.Total() > 0 {
					sockdiagtest.WaitCount(t, s.addr.Port(), tt.wait)
				}
				tt.want.Source = sockdiag.FromNetlink
				wantLeft(t, s.addr.Port(), ended, tt.want)
			})
		})
	}
}

func wantLeft(t testing.TB, port uint16, ended []uint64, want Left) {
	t.Helper()
	got, err := Verify(Ending{Port: port, Connections: ended})
	if !reflect.DeepEqual(got, want) || err != nil {
		t.Errorf("Verify = %+v, %v, want %+v\n%s", got, err, want, lingertest.Leftover(port))
	}
	if free := want.Outlived.Total()+want.Residue.Total()+want.Others.Total() == 0; got.Free() != free {
		t.Errorf("Free = %v, want %v", got.Free(), free)
	}
}

func (a *accepted) cookie(t testing.TB) uint64 {
	t.Helper()
	cookie, err := Cookie(a.fd)
	lingertest.Must(t, err)
	return cookie
}

// A client that was reset may reach the successor from the same port, before the kernel is asked. Its connection then has
// every address of one of ours.
func TestVerifySameAddresses(t *testing.T) {
	eachFamily(t, func(t *testing.T, s *server) {
		// A port that bind(2) chose is nobody else's, unlike one that connect(2) chose.
		local := &net.TCPAddr{IP: s.addr.Addr().AsSlice()}
		dial := func() *net.TCPConn {
			c, err := (&net.Dialer{LocalAddr: local}).Dial("tcp", s.addr.String())
			lingertest.Must(t, err)
			t.Cleanup(func() { c.Close() })
			lingertest.Must(t, c.(*net.TCPConn).SetLinger(0))
			lingertest.Must(t, c.SetDeadline(time.Now().Add(lingertest.Patience)))
			return c.(*net.TCPConn)
		}
		client := dial()
		local = client.LocalAddr().(*net.TCPAddr)
		a := s.accept(t)
		ended := []uint64{a.cookie(t)}
		lingertest.Must(t, Abort(a.fd))
		wantReset(t, client)
		client.Close()
		s.Close()

		successor := listenWith(t, s.addr.String(), false)
		dial()
		b := successor.accept(t)
		wantLeft(t, s.addr.Port(), ended, Left{Source: sockdiag.FromNetlink,
			Others: sockdiag.Counts{sockdiag.Listen: 1, sockdiag.Established: 1}})
		wantLeft(t, s.addr.Port(), []uint64{b.cookie(t)}, Left{Source: sockdiag.FromNetlink,
			Outlived: sockdiag.Counts{sockdiag.Established: 1}, Others: sockdiag.Counts{sockdiag.Listen: 1}})
	})
}

// The descriptor of an MPTCP connection has a cookie, and the TCP socket below it, which is what the port has, another.
func TestVerifyMPTCP(t *testing.T) {
	s := listenMPTCP(t)
	_, ours := s.connectMPTCP(t)
	_, other := s.connectMPTCP(t)
	cookie := ours.cookie(t)
	wantLeft(t, s.addr.Port(), []uint64{cookie}, Left{Source: sockdiag.FromNetlink,
		Outlived: sockdiag.Counts{sockdiag.Established: 1},
		Others:   sockdiag.Counts{sockdiag.Listen: 1, sockdiag.Established: 1}})
	lingertest.Must(t, Abort(ours.fd))
	wantLeft(t, s.addr.Port(), []uint64{cookie}, Left{Source: sockdiag.FromNetlink,
		Others: sockdiag.Counts{sockdiag.Listen: 1, sockdiag.Established: 1}})
	lingertest.Must(t, Abort(other.fd))
}

func TestVerifyNoPort(t *testing.T) {
	if got, err := Verify(Ending{}); err == nil || !reflect.DeepEqual(got, Left{}) {
		t.Errorf("Verify(0) = %+v, %v, want an error", got, err)
	}
}

// What netlink and /proc can say of a socket, and whose it is then.
func TestCensus(t *testing.T) {
	s := listen(t, families[0])
	_, ended := s.connect(t)
	_, other := s.connect(t)
	const strange = 200
	tests := []struct {
		name string
		in   sockdiag.Socket
		// givenUp is the inode of the listening socket, shared if that was announced.
		givenUp uint32
		shared  bool
		want    func(*Left) *sockdiag.Counts
		as      sockdiag.State // where it is not the state of in
	}{
		{name: "netlink, ended", in: sockdiag.Socket{State: sockdiag.Established, Cookie: ended.cookie(t)}, want: outlived},
		{name: "netlink, ended, with descriptor", want: outlived,
			in: sockdiag.Socket{State: sockdiag.Established, Cookie: ended.cookie(t), Inode: ended.inode(t)}},
		{name: "netlink, another of this process", want: unowned,
			in: sockdiag.Socket{State: sockdiag.Established, Cookie: other.cookie(t), Inode: other.inode(t)}},
		{name: "netlink, below an ended one", want: outlived,
			in: sockdiag.Socket{State: sockdiag.Established, Cookie: 1 << 60, Inode: ended.inode(t)}},
		{name: "netlink, another process's", in: sockdiag.Socket{State: sockdiag.CloseWait, Cookie: 5, Inode: 1}, want: others},
		{name: "netlink, FIN_WAIT2 of an ended one", want: outlived,
			in: sockdiag.Socket{State: sockdiag.FinWait2, Cookie: ended.cookie(t)}},
		{name: "netlink, TIME_WAIT of an ended one", want: residue,
			in: sockdiag.Socket{State: sockdiag.TimeWait, Cookie: ended.cookie(t)}},
		{name: "proc, ended", in: sockdiag.Socket{State: sockdiag.Established, Inode: ended.inode(t)}, want: outlived},
		{name: "proc, another of this process", in: sockdiag.Socket{State: sockdiag.Established, Inode: other.inode(t)}, want: unowned},
		{name: "proc, another process's", in: sockdiag.Socket{State: sockdiag.Established, Inode: 1}, want: others},
		{name: "proc, not accepted yet", in: sockdiag.Socket{State: sockdiag.Established}, want: others},
		{name: "proc, FIN_WAIT2 with descriptor", in: sockdiag.Socket{State: sockdiag.FinWait2, Inode: 1}, want: others},
		{name: "listener of this process", in: sockdiag.Socket{State: sockdiag.Listen, Inode: other.inode(t)}, want: others},
		{name: "listener of this process, given up", givenUp: ended.inode(t), want: unowned,
			in: sockdiag.Socket{State: sockdiag.Listen, Inode: ended.inode(t)}},
		{name: "listener of this process, given up, shared", givenUp: ended.inode(t), shared: true, want: unowned,
			in: sockdiag.Socket{State: sockdiag.Listen, Inode: ended.inode(t)}},
		{name: "listener of another process", givenUp: ended.inode(t), in: sockdiag.Socket{State: sockdiag.Listen, Inode: 1}, want: others},
		{name: "listener given up, another process's", givenUp: 1, in: sockdiag.Socket{State: sockdiag.Listen, Inode: 1}, want: unowned},
		{name: "listener given up, another process's, shared", givenUp: 1, shared: true, want: others,
			in: sockdiag.Socket{State: sockdiag.Listen, Inode: 1}},
		{name: "connection request without a listener", in: sockdiag.Socket{State: sockdiag.SynRecv, Cookie: 6}, want: residue},
		{name: "FIN_WAIT1 orphan", in: sockdiag.Socket{State: sockdiag.FinWait1, Cookie: 6}, want: residue},
		{name: "FIN_WAIT2 orphan", in: sockdiag.Socket{State: sockdiag.FinWait2}, want: residue},
		{name: "TIME_WAIT", in: sockdiag.Socket{State: sockdiag.TimeWait}, want: residue},
		{name: "CLOSING orphan", in: sockdiag.Socket{State: sockdiag.Closing, Cookie: 6}, want: residue},
		{name: "LAST_ACK orphan", in: sockdiag.Socket{State: sockdiag.LastAck}, want: residue},
		{name: "state that we have no name for", in: sockdiag.Socket{State: strange}, want: others, as: sockdiag.Unknown},
		{name: "the same of an ended one", in: sockdiag.Socket{State: strange, Cookie: ended.cookie(t)}, want: outlived, as: sockdiag.Unknown},
	}
	cookies := []uint64{0, ended.cookie(t)}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.in.State != strange {
				tt.as = tt.in.State
			}
			var want Left
			tt.want(&want)[tt.as] = 1
			want.ListenerHeld = tt.givenUp != 0 && tt.in.Inode == tt.givenUp
			c := census{Ending: Ending{Port: s.addr.Port(), Connections: cookies, Listener: tt.givenUp, Shared: tt.shared}}
			c.add(&tt.in)
			ours, err := descriptors.Cookies(map[uint32]bool{tt.in.Inode: tt.in.Inode != 0})
			c.settle(ours)
			for _, state := range c.suspects {
				tally(&c.left.Unowned, state)
			}
			if !reflect.DeepEqual(c.left, want) || err != nil {
				t.Errorf("%+v counts as %+v, %v, want %+v", tt.in, c.left, err, want)
			}
		})
	}
}

// Whoever listens will get the connection that is asked for.
func TestCensusConnectionRequest(t *testing.T) {
	var c census
	c.add(&sockdiag.Socket{State: sockdiag.SynRecv, Cookie: 6})
	c.add(&sockdiag.Socket{State: sockdiag.Listen, Inode: 1})
	var want Left
	want.Others[sockdiag.SynRecv], want.Others[sockdiag.Listen] = 1, 1
	if c.settle(nil); !reflect.DeepEqual(c.left, want) {
		t.Errorf("counted as %+v, want %+v", c.left, want)
	}
}

func outlived(l *Left) *sockdiag.Counts { return &l.Outlived }
func residue(l *Left) *sockdiag.Counts  { return &l.Residue }
func others(l *Left) *sockdiag.Counts   { return &l.Others }
func unowned(l *Left) *sockdiag.Counts  { return &l.Unowned }

func (a *accepted) inode(t testing.TB) uint32 {
	t.Helper()
	var st unix.Stat_t
	lingertest.Must(t, unix.Fstat(a.fd, &st))
	return uint32(st.Ino)
}
