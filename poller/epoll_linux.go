//go:build linux

package poller

import (
	"os"

	"golang.org/x/sys/unix"
)

// modify makes the epoll report events on fd, beside errors and hang-ups, which cannot be switched off.
func modify(epoll, fd int, events uint32) error {
	return control(epoll, unix.EPOLL_CTL_MOD, fd, events)
}

// add is modify for a descriptor that is not registered.
func add(epoll, fd int, events uint32) error {
	return control(epoll, unix.EPOLL_CTL_ADD, fd, events)
}

func control(epoll, op, fd int, events uint32) error {
	ev := unix.EpollEvent{Fd: int32(fd), Events: events}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(epoll, op, fd, &ev))
}

// acceptEvents are those of a listener that is to be accepted from, or not.
func acceptEvents(on bool) uint32 {
	if on {
		return unix.EPOLLIN
	}
	return 0
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
