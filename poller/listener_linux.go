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

	"rstserver/linger"
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
// addresses of IPv4 only.
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

// listener is the listening socket that all loops accept from: a descriptor of our own for what the caller of Serve handed
// in. It is used by the life cycle of the Server, under its lock.
type listener struct {
	fd   int // -1 once closed
	addr netip.AddrPort
	// armed: it was this listener that armed the socket, so it disarms it in the end, for others who hold it too.
	armed bool
	// queued is how many connections were established before the socket's options were set. They were not inherited then,
	// and the queue is first in, first out: so many accepted connections get them one by one.
	queued int
	// acceptTimeout is what SO_RCVTIMEO was before.
	acceptTimeout unix.Timeval
}

// acceptLimit is how long an accept can block a loop (SO_RCVTIMEO, socket(7)). It should never: the socket is non-blocking.
// But that is a property of the open file, which others may share and change: os.File.Fd does, and with it os/exec when
// the listener is passed on to a child.
const acceptLimit = 10 * time.Millisecond

// adopt takes ln over: it duplicates the descriptor, sets the options that accepted connections inherit, and closes ln. On
// an error ln is closed too.
func adopt(ln net.Listener, arm bool) (_ *listener, err error) {
	defer func() {
		if e := ln.Close(); e != nil && err == nil {
			err = fmt.Errorf("poller: closing the listener that was taken over: %w", e)
		}
	}()
	sc, ok := ln.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("poller: a %T has no SyscallConn, so its socket cannot be taken over; "+
			"hand in the *net.TCPListener itself", ln)
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("poller: a listener of type %T: %w", ln, err) // which may have no address
	}
	l := &listener{fd: -1}
	if e := rc.Control(func(fd uintptr) {
		l.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		err = os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	}); e != nil || err != nil {
		return nil, fmt.Errorf("poller: listener %s: %w", ln.Addr(), errors.Join(e, err))
	}
	if err := l.prepare(arm); err != nil {
		_ = unix.Close(l.fd)
		return nil, fmt.Errorf("poller: listener %s: %w", ln.Addr(), err)
	}
	return l, nil
}

// prepare checks that the socket listens for TCP and sets what its connections inherit.
func (l *listener) prepare(arm bool) error {
	domain, err := unix.GetsockoptInt(l.fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return os.NewSyscallError("getsockopt SO_DOMAIN", err)
	}
	if domain != unix.AF_INET && domain != unix.AF_INET6 {
		return errors.New("not a TCP socket: connections of other families cannot be ended with RST")
	}
	listening, err := unix.GetsockoptInt(l.fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return os.NewSyscallError("getsockopt SO_ACCEPTCONN", err)
	}
	if listening == 0 {
		return errors.New("the socket does not listen")
	}
	if l.addr, err = localAddr(l.fd); err != nil {
		return err
	}
	if err := unix.SetNonblock(l.fd, true); err != nil {
		return os.NewSyscallError("fcntl O_NONBLOCK", err)
	}
	if err := setOptions(l.fd); err != nil {
		return err
	}
	if err := l.limitAccept(); err != nil {
		return err
	}
	was, err := linger.Armed(l.fd)
	if err != nil {
		return err
	}
	if arm && !was {
		if err := linger.Arm(l.fd); err != nil {
			return err
		}
		l.armed = true
	}
	l.queued = maxQueued
	if info, err := unix.GetsockoptTCPInfo(l.fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
		l.queued = int(info.Unacked) // of a listening socket: the length of its accept queue
	}
	return nil
}

func (l *listener) limitAccept() error {
	was, err := unix.GetsockoptTimeval(l.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO)
	if err != nil {
		return os.NewSyscallError("getsockopt SO_RCVTIMEO", err)
	}
	l.acceptTimeout = *was
	limit := unix.NsecToTimeval(int64(acceptLimit))
	return os.NewSyscallError("setsockopt SO_RCVTIMEO", unix.SetsockoptTimeval(l.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
}

// maxQueued stands for a queue whose length is not known, as that of an MPTCP socket.
const maxQueued = 1 << 16

// maxUnsent is how many bytes the kernel takes for a connection beyond those that are on their way to the client. By itself it
// takes up to 4 MB (tcp_wmem) of an answer that its client does not read, which nothing bounds in sum, and which takes longer
// to free than all the rest of a teardown. It limits no throughput: what is in flight does not count.
const maxUnsent = 256 << 10

// setOptions sets the options of connections, on one or on a listener, whose connections inherit them.
func setOptions(fd int) error {
	for _, o := range []struct {
		name       string
		level, opt int
		value      int
	}{
		{"SO_REUSEADDR", unix.SOL_SOCKET, unix.SO_REUSEADDR, 1},
		{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(keepAliveIdle / time.Second)},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(keepAliveInterval / time.Second)},
		{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveCount},
		{"TCP_NOTSENT_LOWAT", unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.opt, o.value); err != nil {
			return os.NewSyscallError("setsockopt "+o.name, err)
		}
	}
	return nil
}

// close gives up our descriptor of the socket. The last one resets what waits in the accept queue. Whoever else holds the
// socket finds it armed, or not, and with the timeout that it had before.
func (l *listener) close() error {
	if l.fd < 0 {
		return nil
	}
	err := os.NewSyscallError("setsockopt SO_RCVTIMEO",
		unix.SetsockoptTimeval(l.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &l.acceptTimeout))
	if l.armed {
		err = errors.Join(err, linger.Disarm(l.fd))
	}
	err = errors.Join(err, os.NewSyscallError("close", unix.Close(l.fd)))
	l.fd = -1
	return err
}

// localAddr is the address that fd is bound to (getsockname(2)).
func localAddr(fd int) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("getsockname", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.ZoneId != 0 {
			ip = ip.WithZone(zone(sa.ZoneId))
		}
		return netip.AddrPortFrom(ip, uint16(sa.Port)), nil
	}
	return netip.AddrPort{}, fmt.Errorf("an address of type %T is none of TCP", sa)
}

// zone names the interface of an IPv6 address that is valid on one link only (RFC 4007).
func zone(index uint32) string {
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		return i.Name
	}
	return fmt.Sprint(index)
}
