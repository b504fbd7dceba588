//go:build linux

package sockdiag

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// needDestroy skips a test where sockets cannot be destroyed.
func needDestroy(t testing.TB) {
	t.Helper()
	if err := CanDestroy(); err != nil {
		t.Skipf("needs CAP_NET_ADMIN and a kernel with CONFIG_INET_DIAG_DESTROY (run the tests as root): %v", err)
	}
}

// wantDestruction destroys sockets and wants so many of them to be destroyed, gone and refused.
func wantDestruction(t testing.TB, sockets []Socket, destroyed, gone, refused int) Destruction {
	t.Helper()
	d, err := Destroy(sockets)
	if err != nil || d.Destroyed != destroyed || d.Gone != gone || len(d.Refused) != refused {
		t.Fatalf("Destroy = %+v, %v; want %d destroyed, %d gone, %d refused", d, err, destroyed, gone, refused)
	}
	return d
}

// isThere reports whether the socket with that cookie is on the port.
func isThere(t testing.TB, port uint16, cookie uint64) bool {
	t.Helper()
	d, err := Port(port)
	lingertest.Must(t, err)
	return slices.ContainsFunc(d.Sockets, func(s Socket) bool { return s.Cookie == cookie })
}

func TestDestroyEveryState(t *testing.T) {
	needDestroy(t)
	for _, f := range families {
		for _, tt := range everyState() {
			t.Run(f.name+"/"+tt.name, func(t *testing.T) {
				port, want := tt.make(t, newServer(t, f))
				s, _ := want.find(t, kernel, port)
				if s.HoldsPort() {
					d := wantDestruction(t, []Socket{s}, 0, 0, 1)
					if r := d.Refused[0]; r.Err != ErrHoldsPort || r.Socket != s {
						t.Errorf("refused %+v, want %+v for %v", r, s, ErrHoldsPort)
					}
					want.find(t, kernel, port) // as it was
					return
				}
				wantDestruction(t, []Socket{s}, 1, 0, 0)
				if isThere(t, port, s.Cookie) {
					t.Errorf("%v is there after it was destroyed", s)
				}
				wantDestruction(t, []Socket{s}, 0, 1, 0)
			})
		}
	}
}

// TestDestroyTells what both sides learn of it.
func TestDestroyTells(t *testing.T) {
	needDestroy(t)
	s := newServer(t, families[0])
	client, conn := s.connect(t)
	d, err := Port(s.port)
	lingertest.Must(t, err)
	wantDestruction(t, onlyConnections(d), 1, 0, 0)
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer reads %v, want ECONNRESET", err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNABORTED) {
		t.Errorf("the owner reads %v, want ECONNABORTED", err)
	}
	// The listening socket is as it was.
	s.connect(t)
}

func onlyConnections(d Dump) []Socket {
	return slices.DeleteFunc(slices.Clone(d.Sockets), func(s Socket) bool { return s.HoldsPort() })
}

// TestDestroyMPTCP: what net.Listen makes is MPTCP where the kernel has it, for clients with and without it.
func TestDestroyMPTCP(t *testing.T) {
	needDestroy(t)
	for name, mptcp := range map[string]bool{"client": true, "TCP client": false} {
		t.Run(name, func(t *testing.T) {
			var lc net.ListenConfig
			lc.SetMultipathTCP(true)
			ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
			lingertest.Must(t, err)
			defer ln.Close()
			var dialer net.Dialer
			dialer.SetMultipathTCP(mptcp)
			client, err := dialer.Dial("tcp", ln.Addr().String())
			lingertest.Must(t, err)
			defer client.Close()
			conn, err := ln.Accept()
			lingertest.Must(t, err)
			defer conn.Close()
			d, err := Port(portOf(ln.Addr()))
			lingertest.Must(t, err)
			wantDestruction(t, onlyConnections(d), 1, 0, 0)
			counts, _, err := Count(portOf(ln.Addr()))
			if want := (Counts{Listen: 1}); counts != want || err != nil {
				t.Errorf("left on the port: %v, %v, want %v", counts, err, want)
			}
		})
	}
}

