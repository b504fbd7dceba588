//go:build linux

package poller

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// watcher tells when the kernel takes output of a connection again, and when there is input to read. gnet reports output
// only for its own buffer, and input only to itself, so this is an epoll beside the loops', for those who do their own
// system calls: a connection whose output is held up, and a handler to whom a connection is lent (see exchange). Its
// goroutine does not block in epoll_wait but in the Go runtime's poller, which watches the epoll descriptor itself. All
// methods may be called from any goroutine.
type watcher struct {
	file  *os.File // the epoll descriptor
	epoll int
	ended chan struct{}

	mu      sync.Mutex
	closed  bool
	waiting map[int32]watch // by descriptor; entries leave with the last event that they wait for
}

// watch is what somebody waits for on a descriptor.
type watch struct {
	who    waiter
	events uint32 // unix.EPOLLIN, unix.EPOLLOUT or both
}

// waiter is told, on the watcher's goroutine, that it need not wait any more. It may have nothing to do with the descriptor
// by then, and has to find out for itself what has happened to it. It must not block.
type waiter interface{ ready(events uint32) }

func newWatcher() (*watcher, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("fcntl O_NONBLOCK", err)
	}
	w := &watcher{
		file: os.NewFile(uintptr(fd), "epoll"), epoll: fd,
		ended: make(chan struct{}), waiting: make(map[int32]watch),
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
func (w *watcher) dispatch(events []unix.EpollEvent) bool {
	n, err := unix.EpollWait(w.epoll, events, 0)
	if err == unix.EINTR {
		return true
	}
	if n <= 0 {
		return false
	}
	for _, ev := range events[:n] {
		if who, fired := w.take(ev); fired != 0 {
			who.ready(fired)
		}
	}
	return true
}

// take removes what ev brought from what is waited for.
func (w *watcher) take(ev unix.EpollEvent) (who waiter, fired uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	watch, ok := w.waiting[ev.Fd]
	if !ok {
		return nil, 0
	}
	fired = watch.events & ev.Events
	if ev.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		fired = watch.events
	}
	if watch.events &^= fired; watch.events == 0 {
		delete(w.waiting, ev.Fd)
		return watch.who, fired
	}
	w.waiting[ev.Fd] = watch
	if err := w.control(unix.EPOLL_CTL_MOD, ev.Fd, watch.events); err != nil {
		// Whoever waits for the rest finds out.
		fired |= watch.events
		delete(w.waiting, ev.Fd)
	}
	return watch.who, fired
}

// add has who told about each of the events once, beside those that it waits for already. *known says whether the
// descriptor has been added before, and is set; it is the caller's to guard, as is that fd stays open meanwhile.
func (w *watcher) add(fd int, known *bool, who waiter, events uint32) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return os.ErrClosed
	}
	if before, ok := w.waiting[int32(fd)]; ok && before.who == who {
		events |= before.events
	}
	op := unix.EPOLL_CTL_ADD
	if *known {
		op = unix.EPOLL_CTL_MOD
	}
	// In the map before the event can come.
	w.waiting[int32(fd)] = watch{who, events}
	if err := w.control(op, int32(fd), events); err != nil {
		delete(w.waiting, int32(fd))
		return err
	}
	*known = true
	return nil
}

func (w *watcher) control(op int, fd int32, events uint32) error {
	ev := unix.EpollEvent{Fd: fd, Events: events | unix.EPOLLONESHOT}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(w.epoll, op, int(fd), &ev))
}

// forget is called before a descriptor that was added is closed.
func (w *watcher) forget(fd int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	delete(w.waiting, int32(fd))
	// It fails only where the kernel has forgotten the descriptor already.
	_ = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_DEL, fd, nil)
}

// close ends the goroutine.
func (w *watcher) close() {
	w.mu.Lock()
	w.closed = true
	w.waiting = nil
	w.mu.Unlock()
	_ = w.file.Close()
	<-w.ended
}
