//go:build linux

package sockdiag

import (
	"cmp"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// TestPort asks for a socket of each state on each kind of address.
func TestPort(t *testing.T) {
	for _, f := range families {
		for _, tt := range everyState() {
			t.Run(f.name+"/"+tt.name, func(t *testing.T) {
				port, want := tt.make(t, newServer(t, f))
				check := func(sys system, source Source) Dump {
					var d Dump
					lingertest.Wait(t, "Count agrees with Port", func() bool {
						_, d = want.find(t, sys, port)
						counts, _, err := sys.count(port)
						return err == nil && counts == d.Count()
					})
					if d.Source != source {
						t.Errorf("Port(%d).Source = %s, want %s", port, d.Source, source)
					}
					for _, s := range d.Sockets {
						if s.Local.Port() != port {
							t.Errorf("Port(%d) has a socket of port %d", port, s.Local.Port())
						}
						if (s.Cookie != 0) != (source == FromNetlink) {
							t.Errorf("Port(%d) from %s has cookie %d", port, source, s.Cookie)
						}
					}
					return d
				}
				if tt.notInProc {
					check(kernel, FromNetlink)
					return
				}
				// Where other programs open and close connections meanwhile, /proc may leave a socket out, and a queue that was filled is
				// still on its way to the client.
				lingertest.Wait(t, "netlink and /proc agree", func() bool {
					return slices.Equal(comparable(check(kernel, FromNetlink)), comparable(check(procOnly, FromProc)))
				})
			})
		}
	}
}

// comparable is d without what /proc cannot know, in an order of its own.
func comparable(d Dump) []Socket {
	sockets := slices.Clone(d.Sockets)
	for i := range sockets {
		s := &sockets[i]
		s.Cookie, s.OnlyIPv6 = 0, false
		if s.State == Listen {
			s.SendQueue = 0
		}
	}
	slices.SortFunc(sockets, func(a, b Socket) int {
		return cmp.Or(a.Local.Compare(b.Local), a.Remote.Compare(b.Remote), cmp.Compare(a.State, b.State))
	})
	return sockets
}

func unmap(addr net.Addr) netip.AddrPort {
	a := addr.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

func unspecified(like netip.AddrPort) netip.Addr {
	if like.Addr().Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// connectRaw begins to connect to s and does not wait.
func connectRaw(t testing.TB, s *server) (fd int, local netip.AddrPort) {
	t.Helper()
	addr := netip.MustParseAddr(s.family.dial)
	domain, sa := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Addr: addr.As16(), Port: int(s.port)})
	if addr.Is4() {
		domain, sa = unix.AF_INET, &unix.SockaddrInet4{Addr: addr.As4(), Port: int(s.port)}
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	lingertest.Must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Connect(fd, sa); err != unix.EINPROGRESS {
		t.Fatalf("connect = %v, want EINPROGRESS", err)
	}
	return fd, sockname(t, fd)
}

func sockname(t testing.TB, fd int) netip.AddrPort {
	t.Helper()
	sa, err := unix.Getsockname(fd)
	lingertest.Must(t, err)
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	t.Fatalf("getsockname = %T", sa)
	panic("unreachable")
}

// TestCookie: a descriptor gives the cookie of its connection, which outlives the descriptor.
func TestCookie(t *testing.T) {
	s := newServer(t, families[0])
	client, conn := s.connect(t)
	var cookie uint64
	lingertest.Control(t, conn, func(fd int) (err error) {
		cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
		return err
	})
	check := func(state State, orphan bool) {
		t.Helper()
		match := func(s Socket) bool { return s.State == state && (s.Inode == 0) == orphan }
		d := waitFor(t, kernel, s.port, func(d Dump) bool { return slices.ContainsFunc(d.Sockets, match) })
		if got := d.Sockets[slices.IndexFunc(d.Sockets, match)].Cookie; got != cookie {
			t.Errorf("cookie of %v = %d, want %d", state, got, cookie)
		}
	}
	check(Established, false)
	lingertest.Must(t, conn.CloseWrite())
	check(FinWait2, false)
	lingertest.Must(t, conn.Close())
	check(FinWait2, true)
	lingertest.Must(t, client.CloseWrite())
	check(TimeWait, true)
}

func TestOtherPortsAreNotReported(t *testing.T) {
	a, b := newServer(t, families[0]), newServer(t, families[0])
	clientA, _ := a.connect(t)
	b.connect(t)
	b.connect(t)
	for _, sys := range []system{kernel, procOnly} {
		for port, want := range map[uint16]Counts{
			a.port: {Listen: 1, Established: 1},
			b.port: {Listen: 1, Established: 2},
		} {
			lingertest.Wait(t, "the port's sockets are counted, and no others", func() bool {
				got, _, err := sys.count(port)
				return got == want && err == nil
			})
		}
		// Others may use the port of a client too, for connections to elsewhere.
		port := portOf(clientA.LocalAddr())
		lingertest.Wait(t, "the client's socket is there, once", func() bool {
			d, err := sys.port(port)
			if err != nil {
				t.Fatal(err)
			}
			own := 0
			for _, socket := range d.Sockets {
				if socket.Local.Port() != port {
					t.Errorf("Port(%d) has %+v", port, socket)
				}
				if socket.Remote.Port() == a.port {
					own++
				}
			}
			return own == 1
		})
	}
	lingertest.Must(t, a.Close())
	clientA.Close()
	waitFor(t, kernel, a.port, func(d Dump) bool { return len(d.Sockets) == 0 })
}

// Of several ports each has its own, and what lies between them is nobody's.
func TestEachOf(t *testing.T) {
	var all []*server
	for range 3 {
		all = append(all, newServer(t, families[0]))
	}
	slices.SortFunc(all, func(a, b *server) int { return cmp.Compare(a.port, b.port) })
	for i, s := range all {
		for range i + 1 {
			s.connect(t)
		}
	}
	want := map[uint16]Counts{
		all[0].port: {Listen: 1, Established: 1},
		all[2].port: {Listen: 1, Established: 3},
	}
	asked := []uint16{all[2].port, all[0].port}
	for _, sys := range []system{kernel, procOnly} {
		lingertest.Wait(t, "the sockets of both ports are there, and no others", func() bool {
			got := make(map[uint16]Counts)
			_, err := sys.eachOf(asked, func(s *Socket) bool {
				c := got[s.Local.Port()]
				c.add(uint8(s.State))
				got[s.Local.Port()] = c
				return true
			})
			lingertest.Must(t, err)
			return maps.Equal(got, want)
		})
	}
	if asked[0] != all[2].port {
		t.Error("EachOf has sorted what it was given")
	}
	for _, none := range [][]uint16{nil, {0, 1}} {
		if _, err := EachOf(none, func(*Socket) bool { return true }); err == nil {
			t.Errorf("EachOf(%v) has no error", none)
		}
	}
}

func TestPortZero(t *testing.T) {
	if d, err := Port(0); err == nil {
		t.Errorf("Port(0) = %v, want an error", d)
	}
}

// many holds n connections to a new server, whose accepted ends are open too, and returns its port.
func many(t testing.TB, n int) uint16 {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < uint64(2*n+100) {
		t.Skipf("%d descriptors allowed, %d needed (ulimit -n)", limit.Cur, 2*n+100)
	}
	return manyRaw(t, n, false)
}

// manyRaw makes n connections with bare system calls. Where timeWait is set they are closed, by the server first.
func manyRaw(t testing.TB, n int, timeWait bool) uint16 {
	t.Helper()
	// On one processor segments arrive in the order in which they were sent. A client's acknowledgement that came after its FIN
	// would meet a TIME_WAIT, and end it (RFC 1337).
	defer lingertest.OnOneProcessor(t)()
	var (
		ln   int
		port uint16
	)
	for {
		var err error
		ln, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		lingertest.Must(t, err)
		lingertest.Must(t, unix.Bind(ln, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
		lingertest.Must(t, unix.Listen(ln, 16))
		if port = sockname(t, ln).Port(); fresh(t, port) {
			break
		}
		unix.Close(ln)
	}
	t.Cleanup(func() { unix.Close(ln) })
	fds := make([]int, 0, 2*n)
	t.Cleanup(func() {
		for _, fd := range fds {
			unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			unix.Close(fd)
		}
	})
	// Ports that the kernel chooses for the clients recur before long, and a recurring one takes up its TIME_WAIT.
	source := 0
	bind := func(fd int) error {
		for {
			sa := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 1, byte(1 + source/lingertest.Sources)},
				Port: lingertest.FirstSource + source%lingertest.Sources}
			source++
			if err := unix.Bind(fd, sa); err != unix.EADDRINUSE {
				return err
			}
		}
	}
	for range n {
		client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		lingertest.Must(t, err)
		lingertest.Must(t, bind(client))
		lingertest.Must(t, unix.Connect(client, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: int(port)}))
		conn, _, err := unix.Accept4(ln, unix.SOCK_CLOEXEC)
		lingertest.Must(t, err)
		if timeWait {
			unix.Close(conn)
			unix.Close(client)
		} else {
			fds = append(fds, client, conn)
		}
	}
	return port
}

func TestFiveThousand(t *testing.T) {
	const n = 5000
	port := many(t, n)
	want := Counts{Listen: 1, Established: n}
	for _, sys := range []system{kernel, procOnly} {
		// Neither list is a snapshot: while other programs open and close connections, some sockets can be read twice
		// or not at all.
		lingertest.Wait(t, "Count is what is there", func() bool {
			counts, _, err := sys.count(port)
			return counts == want && err == nil
		})
		lingertest.Wait(t, "Port is what is there", func() bool {
			d, err := sys.port(port)
			return d.Count() == want && err == nil
		})
		lingertest.Wait(t, "Each finds all remote addresses", func() bool {
			remotes := make(map[netip.AddrPort]bool)
			_, err := sys.each(ports{port}, func(s *Socket) bool { remotes[s.Remote] = true; return true })
			return len(remotes) == n+1 && err == nil
		})
	}
}

func TestEachEndsEarly(t *testing.T) {
	port := many(t, 500)
	for _, sys := range []system{kernel, procOnly} {
		calls := 0
		source, err := sys.each(ports{port}, func(*Socket) bool { calls++; return calls < 3 })
		if calls != 3 || err != nil {
			t.Errorf("Each from %s called f %d times, %v, want 3", source, calls, err)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	s := newServer(t, families[0])
	errs := make(chan error)
	for range 4 {
		go func() {
			var failure error
			for range 5 {
				c, _, err := Count(s.port)
				if err == nil && c != (Counts{Listen: 1}) {
					err = errors.New(c.String())
				}
				failure = errors.Join(failure, err)
			}
			errs <- failure
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestNoPrivilegeNeeded(t *testing.T) {
	s := newServer(t, families[0])
	s.connect(t)
	want := Counts{Listen: 1, Established: 1}
	for source, sys := range map[Source]system{FromNetlink: kernel, FromProc: procOnly} {
		lingertest.Wait(t, "the count of "+string(source), func() bool {
			var c Counts
			lingertest.AsNobody(t, func() {
				var got Source
				var err error
				if c, got, err = sys.count(s.port); got != source || err != nil {
					t.Errorf("Count = %v, %v, %v, want it from %s", c, got, err, source)
				}
			})
			return c == want || t.Failed()
		})
	}
}

func TestNetworkNamespace(t *testing.T) {
	s := newServer(t, families[0])
	lingertest.InNewNetwork(t, func() {
		for source, sys := range map[Source]system{FromNetlink: kernel, FromProc: procOnly} {
			c, got, err := sys.count(s.port)
			if c != (Counts{}) || got != source || err != nil {
				t.Errorf("Count in another namespace = %v, %v, %v, want none from %s", c, got, err, source)
			}
		}
	})
}