// TestDestroySparesSuccessor: a client comes back from the same port, and the cookie of the connection before must not hit it.
func TestDestroySparesSuccessor(t *testing.T) {
	needDestroy(t)
	s := newServer(t, families[0])
	dial := func(from string) *net.TCPConn {
		t.Helper()
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))}
		c, err := d.Dial("tcp", s.Addr().String())
		lingertest.Must(t, err)
		t.Cleanup(func() { c.Close() })
		return c.(*net.TCPConn)
	}
	client := dial("127.0.4.1:0") // where nobody else takes the port in between
	lingertest.Must(t, client.SetLinger(0))
	conn, err := s.AcceptTCP()
	lingertest.Must(t, err)
	defer conn.Close()
	before, err := Port(s.port)
	lingertest.Must(t, err)
	from := client.LocalAddr().String()
	lingertest.Must(t, client.Close())
	lingertest.Wait(t, "the connection is gone", func() bool { return !isThere(t, s.port, onlyConnections(before)[0].Cookie) })

	again := dial(from)
	conn2, err := s.AcceptTCP()
	lingertest.Must(t, err)
	defer conn2.Close()
	old := onlyConnections(before)
	if now, err := Port(s.port); err != nil || onlyConnections(now)[0].Remote != old[0].Remote {
		t.Fatalf("%v, %v: the client does not come from the same port", now, err)
	}
	wantDestruction(t, old, 0, 1, 0)
	_, err = again.Write([]byte("x"))
	lingertest.Must(t, err)
	if _, err := conn2.Read(make([]byte, 1)); err != nil {
		t.Errorf("the successor reads %v", err)
	}
	lingertest.Must(t, again.SetLinger(0))
}

func TestDestroyWithoutCookie(t *testing.T) {
	s := newServer(t, families[0])
	s.connect(t)
	d := waitFor(t, procOnly, s.port, func(d Dump) bool { return d.Count() == Counts{Listen: 1, Established: 1} })
	sockets := onlyConnections(d)
	any := sockets[0]
	any.Cookie = noCookie // for the kernel: whichever socket has the addresses
	result := wantDestruction(t, append(sockets, any), 0, 0, 2)
	for _, r := range result.Refused {
		if r.Err != ErrNoCookie {
			t.Errorf("refused with %v, want %v", r.Err, ErrNoCookie)
		}
	}
	waitFor(t, kernel, s.port, func(d Dump) bool { return d.Count()[Established] == 1 })
}

func TestDestroyNothing(t *testing.T) { wantDestruction(t, nil, 0, 0, 0) }

func TestDestroyWithoutPrivilege(t *testing.T) {
	s := newServer(t, families[0])
	client, _ := s.connect(t)
	d, err := Port(s.port)
	lingertest.Must(t, err)
	sockets := onlyConnections(d)
	lingertest.AsNobody(t, func() {
		if err := CanDestroy(); !errors.Is(err, ErrNotPermitted) {
			t.Errorf("CanDestroy = %v, want %v", err, ErrNotPermitted)
		}
		result, err := Destroy(sockets)
		if err != nil || len(result.Refused) != 1 || result.Refused[0].Err != ErrNotPermitted {
			t.Errorf("Destroy = %+v, %v, want 1 refused with %v", result, err, ErrNotPermitted)
		}
		if !errors.Is(ErrNotPermitted, unix.EPERM) {
			t.Errorf("%v is not EPERM", ErrNotPermitted)
		}
	})
	if _, err := client.Write([]byte("x")); err != nil {
		t.Errorf("the connection that was refused: %v", err)
	}
}

// TestDestroyMany: several batches, of which each socket is hit, with many calls at a time. Two of them that meet at a socket
// may both be told that they have destroyed it.
func TestDestroyMany(t *testing.T) {
	needDestroy(t)
	const n = 5000
	port := manyRaw(t, n, true)
	want := Counts{Listen: 1, TimeWait: n}
	waitFor(t, kernel, port, func(d Dump) bool { return d.Count() == want })
	d, err := Port(port)
	lingertest.Must(t, err)
	sockets := onlyConnections(d)
	var results [4]Destruction
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			var err error
			if results[i], err = Destroy(sockets); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	destroyed, gone := 0, 0
	for _, r := range results {
		destroyed, gone = destroyed+r.Destroyed, gone+r.Gone
	}
	if destroyed < n || destroyed+gone != n*len(results) {
		t.Errorf("%d destroyed, %d gone in %d calls, want %d and the rest of %d", destroyed, gone, len(results), n, n*len(results))
	}
	if counts, _, err := Count(port); counts != (Counts{Listen: 1}) || err != nil {
		t.Errorf("left on the port: %v, %v", counts, err)
	}
	wantDestruction(t, sockets, 0, n, 0)
}

