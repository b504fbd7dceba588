//go:build linux

package linger

import (
	"errors"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

func TestArm(t *testing.T) {
	tests := []struct {
		name  string
		calls []func(int) error
		want  bool
	}{
		{name: "not at all"},
		{name: "arm", calls: []func(int) error{Arm}, want: true},
		{name: "arm twice", calls: []func(int) error{Arm, Arm}, want: true},
		{name: "disarm", calls: []func(int) error{Disarm}},
		{name: "arm and disarm", calls: []func(int) error{Arm, Disarm}},
		{name: "disarm and arm", calls: []func(int) error{Disarm, Arm}, want: true},
		{name: "a timeout of five seconds is no abort", calls: []func(int) error{Arm, func(fd int) error {
			return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 5})
		}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachFamily(t, func(t *testing.T, s *server) {
				_, a := s.connect(t)
				for _, call := range tt.calls {
					lingertest.Must(t, call(a.fd))
				}
				wantArmed(t, a, tt.want)
				lingertest.Must(t, Disarm(a.fd)) // no waiting at the end of the test
			})
		})
	}
}

func wantArmed(t testing.TB, a *accepted, want bool) {
	t.Helper()
	if got, err := Armed(a.fd); got != want || err != nil {
		t.Errorf("Armed = %v, %v, want %v", got, err, want)
	}
}

func TestCloseArmed(t *testing.T) {
	eachFamily(t, func(t *testing.T, s *server) {
		client, a := s.connect(t)
		lingertest.Must(t, Arm(a.fd))
		a.close(t)
		wantReset(t, client)
		s.wantGone(t)
	})
}

// An armed close throws away what the peer's window has no room for; a disarmed one delivers it.
func TestCloseWithOutput(t *testing.T) {
	for _, armed := range []bool{true, false} {
		name := "disarmed"
		if armed {
			name = "armed"
		}
		t.Run(name, func(t *testing.T) {
			eachFamily(t, func(t *testing.T, s *server) {
				client, a := s.connect(t)
				lingertest.Must(t, Arm(a.fd))
				if !armed {
					lingertest.Must(t, Disarm(a.fd))
				}
				sent := 0
				lingertest.Wait(t, "a full send buffer", func() bool {
					n, err := unix.Write(a.fd, make([]byte, 64<<10))
					sent += max(n, 0)
					return errors.Is(err, unix.EAGAIN)
				})
				a.close(t)
				data, err := end(client)
				if armed {
					if len(data) >= sent || !errors.Is(err, unix.ECONNRESET) {
						t.Errorf("the peer read %d bytes and then %v, want fewer than %d and ECONNRESET", len(data), err, sent)
					}
				} else if len(data) != sent || err != nil {
					t.Errorf("the peer read %d bytes and then %v, want %d and EOF", len(data), err, sent)
				}
			})
		})
	}
}

func TestCloseDisarmed(t *testing.T) {
	eachFamily(t, func(t *testing.T, s *server) {
		client, a := s.connect(t)
		lingertest.Must(t, Arm(a.fd))
		lingertest.Must(t, Disarm(a.fd))
		a.write(t, "the answer")
		a.close(t)
		wantWhole(t, client, "the answer")
		sockdiagtest.WaitCount(t, s.addr.Port(), sockdiag.Counts{sockdiag.Listen: 1, sockdiag.FinWait2: 1}) // until the client closes too
	})
}

// The exception that Disarm's comment names.
func TestCloseDisarmedWithUnreadInput(t *testing.T) {
	eachFamily(t, func(t *testing.T, s *server) {
		client, a := s.connect(t)
		lingertest.Must(t, Disarm(a.fd))
		write(t, client, "unread")
		waitInput(t, a, len("unread"))
		a.close(t)
		wantReset(t, client)
		s.wantGone(t)
	})
}

func write(t testing.TB, c *net.TCPConn, p string) {
	t.Helper()
	_, err := c.Write([]byte(p))
	lingertest.Must(t, err)
}

// waitInput waits until n bytes wait to be read.
func waitInput(t testing.TB, a *accepted, n int) {
	t.Helper()
	lingertest.Wait(t, "input", func() bool {
		got, err := unix.IoctlGetInt(a.fd, unix.SIOCINQ)
		lingertest.Must(t, err)
		return got == n
	})
}

