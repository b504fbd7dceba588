//go:build linux

package inside

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// floorWay is how the floor ends a connection.
type floorWay bool

// The ways: each with one RST.
const (
	inPlace floorWay = false // connect(2) with AF_UNSPEC, the descriptor stays taken
	byClose floorWay = true  // SO_LINGER with a timeout of zero, and close(2)
)

// floorServer is the least that a server can do: one epoll, a fixed answer to every read, and on SIGTERM the listener is
// closed and every socket aborted by two threads. No HTTP, no framework, bare system calls.
type floorServer struct {
	way                   floorWay
	listener, epoll, wake int
	live                  [1 << 16]bool
}

// serveFloor serves on addr until SIGTERM, and then does not return. With share the listener has SO_REUSEPORT.
func serveFloor(addr netip.AddrPort, way floorWay, share bool) error {
	f := floorServer{way: way}
	if err := f.listen(addr, share); err != nil {
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

func (f *floorServer) listen(addr netip.AddrPort, share bool) (err error) {
	ln, err := listen(addr, share)
	if err != nil {
		return err
	}
	// Go's own epoll is not to know of it.
	f.listener, err = duplicate(ln)
	if err := errors.Join(err, ln.Close()); err != nil {
		return err
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
	fmt.Println("listening on http://" + addr.String())
	return nil
}

// duplicate is another descriptor of what is listened on.
func duplicate(ln *net.TCPListener) (fd int, err error) {
	raw, err := ln.SyscallConn()
	if err != nil {
		return -1, err
	}
	failed := raw.Control(func(original uintptr) { fd, err = unix.FcntlInt(original, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(failed, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err))
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

// abort closes the listener and resets every connection, one half of the numbers on each of two threads.
func (f *floorServer) abort() {
	_ = unix.Close(f.listener)
	var both sync.WaitGroup
	for k := range 2 {
		both.Go(func() {
			runtime.LockOSThread()
			var unspec [16]byte
			linger := unix.Linger{Onoff: 1}
			for fd := k; fd < len(f.live); fd += 2 {
				switch {
				case !f.live[fd]:
				case f.way == inPlace:
					unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&unspec)), unsafe.Sizeof(unspec))
				default:
					unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER,
						uintptr(unsafe.Pointer(&linger)), unsafe.Sizeof(linger), 0)
					unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
				}
			}
		})
	}
	both.Wait()
}
