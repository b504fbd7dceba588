//go:build linux

// Package watch tells when the kernel takes output of a connection again, and when there is input to read, to those who do
// their own system calls. A loop polls for input only, and reads it itself, so this is an epoll beside those of the loops.
package watch

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Watcher is such an epoll. Its goroutine does not block in epoll_wait but in the Go runtime's poller, which watches the
// epoll descriptor itself. All methods may be called from any goroutine.
type Watcher struct {
	file  *os.File // the epoll descriptor
	epoll int
	ended chan struct{}

	mu      sync.Mutex
	closed  bool
	waiting map[int32]watch // by descriptor; entries leave with the last event that they wait for
}

// watch is what somebody waits for on a descriptor.
type watch struct {
	who    Waiter
	events uint32 // of unix.EPOLLIN, unix.EPOLLOUT and unix.EPOLLRDHUP
}

// Waiter is told, on the watcher's goroutine, that it need not wait any more. It may have nothing to do with the descriptor
// by then, and has to find out for itself what has happened to it. It must not block.
type Waiter interface{ Ready(events uint32) }

// New starts a watcher.
func New() (*Watcher, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("fcntl O_NONBLOCK", err)
	}
	w := &Watcher{
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

// dispatch takes one round of events and reports whether there may be more.
func (w *Watcher) dispatch(events []unix.EpollEvent) bool {
	n, err := unix.EpollWait(w.epoll, events, 0)
	if err == unix.EINTR {
		return true
	}
	if n <= 0 {
		return false
	}
	for _, ev := range events[:n] {
		if who, fired := w.take(ev); fired != 0 {
			who.Ready(fired)
		}
	}
	return true
}

// take removes what ev brought from what is waited for.
func (w *Watcher) take(ev unix.EpollEvent) (who Waiter, fired uint32) {
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

// Add sees to it that who is told about each of the events once, beside those that it waits for already. The caller sees to it that fd stays
// open meanwhile.
func (w *Watcher) Add(fd int, who Waiter, events uint32) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return os.ErrClosed
	}
	if before, ok := w.waiting[int32(fd)]; ok && before.who == who {
		events |= before.events
	}
	// In the map before the event can come.
	w.waiting[int32(fd)] = watch{who, events}
	err := w.control(unix.EPOLL_CTL_MOD, int32(fd), events)
	if err == unix.ENOENT { // it has not been added before
		err = w.control(unix.EPOLL_CTL_ADD, int32(fd), events)
	}
	if err != nil {
		delete(w.waiting, int32(fd))
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

func (w *Watcher) control(op int, fd int32, events uint32) error {
	ev := unix.EpollEvent{Fd: fd, Events: events | unix.EPOLLONESHOT}
	return unix.EpollCtl(w.epoll, op, int(fd), &ev)
}

// Forget is called before a descriptor is closed, or moves, on which somebody may wait.
func (w *Watcher) Forget(fd int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	delete(w.waiting, int32(fd))
	// It fails where the descriptor was not added, or the kernel has forgotten it already.
	_ = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_DEL, fd, nil)
}

// Drop ends what who waits for on fd. It makes no system call, so an event can be taken for
// nothing, and Ready can be running.
func (w *Watcher) Drop(fd int, who Waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting[int32(fd)].who == who {
		delete(w.waiting, int32(fd))
	}
}

// Awaits reports whether somebody waits on fd.
func (w *Watcher) Awaits(fd int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.waiting[int32(fd)]
	return ok
}

// FD is the watcher's own descriptor.
func (w *Watcher) FD() int { return w.epoll }

// Close ends the goroutine.
func (w *Watcher) Close() {
	w.mu.Lock()
	w.closed = true
	w.waiting = nil
	w.mu.Unlock()
	_ = w.file.Close()
	<-w.ended
}
