//go:build linux

package inside

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Opener is the other end of the floor: one epoll, bare system calls, and one request on each of a number of connections. What it
// takes to open them is the least that any clients take.
type Opener struct {
	Server netip.AddrPort
	From   netip.Addr // an address of the loopback interface, from which the first of them come
	N      int
}

const (
	// atATime is how many connections wait for an answer at the most. It is below every backlog.
	atATime = 256
	// perAddress is how many come from the same address: the kernel looks long for a free port once half of them are taken.
	perAddress = 8192
)

// Open opens the connections when something comes in, writes a line to out once all are answered, and holds them until in ends.
func (o Opener) Open(in io.Reader, out io.Writer) error {
	switch _, err := io.ReadFull(in, make([]byte, 1)); {
	case err == io.EOF:
		return nil // the others could not be started
	case err != nil:
		return err
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	var (
		server  = &unix.SockaddrInet4{Port: int(o.Server.Port()), Addr: o.Server.Addr().As4()}
		from    = &unix.SockaddrInet4{Addr: o.From.As4()}
		request = []byte("GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
		answer  = make([]byte, 64<<10)
		events  = make([]unix.EpollEvent, 512)
		fds     = make([]int, 0, o.N)
	)
	defer func() { // with RST, so that nothing stays
		for _, fd := range fds {
			_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			_ = unix.Close(fd)
		}
		_ = unix.Close(epoll)
	}()
	for answered := 0; answered < o.N; {
		for len(fds) < o.N && len(fds)-answered < atATime {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
			if err != nil {
				return os.NewSyscallError("socket", err)
			}
			if fds = append(fds, fd); len(fds)%perAddress == 0 {
				from.Addr[3]++
			}
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
				return os.NewSyscallError("setsockopt IP_BIND_ADDRESS_NO_PORT", err)
			}
			if err := unix.Bind(fd, from); err != nil {
				return os.NewSyscallError("bind", err)
			}
			if err := connect(fd, server); err != nil {
				return os.NewSyscallError("connect", err)
			}
			if _, err := unix.Write(fd, request); err != nil {
				return os.NewSyscallError("write", err)
			}
			ev := unix.EpollEvent{Fd: int32(fd), Events: unix.EPOLLIN}
			if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
				return os.NewSyscallError("epoll_ctl", err)
			}
		}
		n, err := unix.EpollWait(epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("epoll_wait", err)
		}
		for _, ev := range events[:max(n, 0)] {
			switch n, err := unix.Read(int(ev.Fd), answer); {
			case err != nil:
				return os.NewSyscallError("read", err)
			case n == 0:
				return errors.New("bench: the server has ended a connection")
			}
			answered++
		}
	}
	if _, err := fmt.Fprintln(out, "open"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// connect returns when the connection is there. Over the loopback interface it mostly is at once, also for a socket that does not block.
func connect(fd int, server unix.Sockaddr) error {
	err := unix.Connect(fd, server)
	for err == unix.EINPROGRESS || err == unix.EINTR {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if _, err = unix.Poll(fds, -1); err != nil {
			continue
		}
		errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && errno != 0 {
			err = unix.Errno(errno)
		}
		return err
	}
	return err
}
