//go:build linux

package poller

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// writeWatcher tells connections when the kernel takes output again. gnet reports that only for its own buffer, so this is
// an epoll beside the loops' (EPOLLOUT, one event for each add). Its goroutine does not block in epoll_wait but in the Go
// runtime's poller, which watches the epoll descriptor itself. All methods may be called from any goroutine.
type writeWatcher struct {
	file  *os.File // the epoll descriptor
	epoll int
	ended chan struct{}

	mu      sync.Mutex
	closed  bool
	waiting map[int32]*conn // by descriptor; entries leave with their event
}

func newWriteWatcher() (*writeWatcher, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("fcntl O_NONBLOCK", err)
	}
	w := &writeWatcher{
		file: os.NewFile(uintptr(fd), "epoll"), epoll: fd,
		ended: make(chan struct{}), waiting: make(map[int32]*conn),
	}
	raw, err := w.file.SyscallConn()
	if err != nil {
		_ = w.file.Close()
		return nil, err
	}
	go func() {
		defer close(w.ended)
		events := make([]unix.EpollEvent, 128)
		// Read returns with an error when the file is closed, and not before: the function never says that it is done.
		_ = raw.Read(func(uintptr) bool {
			for w.dispatch(events) {
			}
			return false
		})
	}()
	return w, nil
}

// dispatch takes one round of events and tells whether there may be more.
func (w *writeWatcher) dispatch(events []unix.EpollEvent) bool {
	n, err := unix.EpollWait(w.epoll, events, 0)
	if err == unix.EINTR {
		return true
	}
	if n <= 0 {
		return false
	}
	for _, ev := range events[:n] {
		w.mu.Lock()
		c := w.waiting[ev.Fd]
		delete(w.waiting, ev.Fd)
		w.mu.Unlock()
		if c != nil {
			c.loop.turn(c)
		}
	}
	return true
}

// add has c run on its loop as soon as its descriptor is writable. On the connection's loop.
func (w *writeWatcher) add(c *conn) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return os.ErrClosed
	}
	op := unix.EPOLL_CTL_ADD
	if c.watched {
		op = unix.EPOLL_CTL_MOD
	}
	// In the map before the event can come.
	w.waiting[int32(c.fd)] = c
	ev := unix.EpollEvent{Fd: int32(c.fd), Events: unix.EPOLLOUT | unix.EPOLLONESHOT}
	if err := unix.EpollCtl(w.epoll, op, c.fd, &ev); err != nil {
		delete(w.waiting, int32(c.fd))
		return os.NewSyscallError("epoll_ctl", err)
	}
	c.watched = true
	return nil
}

// forget is called on the connection's loop before its descriptor is closed.
func (w *writeWatcher) forget(c *conn) {
	if !c.watched {
		return
	}
	c.watched = false
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	delete(w.waiting, int32(c.fd))
	// It fails only where the kernel has forgotten the descriptor already.
	_ = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_DEL, c.fd, nil)
}

// close ends the goroutine.
func (w *writeWatcher) close() {
	w.mu.Lock()
	w.closed = true
	w.waiting = nil
	w.mu.Unlock()
	_ = w.file.Close()
	<-w.ended
}
