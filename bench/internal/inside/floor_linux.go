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

	"rstserver/internal/deal"
	"rstserver/internal/processors"
)

// floorWay is how the floor ends a connection.
type floorWay bool

// The ways: each with one RST.
const (
	inPlace floorWay = false // connect(2) with AF_UNSPEC, the descriptor stays taken
	byClose floorWay = true  // close(2), with SO_LINGER and a timeout of zero, which connections have from the listening socket
)

// floorServer is the least that a server can do: one epoll, a fixed answer to every read that is of no WebSocket, and on SIGTERM the listener is
// closed and every socket ended by as many threads as there are processors. No HTTP, no framework, bare system calls.
type floorServer struct {
	way                   floorWay
	listener, epoll, wake int
	live                  []bool        // by descriptor
	sockets               []floorSocket // likewise
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
	if f.way == byClose {
		if err := unix.SetsockoptLinger(f.listener, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
			return os.NewSyscallError("setsockopt SO_LINGER", err)
		}
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
					for len(f.live) <= c {
						f.live, f.sockets = append(f.live, false), append(f.sockets, plain)
					}
					f.live[c], f.sockets[c] = true, plain
				}
			default:
				if n, err := unix.Read(fd, buf); n > 0 {
					if !f.asSocket(fd, buf[:n]) {
						_, _ = unix.Write(fd, answer)
					}
				} else if err != unix.EAGAIN && err != unix.EINTR {
					f.live[fd] = false
					_ = unix.Close(fd)
				}
			}
		}
	}
}

// abort closes the listener and the epoll, and ends every connection. Its threads have processors of their own for as long as the process lives. They
// also close what they have reset: beside each other that takes half as long as it takes the kernel at the end of a process, which has
// one thread for it.
func (f *floorServer) abort() {
	_ = unix.Close(f.listener)
	_ = unix.Close(f.epoll) // all at once: otherwise each reset wakes it up, and each close takes one out
	var (
		apart          processors.Set
		threads, reset sync.WaitGroup
		resets, closes deal.Pieces
	)
	n := runtime.NumCPU()
	reset.Add(n)
	for range n {
		threads.Go(func() {
			_ = apart.Take()
			if f.way == inPlace {
				for from, to := range resets.Of(len(f.live)) {
					f.reset(from, to)
				}
			}
			// Whatever is closed before it is reset ends with FIN. Nor is a processor to close as long as there are connections to reset.
			reset.Done()
			reset.Wait()
			for from, to := range closes.Of(len(f.live)) {
				f.close(from, to)
			}
		})
	}
	threads.Wait()
}

// reset resets connections in place: those of the descriptors from a number to one below another.
func (f *floorServer) reset(from, to int) {
	var unspec [16]byte
	for fd := from; fd < to; fd++ {
		if f.live[fd] {
			unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&unspec)), unsafe.Sizeof(unspec))
		}
	}
}

// close closes connections, those whose numbers follow each other in one call: a call for each costs the processors a fifth more for
// all that is done from the signal on.
func (f *floorServer) close(from, to int) {
	for fd := from; fd < to; fd++ {
		if !f.live[fd] {
			continue
		}
		last := fd
		for last+1 < to && f.live[last+1] {
			last++
		}
		unix.RawSyscall(unix.SYS_CLOSE_RANGE, uintptr(fd), uintptr(last), 0)
		fd = last
	}
}
