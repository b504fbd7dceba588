//go:build linux

package sockdiag

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// wanted is a socket as a dump has to tell it.
type wanted struct {
	Socket
	orphan bool                // no descriptor, so no inode; otherwise there is one
	queue  func(s Socket) bool // what the queues have to satisfy; nil: both are empty
}

// find returns the socket when sys tells it as it has to.
func (w wanted) find(t *testing.T, sys system, port uint16) (Socket, Dump) {
	t.Helper()
	if w.queue == nil {
		w.queue = func(s Socket) bool { return s.RecvQueue == 0 && s.SendQueue == 0 }
	}
	match := func(s Socket) bool {
		return s.State == w.State && s.Local == w.Local && s.Remote == w.Remote && w.queue(s) &&
			(s.Inode == 0) == w.orphan && (w.Inode == 0 || s.Inode == w.Inode)
	}
	d := waitFor(t, sys, port, func(d Dump) bool { return slices.ContainsFunc(d.Sockets, match) })
	return d.Sockets[slices.IndexFunc(d.Sockets, match)], d
}

// stateCase makes a real socket of one state.
type stateCase struct {
	name string
	// make returns the port of the socket, and the socket.
	make func(t *testing.T, s *server) (uint16, wanted)
	// notInProc is set where /proc does not show the socket.
	notInProc bool
}