// A fakeKernel answers requests to destroy: the n-th socket, by its remote port, with errnos[n] or success.
type fakeKernel struct {
	errnos   map[uint16]unix.Errno
	loses    int  // so many answers of the next exchange, at its end
	rest     bool // lose the answers of every exchange with more than one request
	requests int
	queue    [][]byte // answers that were not read
}

func (k *fakeKernel) exchange(batch []byte, f func([]byte) (bool, error)) error {
	ne := binary.NativeEndian
	size := len(batch) / sizeofDestroy
	var answers [][]byte
	for ; len(batch) > 0; batch = batch[sizeofDestroy:] {
		k.requests++
		if ne.Uint32(batch) != sizeofDestroy || ne.Uint16(batch[4:]) != unix.SOCK_DESTROY ||
			ne.Uint16(batch[6:]) != unix.NLM_F_REQUEST|unix.NLM_F_ACK {
			return unix.EBADMSG
		}
		remote := binary.BigEndian.Uint16(batch[unix.SizeofNlMsghdr+offsetReqV2ID+2:])
		errno := k.errnos[remote]
		if errno == 0 && remote != 0 {
			k.errnos[remote] = unix.ENOENT // from now on
		}
		answers = append(answers, message(unix.NLMSG_ERROR, 0, ne.Uint32(batch[8:]),
			ne.AppendUint32(nil, uint32(-int32(errno)))))
	}
	if k.rest && size > 1 {
		k.loses = size / 2
	}
	lost := k.loses > 0
	answers = append(k.queue, answers[:len(answers)-k.loses]...)
	k.loses, k.queue = 0, nil
	for i, a := range answers {
		if lost && i == len(answers)/2 {
			k.queue = answers[i:] // read after the error
			break
		}
		if last, err := f(a); last || err != nil {
			return err
		}
	}
	if lost {
		return unix.ENOBUFS
	}
	return errors.New("the answer was read past its end")
}

// fakeSockets are n sockets of a state, with the remote ports 1 to n.
func fakeSockets(n int, state State) []Socket {
	sockets := make([]Socket, n)
	for i := range sockets {
		sockets[i] = Socket{Local: netip.MustParseAddrPort("127.0.0.1:80"), State: state, Cookie: uint64(i + 1),
			Remote: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), uint16(i+1))}
	}
	return sockets
}

