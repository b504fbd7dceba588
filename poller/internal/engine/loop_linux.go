//go:build linux

package engine

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"rstserver/internal/tcpsock"
	"rstserver/linger"
)

// Handler is what a [Loop] works for. Its methods are called on the loop's goroutine and must not block.
type Handler interface {
	// Accepted is told of a new connection. It returns what serves it, and whether it is to stay open: if not, the loop closes
	// it as soon as Accepted has returned.
	Accepted(Conn) (s Session, open bool)
	// AcceptFailed is told that accept(2) failed in a way that has nothing to do with a single client, such as EMFILE, and
	// reports whether that passes. If not, the loop ends.
	AcceptFailed(error) (passes bool)
}

// Session serves one connection. Its methods are called on the loop's goroutine and must not block.
type Session interface {
	// Received is told what was read, which is valid until it returns. It reports whether the connection is to stay open.
	Received(data []byte) (open bool)
	// Closed is told once that the descriptor is about to be closed; it is open still. by says who closes.
	Closed(by Closer)
}

// Closer says who closes a connection.
type Closer uint8

const (
	// Here is this side: Accepted or Received did not want it open, Conn.Close was called, or the loop is ending.
	Here Closer = iota
	// There is the client, by FIN or RST, or the network.
	There
)

const (
	// readBuffer is how much is read at a time, once so much has come; firstBuffer before that, of which small requests need less. What a loop takes of
	// the heap has the garbage collector run more often in a small process.
	readBuffer  = 64 << 10
	firstBuffer = 8 << 10
	// batch is how many events are dealt with before others have the processor, which takes a millisecond where each leads to a system call.
	batch = 64
)

// Loop is one event loop. Run's caller owns it; Post may be called from any goroutine, and what else there is says itself.
type Loop struct {
	port    *Port // immutable, as is the next
	handler Handler

	epoll int // set before the loop accepts; valid until Run returns
	wake  int // an eventfd in it

	switching sync.Mutex // guards what is polled for on connections

	mu      sync.Mutex // guards what follows
	running bool
	tasks   []func()
	woken   bool // since tasks were last taken

	// Guarded by port.mu. They are valid while the loop is attached to the port.
	number   int   // of the port's socket, for this loop
	attached bool  // it is the port's
	polling  bool  // number is in the epoll
	seen     int64 // taken, when Rouse last looked

	// Owned by the goroutine of Run.
	entries []*entry // by descriptor
	last    int32    // number of an entry
	buf     []byte
	spare   []func() // the memory of tasks that have run
	ending  bool
	failure error

	live   atomic.Int64 // connections; stored by the goroutine of Run
	taken  atomic.Int64 // connections accepted in this round
	absent atomic.Bool  // the round does not wait for this loop; stored under port.mu
}

// The numbers of what is no connection.
const (
	wakeNumber int32 = -1 - iota
	portNumber
)

// NewLoop returns a loop that accepts from p, once it runs.
func NewLoop(p *Port, h Handler) *Loop { return &Loop{port: p, handler: h, number: -1} }

// Run accepts and serves connections until [Loop.End], or [Port.GiveUp] before it began, and returns nil then, or why it cannot go on. ready
// is called on the loop when it accepts connections. Every connection is closed when Run returns. It may be called again then.
func (l *Loop) Run(ready func()) error {
	if err := l.open(); err != nil {
		return fmt.Errorf("preparing the event loop: %w", err)
	}
	defer l.shut()
	switch err := l.port.attach(l); {
	case err == errGivenUp:
		return nil
	case err != nil:
		return fmt.Errorf("preparing the event loop: %w", err)
	}
	ready()
	events := make([]unix.EpollEvent, batch)
	for sleeps := true; !l.ending; {
		n, err := l.wait(events, sleeps)
		if n <= 0 {
			if err != nil && err != unix.EINTR {
				return os.NewSyscallError("epoll_wait", err)
			}
			sleeps = true
			continue
		}
		sleeps = false
		woken := false
		for i := range events[:n] {
			switch ev := &events[i]; ev.Pad {
			case wakeNumber:
				woken = true
			case portNumber:
				l.accept()
			default:
				if e := l.find(int(ev.Fd), ev.Pad); e != nil {
					l.happened(e, ev.Events)
				}
			}
		}
		if woken {
			l.runTasks()
		}
		// Whoever was woken up, and whoever waits for a processor, has this one before the loop looks again, or its thread sleeps: what a loop does
		// gives the scheduler no occasion to take it away.
		runtime.Gosched()
	}
	return l.failure
}

// wait is epoll_wait(2). The scheduler does not learn of it if it does not sleep; see [tcpsock.Recv].
func (l *Loop) wait(events []unix.EpollEvent, sleeps bool) (int, error) {
	if sleeps {
		return unix.EpollWait(l.epoll, events, -1)
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.epoll), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (l *Loop) open() (err error) {
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		_ = unix.Close(l.epoll)
		return os.NewSyscallError("eventfd", err)
	}
	// Edge-triggered, each write is an event, and nobody has to read.
	if err = control(l.epoll, unix.EPOLL_CTL_ADD, l.wake, wakeNumber, unix.EPOLLIN|unix.EPOLLET); err != nil {
		_, _ = unix.Close(l.wake), unix.Close(l.epoll)
		return err
	}
	l.ending, l.failure = false, nil
	l.buf = make([]byte, firstBuffer)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = true
	return nil
}

