//go:build linux

package poller

import (
	"os"

	"golang.org/x/sys/unix"
)

// readEvents is what gnet registers a descriptor for.
const readEvents = unix.EPOLLIN | unix.EPOLLPRI

// modify makes the epoll report input on fd, or nothing but errors and hang-ups, which cannot be switched off.
func modify(epoll, fd int, input bool) error {
	return control(epoll, unix.EPOLL_CTL_MOD, fd, input)
}

// add is modify for a descriptor that is not registered.
func add(epoll, fd int, input bool) error {
	return control(epoll, unix.EPOLL_CTL_ADD, fd, input)
}

func control(epoll, op, fd int, input bool) error {
	ev := unix.EpollEvent{Fd: int32(fd)}
	if input {
		ev.Events = readEvents
	}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(epoll, op, fd, &ev))
}

// emptyListener opens a listening socket that no connection will ever reach anybody through: a Unix socket under an
// abstract name that the kernel chooses (autobind, unix(7)), never polled.
func emptyListener() (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{}); err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("bind", err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("listen", err)
	}
	return fd, nil
}
