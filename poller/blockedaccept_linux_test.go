//go:build linux

package poller

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// blockInAccept makes the one loop of a server call accept on the empty queue of a socket that blocks: a client has come, and
// whoever else holds the socket, by the File that is returned, has been quicker, and has it block, as os/exec does.
func blockInAccept(t *testing.T, ln net.Listener) (s *served, idle *client, f *os.File) {
	t.Helper()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	first, goOn, second := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s = startOn(t, &Server{Loops: 1, LoopHandler: LoopHandlerFunc(func(w *Responder, r *Request) {
		switch string(r.Path) {
		case "/first":
			close(first)
			<-goOn
		case "/second": // the loop knows of the client already
			onDescriptor(t, f, func(fd int) {
				quicker, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
				if err != nil {
					t.Errorf("accept: %v", err)
				}
				_ = linger.Arm(quicker)
				_ = unix.Close(quicker)
				_ = unix.SetNonblock(fd, false)
			})
			close(second)
		}
	})}, ln)
	idle = s.dial(t)
	idle.get("/")
	a, b := s.dial(t), s.dial(t)
	a.get("/")
	b.get("/")
	a.send("GET /first HTTP/1.1\r\nHost: x\r\n\r\n")
	<-first
	b.send("GET /second HTTP/1.1\r\nHost: x\r\n\r\n")
	lingertest.Wait(t, "the request has come", func() bool { return b.sendQueue() == 0 })
	s.dial(t)
	lingertest.Wait(t, "a client waits", s.run.port.Waits)
	close(goOn)
	<-second
	return s, idle, f
}

// onDescriptor calls do with the descriptor of f, which stays as it is: File.Fd makes it blocking.
func onDescriptor(t testing.TB, f *os.File, do func(fd int)) {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { do(int(fd)) }); err != nil {
		t.Fatal(err)
	}
}

// wantFreed closes the server, whose loop is blocked in accept: that is no reason for an error, or for a port that still listens.
func wantFreed(t *testing.T, s *served) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v\n%s", err, s.Report())
	}
	s.assertGone(t)
}

func listenOn(t *testing.T, address string, reusePort bool) net.Listener {
	t.Helper()
	ln, err := Listen(context.Background(), address, reusePort)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// Clients that are connected do not wait for the next one to come.
func TestBlockedLoopServesAgain(t *testing.T) {
	s, idle, f := blockInAccept(t, listenAlone(t))
	idle.get("/")
	f.Close()
	wantFreed(t, s)
}

// A loop that is blocked in accept keeps no port, whatever it is bound to.
func TestBlockedLoopKeepsNoPort(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
		t.Run(address, func(t *testing.T) {
			s, _, f := blockInAccept(t, listenOn(t, address, false))
			f.Close()
			if err := s.Close(); err != nil {
				t.Errorf("Close() = %v\n%s", err, s.Report())
			}
			if err := linger.CheckFree(s.addr); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("MPTCP", func(t *testing.T) {
		var lc net.ListenConfig
		lc.SetMultipathTCP(true)
		ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s, _, f := blockInAccept(t, ln)
		f.Close()
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v\n%s", err, s.Report())
		}
	})
}

// Whoever shares the socket may have made it non-blocking again meanwhile, so that nothing is to be seen of it.
func TestBlockedLoopWithoutATrace(t *testing.T) {
	s, _, f := blockInAccept(t, listenAlone(t))
	onDescriptor(t, f, func(fd int) { _ = unix.SetNonblock(fd, true) })
	f.Close()
	wantFreed(t, s)
}

// A sibling with SO_REUSEPORT takes some of the connections that are to free the loop.
func TestBlockedLoopBesideASibling(t *testing.T) {
	for range 4 {
		s, _, f := blockInAccept(t, listenOn(t, "127.0.0.1:0", true))
		f.Close()
		sibling := listenOn(t, s.addr.String(), true)
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v\n%s", err, s.Report())
		}
		sibling.Close()
	}
}

// inNetwork runs the calling test in a network namespace of its own, set up by a shell script, and reports whether it is there.
func inNetwork(t *testing.T, script string) bool {
	t.Helper()
	const variable = "RSTSERVER_POLLER_NETWORK"
	if os.Getenv(variable) == t.Name() {
		return true
	}
	unshare := exec.Command("unshare", "--net", "sh", "-c", script+` && exec "$0" "-test.run=^`+t.Name()+`$"`, os.Args[0])
	unshare.Env = append(os.Environ(), variable+"="+t.Name())
	if err := exec.Command("unshare", "--net", "sh", "-c", script).Run(); err != nil {
		t.Skipf("needs root, unshare(1) and ip(8) (Debian: util-linux, iproute2), to make a network namespace: %v", err)
	}
	if out, err := unshare.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func TestBlockedLoopWithAZone(t *testing.T) {
	const address = "fe80::1234"
	if !inNetwork(t, "ip link set lo up && ip -6 addr add "+address+"/64 dev lo nodad") {
		return
	}
	s, _, f := blockInAccept(t, listenOn(t, "["+address+"%lo]:0", false))
	f.Close()
	if err := s.Close(); err != nil || !s.Report().Left.Free() {
		t.Errorf("Close() = %v\n%s", err, s.Report())
	}
}

// Go listens on [::] where there is no IPv6 but for sockets, as in many containers.
func TestBlockedLoopWithoutIPv6(t *testing.T) {
	if !inNetwork(t, "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 && ip link set lo up") {
		return
	}
	ln := listenOn(t, ":0", false)
	if a := netip.MustParseAddrPort(ln.Addr().String()); !a.Addr().Is6() {
		t.Skipf("needs a kernel with IPv6: it listens on %s", a)
	}
	s, _, f := blockInAccept(t, ln)
	f.Close()
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v\n%s", err, s.Report())
	}
	if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.addr.Port())); err == nil {
		c.Close()
		t.Error("the port takes connections after Close")
	}
}