// An armed close does nothing while the socket has another descriptor; Abort does not care.
func TestDup(t *testing.T) {
	eachFamily(t, func(t *testing.T, s *server) {
		t.Run("armed close", func(t *testing.T) {
			client, a := s.connect(t)
			dup := duplicate(t, a)
			lingertest.Must(t, Arm(a.fd))
			a.close(t)
			dup.write(t, "still here")
			buf := make([]byte, 100)
			if n, err := client.Read(buf); string(buf[:n]) != "still here" || err != nil {
				t.Fatalf("Read = %q, %v, want %q", buf[:n], err, "still here")
			}
			dup.close(t)
			wantReset(t, client)
		})
		t.Run("abort", func(t *testing.T) {
			client, a := s.connect(t)
			duplicate(t, a)
			lingertest.Must(t, Abort(a.fd))
			wantReset(t, client)
			s.wantGone(t)
		})
	})
}

func duplicate(t testing.TB, a *accepted) *accepted {
	t.Helper()
	fd, err := unix.FcntlInt(uintptr(a.fd), unix.F_DUPFD_CLOEXEC, 0)
	lingertest.Must(t, err)
	dup := &accepted{fd: fd, open: true}
	t.Cleanup(func() { dup.close(t) })
	return dup
}

// TestAbort aborts a connection in every condition in which a teardown can meet it. At once, with the descriptor still
// open, the port is free, and the peer has its ECONNRESET.
func TestAbort(t *testing.T) {
	tests := []struct {
		name string
		make func(t *testing.T, client *net.TCPConn, a *accepted)
		// end is what the peer finds; wantReset by default.
		end func(t testing.TB, client *net.TCPConn)
	}{
		{name: "idle"},
		{name: "armed", make: func(t *testing.T, _ *net.TCPConn, a *accepted) { lingertest.Must(t, Arm(a.fd)) }},
		{name: "disarmed", make: func(t *testing.T, _ *net.TCPConn, a *accepted) { lingertest.Must(t, Disarm(a.fd)) }},
		{name: "unread input", make: func(t *testing.T, client *net.TCPConn, a *accepted) {
			write(t, client, "GET / HTTP/1.1\r\n")
			waitInput(t, a, len("GET / HTTP/1.1\r\n"))
		}},
		{name: "answer delivered, not read", make: func(t *testing.T, _ *net.TCPConn, a *accepted) {
			a.write(t, "answer")
			lingertest.Wait(t, "the acknowledgement", func() bool {
				n, err := unix.IoctlGetInt(a.fd, unix.SIOCOUTQ)
				lingertest.Must(t, err)
				return n == 0
			})
		}, end: func(t testing.TB, client *net.TCPConn) {
			// What the peer's kernel has is the peer's, on Linux.
			if data, err := end(client); data != "answer" || !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("the peer read %q and then %v, want %q and ECONNRESET", data, err, "answer")
			}
		}},
		{name: "full send buffer, closed window", make: func(t *testing.T, _ *net.TCPConn, a *accepted) { a.fill(t) }},
		{name: "full send buffer, unread input", make: func(t *testing.T, client *net.TCPConn, a *accepted) {
			write(t, client, "more")
			waitInput(t, a, len("more"))
			a.fill(t)
		}},
		{name: "half-closed by the peer", make: func(t *testing.T, client *net.TCPConn, a *accepted) {
			lingertest.Must(t, client.CloseWrite())
			lingertest.Wait(t, "the FIN", func() bool {
				n, err := unix.Read(a.fd, make([]byte, 1))
				return n == 0 && err == nil
			})
		}},
		{name: "half-closed by the peer, full send buffer", make: func(t *testing.T, client *net.TCPConn, a *accepted) {
			lingertest.Must(t, client.CloseWrite())
			a.fill(t)
		}},
		{name: "half-closed by us: the peer never learns", make: func(t *testing.T, _ *net.TCPConn, a *accepted) {
			a.write(t, "trunca")
			lingertest.Must(t, unix.Shutdown(a.fd, unix.SHUT_WR))
			waitTCP(t, a, unix.BPF_TCP_FIN_WAIT2)
		}, end: func(t testing.TB, client *net.TCPConn) { wantWhole(t, client, "trunca") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachFamily(t, func(t *testing.T, s *server) {
				client, a := s.connect(t)
				if tt.make != nil {
					tt.make(t, client, a)
				}
				lingertest.Must(t, Abort(a.fd))
				s.wantGone(t)
				if _, err := unix.FcntlInt(uintptr(a.fd), unix.F_GETFD, 0); err != nil {
					t.Errorf("the descriptor is not open any more: %v", err)
				}
				if tt.end == nil {
					tt.end = wantReset
				}
				tt.end(t, client)
				lingertest.Must(t, Abort(a.fd)) // again: harmless
				a.close(t)
				s.wantGone(t)
			})
		})
	}
}