func TestDestroyAnswers(t *testing.T) {
	const all = 0 // the answer to a socket that cannot exist
	every := func(n int, errno unix.Errno) map[uint16]unix.Errno {
		m := map[uint16]unix.Errno{}
		for i := range n {
			m[uint16(i+1)] = errno
		}
		return m
	}
	with := func(m map[uint16]unix.Errno, unknown unix.Errno) map[uint16]unix.Errno {
		m[all] = unknown
		return m
	}
	tests := []struct {
		name     string
		sockets  []Socket
		kernel   fakeKernel
		want     map[uint16]error // by remote port; the others were destroyed
		requests int
	}{
		{name: "one batch", sockets: fakeSockets(3, Established), requests: 3},
		{name: "three batches", sockets: fakeSockets(2*batchSize+1, Established), requests: 2*batchSize + 1},
		{name: "gone", sockets: fakeSockets(3, Established),
			kernel: fakeKernel{errnos: map[uint16]unix.Errno{2: unix.ENOENT}}, want: map[uint16]error{2: errGone}, requests: 3},
		{name: "not permitted", sockets: fakeSockets(2, TimeWait),
			kernel: fakeKernel{errnos: every(2, unix.EPERM)}, want: map[uint16]error{1: ErrNotPermitted, 2: ErrNotPermitted}, requests: 2},
		{name: "not supported", sockets: fakeSockets(2, Established), kernel: fakeKernel{errnos: with(every(2, unix.EOPNOTSUPP), unix.EOPNOTSUPP)},
			want: map[uint16]error{1: ErrNotSupported, 2: ErrNotSupported}, requests: 3},
		{name: "before SOCK_DESTROY", sockets: fakeSockets(1, Established), kernel: fakeKernel{errnos: with(every(1, unix.EINVAL), unix.EINVAL)},
			want: map[uint16]error{1: ErrNotSupported}, requests: 2},
		{name: "TIME_WAIT not supported", sockets: fakeSockets(2, TimeWait), kernel: fakeKernel{errnos: with(every(2, unix.EOPNOTSUPP), unix.ENOENT)},
			want: map[uint16]error{1: ErrTimeWait, 2: ErrTimeWait}, requests: 3},
		{name: "FIN_WAIT2 orphan not supported", sockets: fakeSockets(1, FinWait2), kernel: fakeKernel{errnos: with(every(1, unix.EOPNOTSUPP), unix.ENOENT)},
			want: map[uint16]error{1: ErrTimeWait}, requests: 2},
		{name: "this one not supported", sockets: fakeSockets(1, Established), kernel: fakeKernel{errnos: with(every(1, unix.EOPNOTSUPP), unix.ENOENT)},
			want: map[uint16]error{1: unix.EOPNOTSUPP}, requests: 2},
		// Of 10 answers 4 are lost and 3 come late; all 7 are asked for again.
		{name: "answers lost", sockets: fakeSockets(10, Established), kernel: fakeKernel{loses: 4}, requests: 10 + 7},
		{name: "answers lost all the time", sockets: fakeSockets(batchSize+10, Established), kernel: fakeKernel{rest: true},
			requests: batchSize + batchSize*3/4 + 10 + 8},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.kernel.errnos == nil {
				tt.kernel.errnos = map[uint16]unix.Errno{}
			}
			answers, err := destroy(tt.sockets, tt.kernel.exchange)
			if err != nil || len(answers) != len(tt.sockets) {
				t.Fatalf("destroy = %d answers, %v, want %d", len(answers), err, len(tt.sockets))
			}
			for i, answer := range answers {
				if want := tt.want[uint16(i+1)]; !errors.Is(answer, want) {
					t.Errorf("socket %d: %v, want %v", i+1, answer, want)
				}
			}
			if tt.kernel.requests != tt.requests {
				t.Errorf("%d requests, want %d", tt.kernel.requests, tt.requests)
			}
		})
	}
}

// TestDestroyBreaksOff: what the kernel could not be asked is neither destroyed nor refused.
func TestDestroyBreaksOff(t *testing.T) {
	k := fakeKernel{errnos: map[uint16]unix.Errno{}}
	calls := 0
	answers, err := destroy(fakeSockets(batchSize+1, Established), func(batch []byte, f func([]byte) (bool, error)) error {
		if calls++; calls > 1 {
			return unix.ENETDOWN
		}
		return k.exchange(batch, f)
	})
	if !errors.Is(err, unix.ENETDOWN) || answers[batchSize-1] != nil || answers[batchSize] != errUnanswered {
		t.Errorf("destroy = %v, %v, %v; want destroyed, not asked, %v", answers[batchSize-1], answers[batchSize], err, unix.ENETDOWN)
	}
	for _, reason := range []error{ErrHoldsPort, ErrNoCookie, ErrNotPermitted, ErrNotSupported, ErrTimeWait} {
		if !strings.HasPrefix(reason.Error(), "sockdiag: ") {
			t.Errorf("%q does not say where it comes from", reason)
		}
	}
}

// FuzzEachAnswer: nothing that comes over the wire makes eachAnswer panic.
func FuzzEachAnswer(f *testing.F) {
	f.Add(message(unix.NLMSG_ERROR, 0, 1, make([]byte, 20)))
	f.Add(join(message(unix.NLMSG_ERROR, 0, 1, []byte{255, 255, 255, 255}), message(unix.NLMSG_DONE, 0, 2, nil)))
	f.Add(message(unix.NLMSG_ERROR, 0, 1, []byte{1}))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		n := 0
		if err := eachAnswer(datagram, func(uint32, unix.Errno) { n++ }); err != nil && !errors.Is(err, errTruncated) {
			t.Errorf("eachAnswer = %v", err)
		}
		if n > len(datagram)/unix.SizeofNlMsghdr {
			t.Errorf("%d answers in %d bytes", n, len(datagram))
		}
	})
}
