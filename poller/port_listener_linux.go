//go:build linux

package poller

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/tcpsock"
	"rstserver/linger"
	"rstserver/poller/internal/engine"
)

// Keep-alive probes (tcp(7)), with the values that net/http's servers use: a client that vanished without a word is found
// out after some two and a half minutes.
const (
	keepAliveIdle     = 15 * time.Second
	keepAliveInterval = 15 * time.Second
	keepAliveCount    = 9
)

// Listen opens a TCP listening socket that suits [Server.Serve]: with SO_REUSEADDR, so that a successor can bind the port
// while connections live; plain TCP rather than MPTCP; and with SO_REUSEPORT if asked. addr is as for net.Listen: an empty
// host or [::] means all addresses of both families, port 0 one that the kernel chooses. Unlike there 0.0.0.0 means all
// addresses of IPv4 only. An error is a [*net.OpError]. Any goroutine may call it.
func Listen(ctx context.Context, addr string, reusePort bool) (net.Listener, error) {
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false)
	if reusePort {
		lc.Control = func(_, _ string, c syscall.RawConn) error {
			var err error
			if e := c.Control(func(fd uintptr) {
				err = os.NewSyscallError("setsockopt SO_REUSEPORT",
					unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
			}); e != nil {
				return e
			}
			return err
		}
	}
	network := "tcp"
	if a, err := netip.ParseAddrPort(addr); err == nil && a.Addr().Is4() {
		network = "tcp4"
	}
	return lc.Listen(ctx, network, addr)
}

// listener is what there is to know of the listening socket that all loops accept from. Immutable.
type listener struct {
	addr   netip.AddrPort
	cookie uint64
	inode  uint32
	shared bool // it was announced that others hold it too
}

// adopt takes ln over: it duplicates the descriptor, closes ln, and arms the socket. After an error nothing of ln is open.
func adopt(ln net.Listener, arm, shared bool) (l listener, port *engine.Port, err error) {
	tracked, ok := ln.(*linger.Listener)
	l.shared = shared || ok && tracked.Shared()
	fd, err := takeSocket(ln)
	if err != nil {
		return listener{}, nil, err
	}
	if err = l.prepare(fd, arm); err == nil {
		port, err = engine.NewPort(fd)
	}
	if err != nil {
		_ = unix.Close(fd)
		return listener{}, nil, fmt.Errorf("poller: listener %s: %w", ln.Addr(), err)
	}
	return l, port, nil
}

// isNil reports whether ln is a nil pointer of one of the types that are known here, of which no method can be called.
func isNil(ln net.Listener) bool {
	switch ln := ln.(type) {
	case *net.TCPListener:
		return ln == nil
	case *net.UnixListener:
		return ln == nil
	case *linger.Listener:
		return ln == nil
	}
	return false
}

// takeSocket closes ln and returns its socket.
func takeSocket(ln net.Listener) (fd int, err error) {
	defer func() {
		if e := ln.Close(); e != nil && err == nil {
			_ = unix.Close(fd)
			fd, err = -1, fmt.Errorf("poller: closing the listener that is to be taken over: %w", e)
		}
	}()
	tcp, err := tcpBelow(ln)
	if err != nil {
		return -1, err
	}
	rc, err := tcp.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("poller: a %T: %w", ln, err) // which may have no address
	}
	if e := rc.Control(func(from uintptr) {
		fd, err = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0)
		err = os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	}); e != nil || err != nil {
		return -1, fmt.Errorf("poller: listener %s: %w", ln.Addr(), errors.Join(e, err))
	}
	return fd, nil
}

// tcpBelow is the listener whose socket is to be taken. Of the types that it takes every method is known; others are a user's code.
func tcpBelow(ln net.Listener) (*net.TCPListener, error) {
	below := ln
	if tracked, ok := ln.(*linger.Listener); ok {
		below = tracked.NetListener()
	}
	switch below := below.(type) {
	case *net.TCPListener:
		return below, nil
	case *net.UnixListener:
		return nil, fmt.Errorf("poller: listener %s: not a TCP socket: connections of other families cannot be ended with RST", ln.Addr())
	}
	if fmt.Sprintf("%T", below) == "*tls.listener" {
		return nil, errors.New("poller: the listener of tls.NewListener cannot be served: hand the one that it was made from to ServeTLS, and " +
			"its tls.Config to Server.TLSConfig")
	}
	return nil, fmt.Errorf("poller: a %T cannot be served, as its Accept would be passed over: the event loops accept from the "+
		"socket itself. Hand in the *net.TCPListener or *linger.Listener; what the other one does to connections is to be done in "+
		"Server's options or handlers", below)
}

// prepare checks that the socket listens for TCP and sets what its connections inherit.
func (l *listener) prepare(fd int, arm bool) (err error) {
	if err = tcpsock.CheckListens(fd); err != nil {
		return err
	}
	if l.addr, err = tcpsock.LocalAddr(fd); err != nil {
		return err
	}
	l.cookie, _ = linger.Cookie(fd) // there are none before Linux 4.6
	if l.inode, err = linger.Inode(fd); err != nil {
		return err
	}
	if err := tcpsock.AcceptAtOnce(fd); err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return os.NewSyscallError("fcntl O_NONBLOCK", err)
	}
	// With it a successor can bind the port while connections live, which inherit it.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt SO_REUSEADDR", err)
	}
	if arm {
		// It stays armed when it is let go: a successor that holds it too relies on that.
		return linger.Arm(fd)
	}
	return nil
}

// ending is what the kernel is asked about when the socket was given up.
func (l *listener) ending() linger.Ending {
	return linger.Ending{Port: l.addr.Port(), Listener: l.inode, Shared: l.shared}
}

// maxUnsent is how many bytes the kernel takes for a connection beyond those that are on their way to the client. By itself it
// takes up to 4 MB (tcp_wmem) of an answer that its client does not read, which nothing bounds in sum, and which takes longer
// to free than all the rest of a teardown. It limits no throughput: what is in flight does not count.
const maxUnsent = 256 << 10

// connOptions are what connections are given when they are accepted.
var connOptions = []struct {
	name       string
	level, opt int
	value      int
}{
	{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
	{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(keepAliveIdle / time.Second)},
	{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(keepAliveInterval / time.Second)},
	{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveCount},
	{"TCP_NOTSENT_LOWAT", unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent},
}

func setOptions(fd int) error {
	for _, o := range connOptions {
		if err := unix.SetsockoptInt(fd, o.level, o.opt, o.value); err != nil {
			return os.NewSyscallError("setsockopt "+o.name, err)
		}
	}
	return nil
}
