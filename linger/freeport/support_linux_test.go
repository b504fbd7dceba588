//go:build linux

package freeport

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
	"rstserver/internal/sockdiagtest"
	"rstserver/linger/sockdiag"
)

// server is a listening socket on a port that has nothing else on it.
type server struct {
	*net.TCPListener
	addr netip.AddrPort
}

var families = map[string]string{"IPv4": "127.0.0.1:0", "IPv6": "[::1]:0"}

// listen skips the test where the machine lacks the family.
func listen(t testing.TB, address string) *server {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		e := c.Control(func(fd uintptr) {
			err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 16<<10),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
		})
		return errors.Join(e, err)
	}}
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(context.Background(), "tcp", sockdiagtest.OwnAddr(t, address))
	if err != nil {
		if netip.MustParseAddrPort(address).Addr().Is6() {
			t.Skipf("needs IPv6 (sysctl net.ipv6.conf.lo.disable_ipv6=0): %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return &server{ln.(*net.TCPListener), ln.Addr().(*net.TCPAddr).AddrPort()}
}

// dial connects a client that ends by RST, so that tests leave nothing behind.
func (s *server) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	return lingertest.Dial(t, net.Dialer{}, s.addr)
}

func (s *server) connect(t testing.TB) (client, conn *net.TCPConn) {
	t.Helper()
	client = s.dial(t)
	conn, err := s.AcceptTCP()
	lingertest.Must(t, err)
	t.Cleanup(func() { conn.Close() })
	return client, conn
}

// leave makes one socket each that is established, in FIN_WAIT2 without a descriptor, and in TIME_WAIT, and one connection
// that was not accepted.
func (s *server) leave(t testing.TB) (client, conn *net.TCPConn) {
	t.Helper()
	other, closed := s.connect(t)
	lingertest.Must(t, closed.Close())
	sockdiagtest.WaitCount(t, s.addr.Port(), sockdiag.Counts{sockdiag.Listen: 1, sockdiag.FinWait2: 1})
	lingertest.Must(t, other.CloseWrite())
	sockdiagtest.WaitCount(t, s.addr.Port(), sockdiag.Counts{sockdiag.Listen: 1, sockdiag.TimeWait: 1})
	_, closed = s.connect(t)
	lingertest.Must(t, closed.Close())
	client, conn = s.connect(t)
	s.dial(t)
	sockdiagtest.WaitCount(t, s.addr.Port(), sockdiag.Counts{sockdiag.Listen: 1, sockdiag.TimeWait: 1, sockdiag.FinWait2: 1, sockdiag.Established: 2})
	return client, conn
}

// plan frees the port of s, with what change does to it.
func (s *server) plan(change ...func(*Plan)) *Plan {
	p := &Plan{Select: sockdiag.Selector{LocalPort: s.addr.Port()}, Wait: lingertest.Patience}
	for _, f := range change {
		f(p)
	}
	return p
}

func (p *Plan) run(t testing.TB) (Result, Verdict) {
	t.Helper()
	r, v, err := p.Run()
	lingertest.Must(t, err)
	return r, v
}

// process is a child of the test that holds sockets.
type process struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// hand starts a child that has the sockets instead of this process; see child.
func hand(t testing.TB, how string, sockets ...interface {
	File() (*os.File, error)
	Close() error
}) *process {
	t.Helper()
	p := &process{Cmd: exec.Command("/proc/self/exe")}
	p.Env = append(os.Environ(), "FREEPORT_CHILD="+how)
	p.Stderr = os.Stderr
	for _, s := range sockets {
		f, err := s.File()
		lingertest.Must(t, err)
		defer f.Close()
		lingertest.Must(t, s.Close())
		p.ExtraFiles = append(p.ExtraFiles, f)
	}
	var err error
	p.in, err = p.StdinPipe()
	lingertest.Must(t, err)
	out, err := p.StdoutPipe()
	lingertest.Must(t, err)
	p.out = bufio.NewReader(out)
	lingertest.Must(t, p.Start())
	t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
	})
	p.says(t, "ready")
	return p
}

// says waits for a line of the child's.
func (p *process) says(t testing.TB, want string) {
	t.Helper()
	if line, err := p.out.ReadString('\n'); line != want+"\n" || err != nil {
		t.Fatalf("the child says %q, %v, want %q", line, err, want)
	}
}