// shut closes all that is open. Tasks that wait are dropped.
func (l *Loop) shut() {
	l.port.detach(l)
	for _, e := range l.entries {
		if e != nil {
			l.close(e, Here)
		}
	}
	l.mu.Lock()
	l.running, l.tasks, l.woken = false, nil, false
	l.mu.Unlock()
	_, _ = unix.Close(l.wake), unix.Close(l.epoll)
	l.entries, l.buf, l.spare = nil, nil, nil
}

// Post gives the loop f to run, and reports whether it was taken. A task that was taken is dropped all the same when the loop
// ends before, so whoever waits for it waits for the end of Run too. Tasks run one after the other, for as long as there are
// any, before the loop looks at its connections again.
func (l *Loop) Post(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.running {
		return false
	}
	l.tasks = append(l.tasks, f)
	if !l.woken {
		l.woken = true
		// It fails for nothing but a counter that is full, after which there is an event as well.
		_, _ = unix.Write(l.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
	return true
}

func (l *Loop) runTasks() {
	for {
		l.mu.Lock()
		tasks := l.tasks
		if len(tasks) == 0 {
			l.woken = false
			l.mu.Unlock()
			return
		}
		l.tasks, l.spare = l.spare, nil
		l.mu.Unlock()
		for _, f := range tasks {
			if f(); l.ending {
				return
			}
		}
		clear(tasks)
		l.spare = tasks[:0]
	}
}

// End ends the loop when the task that calls it has returned: connections are closed, and tasks that wait are dropped.
// It is called in a task only.
func (l *Loop) End() { l.ending = true }

// PollNothing stops the kernel's reports on the loop's connections, which makes it quicker to reset and to close them. It is called in the
// task that calls End.
func (l *Loop) PollNothing() error {
	none, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	defer unix.Close(none)
	// The last reference to the epoll goes, and with it all entries; the number stays the loop's.
	return os.NewSyscallError("dup3", unix.Dup3(none, l.epoll, unix.O_CLOEXEC))
}

// Forget drops the sessions that f is true of, whose descriptors have been closed by somebody else. It is called in the task that calls End.
func (l *Loop) Forget(f func(Session) bool) {
	for fd, e := range l.entries {
		if e != nil && f(e.session) {
			l.entries[fd] = nil
			l.live.Add(-1)
		}
	}
}

// Sessions calls f for the sessions of n descriptors, from the given one on, and returns the next, 0 behind the last. On the loop, outside of a
// session's methods; f may close what it is given.
func (l *Loop) Sessions(from, n int, f func(Session)) (next int) {
	to := min(from+n, len(l.entries))
	for fd := from; fd < to; fd++ {
		if e := l.entries[fd]; e != nil && e.session != nil {
			f(e.session)
		}
	}
	if to == len(l.entries) {
		return 0
	}
	return to
}

// find returns the connection that an event is about, nil if that is closed.
func (l *Loop) find(fd int, number int32) *entry {
	if e := l.entries[fd]; e != nil && e.number == number {
		return e
	}
	return nil
}

// accept accepts one connection: if there are more, and it is this loop's to take them, there will be an event again.
func (l *Loop) accept() {
	l.port.keepNonblocking(l)
	fd, from, err := unix.Accept4(l.number, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	switch {
	case err == unix.EAGAIN, err == unix.EINTR, err == unix.ECONNABORTED, err == unix.ECONNRESET:
		return
	case err != nil:
		l.acceptFailed(os.NewSyscallError("accept", err))
		return
	}
	remote := tcpsock.AddrPort(from)
	if l.port.isKnock(remote) {
		_ = linger.Abort(fd)
		_ = unix.Close(fd)
		return
	}
	l.port.accepted(l)
	if l.last++; l.last < 0 {
		l.last = 0
	}
	e := &entry{fd: fd, number: l.last, loop: l, remote: remote}
	e.input.Store(wanted | polled)
	if err := e.control(unix.EPOLL_CTL_ADD, unix.EPOLLIN); err != nil {
		_ = linger.Abort(fd)
		_ = unix.Close(fd)
		l.live.Add(-1)
		l.acceptFailed(err)
		return
	}
	if fd >= len(l.entries) {
		l.entries = append(l.entries, make([]*entry, fd+1-len(l.entries))...)
	}
	l.entries[fd] = e
	var open bool
	if e.session, open = l.handler.Accepted(Conn{fd, e}); !open {
		l.close(e, Here)
	}
}

func (l *Loop) acceptFailed(err error) {
	if !l.handler.AcceptFailed(err) {
		l.failure, l.ending = err, true
	}
}

// happened deals with the events of a connection.
func (l *Loop) happened(e *entry, events uint32) {
	if events&unix.EPOLLIN == 0 || e.input.Load()&wanted == 0 {
		if events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			l.close(e, There)
		} else {
			e.unwanted()
		}
		return
	}
	n, err := tcpsock.Recv(e.fd, l.buf)
	switch {
	case err == unix.EAGAIN, err == unix.EINTR:
	case err != nil, n == 0:
		l.close(e, There)
	case !e.session.Received(l.buf[:n]):
		l.close(e, Here)
	case n == len(l.buf) && n < readBuffer:
		l.buf = make([]byte, readBuffer)
	}
}

// close closes the connection. The epoll forgets it by itself.
func (l *Loop) close(e *entry, by Closer) {
	if e.fd >= len(l.entries) || l.entries[e.fd] != e {
		return // it was closed before
	}
	e.session.Closed(by)
	l.entries[e.fd] = nil
	_ = unix.Close(e.fd)
	l.live.Add(-1)
}