// waitTCP waits for a TCP state of the kernel (include/net/tcp_states.h).
func waitTCP(t testing.TB, a *accepted, state uint8) {
	t.Helper()
	lingertest.Wait(t, sockdiag.State(state).String(), func() bool {
		info, err := unix.GetsockoptTCPInfo(a.fd, unix.SOL_TCP, unix.TCP_INFO)
		lingertest.Must(t, err)
		return info.State == state
	})
}

// Abort comes too late for a connection that we ended first and that both sides have closed: its TIME_WAIT is a socket of
// its own, and stays.
func TestAbortAfterTimeWait(t *testing.T) {
	eachFamily(t, func(t *testing.T, s *server) {
		client, a := s.connect(t)
		lingertest.Must(t, unix.Shutdown(a.fd, unix.SHUT_WR))
		waitTCP(t, a, unix.BPF_TCP_FIN_WAIT2)
		lingertest.Must(t, client.CloseWrite())
		want := sockdiag.Counts{sockdiag.Listen: 1, sockdiag.TimeWait: 1}
		sockdiagtest.WaitCount(t, s.addr.Port(), want)
		lingertest.Must(t, Abort(a.fd))
		if got := sockdiagtest.Count(t, s.addr.Port()); got != want {
			t.Errorf("after Abort the port has %v, want %v", got, want)
		}
		wantWhole(t, client, "")
	})
}

// A connection that the peer reset before needs no abort and suffers none.
func TestAbortAfterReset(t *testing.T) {
	eachFamily(t, func(t *testing.T, s *server) {
		client, a := s.connect(t)
		client.Close() // dial has armed it
		waitTCP(t, a, unix.BPF_TCP_CLOSE)
		lingertest.Must(t, Abort(a.fd))
		s.wantGone(t)
	})
}

// Another thread may be blocked in a call on the socket.
func TestAbortWakesReader(t *testing.T) {
	eachFamily(t, func(t *testing.T, s *server) {
		client, a := s.connect(t)
		lingertest.Must(t, unix.SetNonblock(a.fd, false))
		tid, read := make(chan int, 1), make(chan error, 1)
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			tid <- unix.Gettid()
			_, err := unix.Read(a.fd, make([]byte, 1))
			read <- err
		}()
		// Number of the system call, or "running".
		id := <-tid
		lingertest.Wait(t, "a blocked read", func() bool {
			b, err := os.ReadFile("/proc/self/task/" + strconv.Itoa(id) + "/syscall")
			lingertest.Must(t, err)
			return strings.HasPrefix(string(b), strconv.Itoa(unix.SYS_READ)+" 0x")
		})
		lingertest.Must(t, Abort(a.fd))
		if err := <-read; err == nil {
			t.Errorf("the blocked read returned %v, want an error", err)
		} else {
			t.Logf("blocked read: %v", err)
		}
		wantReset(t, client)
		s.wantGone(t)
	})
}

// An MPTCP socket is a socket above TCP ones, with code of its own for all of this. Go's listeners are MPTCP ones unless
// told otherwise.
func TestMPTCP(t *testing.T) {
	tests := []struct {
		name string
		make func(t *testing.T, client *net.TCPConn, a *accepted)
		// untold is set where the kernel may leave the peer in the dark.
		untold bool
	}{
		{name: "idle"},
		{name: "unread input", make: func(t *testing.T, client *net.TCPConn, a *accepted) {
			write(t, client, "GET / HTTP/1.1\r\n")
			lingertest.Wait(t, "input", func() bool {
				n, _, err := unix.Recvfrom(a.fd, make([]byte, 1), unix.MSG_PEEK)
				return n == 1 && err == nil
			})
		}},
		{name: "full send buffer, closed window", make: func(t *testing.T, _ *net.TCPConn, a *accepted) { a.fill(t) },
			// The RST that ends the MPTCP connection is beyond the window, so the peer challenges it, and the answer to that
			// is an RST without options: it ends the TCP connection only. The peer's MPTCP socket waits for another one.
			untold: true},
		{name: "duplicated", make: func(t *testing.T, _ *net.TCPConn, a *accepted) { duplicate(t, a) }},
	}
	for _, tt := range tests {
		t.Run("abort/"+tt.name, func(t *testing.T) {
			s := listenMPTCP(t)
			client, a := s.connectMPTCP(t)
			if tt.make != nil {
				tt.make(t, client, a)
			}
			lingertest.Must(t, Abort(a.fd))
			s.wantGone(t)
			if !tt.untold {
				wantReset(t, client)
			}
			lingertest.Must(t, Abort(a.fd))
		})
	}
	t.Run("inherited from the listener", func(t *testing.T) {
		s := listenMPTCP(t)
		lingertest.Control(t, s, Arm)
		client, a := s.connectMPTCP(t)
		wantArmed(t, a, true)
		a.close(t)
		wantReset(t, client)
		s.wantGone(t)
	})
	t.Run("disarmed", func(t *testing.T) {
		s := listenMPTCP(t)
		lingertest.Control(t, s, Arm)
		client, a := s.connectMPTCP(t)
		lingertest.Must(t, Disarm(a.fd))
		a.write(t, "the answer")
		a.close(t)
		wantWhole(t, client, "the answer")
	})
}

