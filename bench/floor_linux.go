//go:build linux

package bench

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// floorServer is the least that a server can do: one epoll, a fixed answer to every read, and on SIGTERM the listener is
// closed and every socket aborted by two threads. No HTTP, no framework, bare system calls.
type floorServer struct {
	listener, epoll, wake int
	live                  [1 << 16]bool
}

// Floor serves on a free port of 127.0.0.1 until SIGTERM, and then does not return. Like every peer it prints the address.
func Floor() error {
	var f floorServer
	if err := f.listen(); err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		_, _ = unix.Write(f.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}()
	if err := f.serve(); err != nil {
		return err
	}
	f.abort()
	os.Exit(0)
	return nil
}

func (f *floorServer) listen() (err error) {
	if f.listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return os.NewSyscallError("socket", err)
	}
	if err := unix.SetsockoptInt(f.listener, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt SO_REUSEADDR", err)
	}
	if err := unix.Bind(f.listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if err := unix.Listen(f.listener, 4096); err != nil {
		return os.NewSyscallError("listen", err)
	}
	sa, err := unix.Getsockname(f.listener)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	if f.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if f.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	for _, fd := range []int{f.listener, f.wake} {
		if err := f.watch(fd); err != nil {
			return err
		}
	}
	fmt.Printf("listening on http://127.0.0.1:%d\n", sa.(*unix.SockaddrInet4).Port)
	return nil
}

func (f *floorServer) watch(fd int) error {
	ev := unix.EpollEvent{Fd: int32(fd), Events: unix.EPOLLIN}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, fd, &ev))
}

// serve returns when it is woken up.
func (f *floorServer) serve() error {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, World!")
	buf := make([]byte, 64<<10)
	events := make([]unix.EpollEvent, 512)
	for {
		n, err := unix.EpollWait(f.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("epoll_wait", err)
		}
		for _, ev := range events[:max(n, 0)] {
			switch fd := int(ev.Fd); fd {
			case f.wake:
				return nil
			case f.listener:
				for {
					c, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
					if err != nil {
						break
					}
					if err := f.watch(c); err != nil {
						return err
					}
					f.live[c] = true
				}
			default:
				if n, err := unix.Read(fd, buf); n > 0 {
					_, _ = unix.Write(fd, answer)
				} else if err != unix.EAGAIN && err != unix.EINTR {
					f.live[fd] = false
					_ = unix.Close(fd)
				}
			}
		}
	}
}

// abort closes the listener and resets every connection in place, one half of the numbers on each of two threads.
func (f *floorServer) abort() {
	_ = unix.Close(f.listener)
	var both sync.WaitGroup
	for k := range 2 {
		both.Go(func() {
			var unspec [16]byte
			for fd := k; fd < len(f.live); fd += 2 {
				if f.live[fd] {
					unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&unspec)), unsafe.Sizeof(unspec))
				}
			}
		})
	}
	both.Wait()
}