// everyState makes sockets of every state that can be held still, with and without a descriptor.
func everyState() []stateCase {
	// accepted is a connection's server side, client the other.
	accepted := func(state State, client *net.TCPConn, s *server) wanted {
		peer := unmap(client.LocalAddr())
		local := netip.AddrPortFrom(netip.MustParseAddr(s.family.dial), s.port)
		return wanted{Socket: Socket{State: state, Local: local, Remote: peer}}
	}
	pending := func(s Socket) bool { return s.SendQueue > 0 }

	return []stateCase{
		{name: "LISTEN", make: func(t *testing.T, s *server) (uint16, wanted) {
			lingertest.Control(t, s, func(fd int) error { return unix.Listen(fd, 77) })
			local := unmap(s.Addr())
			w := wanted{Socket: Socket{State: Listen, Local: local, Remote: netip.AddrPortFrom(unspecified(local), 0),
				Inode: inodeOf(t, s)}}
			w.queue = func(s Socket) bool { return s.RecvQueue == 0 && (s.SendQueue == 77 || s.Cookie == 0) }
			return s.port, w
		}},
		{name: "LISTEN with a queue", make: func(t *testing.T, s *server) (uint16, wanted) {
			for range 3 {
				s.dial(t)
			}
			local := unmap(s.Addr())
			w := wanted{Socket: Socket{State: Listen, Local: local, Remote: netip.AddrPortFrom(unspecified(local), 0),
				Inode: inodeOf(t, s)}}
			w.queue = func(s Socket) bool { return s.RecvQueue == 3 }
			return s.port, w
		}},
		{name: "ESTABLISHED not accepted", make: func(t *testing.T, s *server) (uint16, wanted) {
			w := accepted(Established, s.dial(t), s)
			w.orphan = true
			return s.port, w
		}},
		{name: "ESTABLISHED", make: func(t *testing.T, s *server) (uint16, wanted) {
			client, conn := s.connect(t)
			w := accepted(Established, client, s)
			w.Inode = inodeOf(t, conn)
			return s.port, w
		}},
		{name: "ESTABLISHED client", make: func(t *testing.T, s *server) (uint16, wanted) {
			client, _ := s.connect(t)
			return portOf(client.LocalAddr()), wanted{Socket: Socket{State: Established, Inode: inodeOf(t, client),
				Local: unmap(client.LocalAddr()), Remote: unmap(client.RemoteAddr())}}
		}},
		{name: "ESTABLISHED with unread input", make: func(t *testing.T, s *server) (uint16, wanted) {
			client, conn := s.connect(t)
			if _, err := client.Write(make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			w := accepted(Established, client, s)
			w.Inode = inodeOf(t, conn)
			w.queue = func(s Socket) bool { return s.RecvQueue == 1000 && s.SendQueue == 0 }
			return s.port, w
		}},
		{name: "ESTABLISHED with output pending", make: func(t *testing.T, s *server) (uint16, wanted) {
			client, conn := s.connect(t)
			fill(t, conn)
			w := accepted(Established, client, s)
			w.queue = pending
			return s.port, w
		}},
		{name: "SYN_SENT", make: func(t *testing.T, s *server) (uint16, wanted) {
			// A listening socket whose queue is full drops the next SYN.
			lingertest.Control(t, s, func(fd int) error { return unix.Listen(fd, 0) })
			s.dial(t)
			waitFor(t, kernel, s.port, func(d Dump) bool { return d.Count()[Established] == 1 })
			fd, local := connectRaw(t, s)
			var st unix.Stat_t
			if err := unix.Fstat(fd, &st); err != nil {
				t.Fatal(err)
			}
			w := wanted{Socket: Socket{State: SynSent, Inode: uint32(st.Ino), Local: local,
				Remote: netip.AddrPortFrom(netip.MustParseAddr(s.family.dial), s.port)}}
			w.queue = func(s Socket) bool { return s.SendQueue <= 1 } // the SYN itself counts
			return local.Port(), w
		}},
		{name: "SYN_RECV", make: func(t *testing.T, s *server) (uint16, wanted) {
			// The kernel keeps the request a request until data comes.
			lingertest.Control(t, s, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_DEFER_ACCEPT, 60) })
			w := accepted(SynRecv, s.dial(t), s)
			w.orphan = true
			return s.port, w
		}},
		{name: "FIN_WAIT1", make: func(t *testing.T, s *server) (uint16, wanted) {
			client, conn := s.connect(t)
			fill(t, conn)
			lingertest.Must(t, conn.CloseWrite())
			w := accepted(FinWait1, client, s)
			w.Inode = inodeOf(t, conn)
			w.queue = pending
			return s.port, w
		}},
		{name: "FIN_WAIT1 orphan", make: func(t *testing.T, s *server) (uint16, wanted) {
			client, conn := s.connect(t)
			fill(t, conn)
			lingertest.Must(t, conn.Close())
			w := accepted(FinWait1, client, s)
			w.orphan = true
			w.queue = pending
			return s.port, w
		}},
		{name: "FIN_WAIT2", make: func(t *testing.T, s *server) (uint16, wanted) {
			client, conn := s.connect(t)
			lingertest.Must(t, conn.CloseWrite())
			w := accepted(FinWait2, client, s)
			w.Inode = inodeOf(t, conn)
			return s.port, w
		}},
		{name: "FIN_WAIT2 orphan", make: func(t *testing.T, s *server) (uint16, wanted) {
			client, conn := s.connect(t)
			lingertest.Must(t, conn.Close())
			w := accepted(FinWait2, client, s)
			w.orphan = true
			return s.port, w
		}},
		{name: "TIME_WAIT", make: func(t *testing.T, s *server) (uint16, wanted) {
			client, conn := s.connect(t)
			w := accepted(TimeWait, client, s)
			lingertest.Must(t, conn.Close())
			waitFor(t, kernel, s.port, func(d Dump) bool { return d.Count()[FinWait2] == 1 })
			lingertest.Must(t, client.CloseWrite()) // FIN; Close would send RST
			w.orphan = true
			return s.port, w
		}},
		{name: "CLOSE", notInProc: true, make: func(t *testing.T, s *server) (uint16, wanted) {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			lingertest.Must(t, err)
			t.Cleanup(func() { unix.Close(fd) })
			lingertest.Must(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
			local := sockname(t, fd)
			var st unix.Stat_t
			lingertest.Must(t, unix.Fstat(fd, &st))
			d, err := Port(local.Port())
			lingertest.Must(t, err)
			if len(d.Sockets) == 0 {
				t.Skip("this kernel does not report sockets that are only bound (Linux 6.8 does)")
			}
			return local.Port(), wanted{Socket: Socket{State: Close, Inode: uint32(st.Ino), Local: local,
				Remote: netip.AddrPortFrom(unspecified(local), 0)}}
		}},
		{name: "CLOSE_WAIT", make: func(t *testing.T, s *server) (uint16, wanted) {
			client, conn := s.connect(t)
			lingertest.Must(t, client.CloseWrite())
			w := accepted(CloseWait, client, s)
			w.Inode = inodeOf(t, conn)
			w.queue = func(s Socket) bool { return s.RecvQueue <= 1 } // the FIN itself counts
			return s.port, w
		}},
		{name: "LAST_ACK", make: func(t *testing.T, s *server) (uint16, wanted) {
			client, conn := s.connect(t)
			fill(t, conn)
			lingertest.Must(t, client.CloseWrite())
			waitFor(t, kernel, s.port, func(d Dump) bool { return d.Count()[CloseWait] == 1 })
			lingertest.Must(t, conn.Close())
			w := accepted(LastAck, client, s)
			w.orphan = true
			w.queue = pending
			return s.port, w
		}},
		{name: "CLOSING", make: func(t *testing.T, s *server) (uint16, wanted) {
			client, conn := s.connect(t)
			fill(t, conn)
			lingertest.Must(t, conn.Close())
			lingertest.Must(t, client.CloseWrite())
			w := accepted(Closing, client, s)
			w.orphan = true
			w.queue = pending
			return s.port, w
		}},
	}
}