func listenMPTCP(t testing.TB) *server {
	t.Helper()
	return listenWith(t, families[0].address, true)
}

// connectMPTCP skips the test when the connection is one of ordinary TCP.
func (s *server) connectMPTCP(t testing.TB) (*net.TCPConn, *accepted) {
	t.Helper()
	client, a := s.connect(t)
	protocol, err := unix.GetsockoptInt(a.fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	lingertest.Must(t, err)
	if protocol != unix.IPPROTO_MPTCP {
		t.Skip("the kernel made a TCP connection of one that asked for MPTCP (net.mptcp.enabled, CONFIG_MPTCP)")
	}
	return client, a
}

// A connection is born as armed as its listener is at that moment; what becomes of the listener later is nothing to it.
func TestArmListener(t *testing.T) {
	eachFamily(t, func(t *testing.T, s *server) {
		client, before := s.connect(t)
		waiting := s.dial(t)
		sockdiagtest.WaitCount(t, s.addr.Port(), sockdiag.Counts{sockdiag.Listen: 1, sockdiag.Established: 2})
		lingertest.Control(t, s, Arm)
		wantArmed(t, before, false)
		first := s.accept(t)
		wantArmed(t, first, false)

		armed := s.dial(t)
		sockdiagtest.WaitCount(t, s.addr.Port(), sockdiag.Counts{sockdiag.Listen: 1, sockdiag.Established: 3})
		lingertest.Control(t, s, Disarm)
		second := s.accept(t)
		wantArmed(t, second, true)

		second.close(t)
		wantReset(t, armed)
		before.close(t)
		first.close(t)
		wantWhole(t, client, "")
		wantWhole(t, waiting, "")
	})
}

// What is not an accepted connection. A port that bind(2) was asked for by number goes with the descriptor only.
func TestAbortOther(t *testing.T) {
	for _, byNumber := range []bool{false, true} {
		name, want := "port of the kernel's choice", error(nil)
		if byNumber {
			name, want = "port by number", unix.EADDRINUSE
		}
		t.Run(name, func(t *testing.T) {
			for _, fam := range families {
				address := fam.address
				// again is address or, with what it got once, the same by number.
				again := func(t *testing.T) string {
					if !byNumber {
						return address
					}
					s := listen(t, fam)
					s.Close()
					return s.addr.String()
				}
				t.Run("listener/"+fam.name, func(t *testing.T) {
					s := listenAt(t, again(t), false)
					queued := s.dial(t)
					sockdiagtest.WaitCount(t, s.addr.Port(), sockdiag.Counts{sockdiag.Listen: 1, sockdiag.Established: 1})
					lingertest.Control(t, s, Abort)
					wantReset(t, queued)
					if _, err := net.Dial("tcp", s.addr.String()); !errors.Is(err, unix.ECONNREFUSED) {
						t.Errorf("Dial = %v, want ECONNREFUSED", err)
					}
					if err := CheckFree(s.addr); !errors.Is(err, want) {
						t.Errorf("Free while the descriptor is open = %v, want %v", err, want)
					}
					s.wantGone(t)
				})
				t.Run("client/"+fam.name, func(t *testing.T) {
					s := listen(t, fam)
					local, err := net.ResolveTCPAddr("tcp", again(t))
					lingertest.Must(t, err)
					nc, err := (&net.Dialer{LocalAddr: local}).Dial("tcp", s.addr.String())
					lingertest.Must(t, err)
					c := nc.(*net.TCPConn)
					defer c.Close()
					lingertest.Must(t, c.SetLinger(0))
					peer := s.accept(t)
					addr := c.LocalAddr().(*net.TCPAddr).AddrPort()
					lingertest.Control(t, c, Abort)
					waitTCP(t, peer, unix.BPF_TCP_CLOSE)
					if err := CheckFree(addr); !errors.Is(err, want) {
						t.Errorf("Free while the descriptor is open = %v, want %v", err, want)
					}
					c.Close()
					if err := CheckFree(addr); err != nil {
						t.Errorf("after the close: %v", err)
					}
				})
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		// A Unix socket has no way to be disconnected. What is left is to arm it.
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		lingertest.Must(t, err)
		defer unix.Close(pair[0])
		defer unix.Close(pair[1])
		var failed *os.SyscallError
		if err := Abort(pair[0]); !errors.As(err, &failed) || failed.Syscall != "connect AF_UNSPEC" || failed.Err != unix.EINVAL {
			t.Errorf("Abort = %v, want an os.SyscallError of connect AF_UNSPEC with EINVAL", err)
		}
		if armed, err := Armed(pair[0]); !armed || err != nil {
			t.Errorf("Armed after a refused Abort = %v, %v, want true", armed, err)
		}
	})
}

func TestErrors(t *testing.T) {
	calls := []struct {
		name    string
		call    func(fd int) error
		syscall string
	}{
		{"Arm", Arm, "setsockopt SO_LINGER"},
		{"Disarm", Disarm, "setsockopt SO_LINGER"},
		{"Armed", func(fd int) error { _, err := Armed(fd); return err }, "getsockopt SO_LINGER"},
		{"Cookie", func(fd int) error { _, err := Cookie(fd); return err }, "getsockopt SO_COOKIE"},
		{"Abort", Abort, "connect AF_UNSPEC"},
	}
	r, w, err := os.Pipe()
	lingertest.Must(t, err)
	defer r.Close()
	defer w.Close()
	fds := []struct {
		name string
		fd   int
		want unix.Errno
	}{
		{"closed descriptor", -1, unix.EBADF},
		{"pipe", int(r.Fd()), unix.ENOTSOCK},
	}
	for _, c := range calls {
		for _, d := range fds {
			t.Run(c.name+" of a "+d.name, func(t *testing.T) {
				err := c.call(d.fd)
				var failed *os.SyscallError
				if !errors.As(err, &failed) || failed.Syscall != c.syscall || failed.Err != d.want || !errors.Is(err, d.want) {
					t.Errorf("%s(%d) = %v, want an os.SyscallError of %s with %v", c.name, d.fd, err, c.syscall, d.want)
				}
				// Abort has two failures to tell, the others one.
				if _, alone := err.(*os.SyscallError); alone != (c.name != "Abort") {
					t.Errorf("%s(%d) is a %T", c.name, d.fd, err)
				}
			})
		}
	}
}

// The cookie is the number under which the kernel lists the socket, to its end.
func TestCookie(t *testing.T) {
	eachFamily(t, func(t *testing.T, s *server) {
		client, a := s.connect(t)
		cookie, err := Cookie(a.fd)
		lingertest.Must(t, err)
		dup := duplicate(t, a)
		if again, err := Cookie(dup.fd); again != cookie || err != nil {
			t.Errorf("Cookie of a duplicate = %d, %v, want %d", again, err, cookie)
		}
		_, other := s.connect(t)
		if c, err := Cookie(other.fd); c == cookie || err != nil {
			t.Errorf("Cookie of another socket = %d, %v, want another than %d", c, err, cookie)
		}
		lingertest.Must(t, Abort(other.fd))

		wantState := func(want sockdiag.State) {
			t.Helper()
			lingertest.Wait(t, want.String(), func() bool {
				d, err := sockdiag.Port(s.addr.Port())
				lingertest.Must(t, err)
				for _, k := range d.Sockets {
					if k.Cookie == cookie {
						return k.State == want
					}
				}
				return false // a dump may miss one that the kernel is just making a TIME_WAIT of
			})
		}
		wantState(sockdiag.Established)
		a.close(t)
		dup.close(t)
		wantState(sockdiag.FinWait2)
		lingertest.Must(t, client.CloseWrite())
		wantState(sockdiag.TimeWait)
	})
}
