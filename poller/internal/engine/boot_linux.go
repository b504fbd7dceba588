//go:build linux

package engine

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"rstserver/internal/descriptors"
	"rstserver/internal/tcpsock"
	"rstserver/linger"
)

// boot is what a loop needs to get hold of a new engine. gnet binds the sockets that it polls and tells neither their
// numbers nor its epoll's, and gives the handle through which tasks reach a loop only to a connection. So an engine is
// started on a placeholder, a listener on a free loopback port, to which the loop connects itself: in that first
// connection's OnOpen, on the engine's own goroutine, all is at hand to put the port's socket under the placeholder's
// number. Owned by the engine's goroutine; OnBoot runs before there is one.
type boot struct {
	done   bool
	fd     int // our end of the first connection
	own    netip.AddrPort
	number int // the placeholder's number, which will be the listener's
	err    error
}

func (b *boot) failed(err error) { b.err = fmt.Errorf("preparing the event loop: %w", err) }

func (b *boot) close() {
	if b.fd >= 0 {
		_ = linger.Abort(b.fd) // or it leaves TIME_WAIT, where the engine ended before it took the other end
		_ = unix.Close(b.fd)
		b.fd = -1
	}
}

// connect finds the placeholder's number and connects to it.
func (b *boot) connect(e gnet.Engine) error {
	dup, err := e.Dup()
	if err != nil {
		return fmt.Errorf("duplicating gnet's listener: %w", err)
	}
	defer unix.Close(dup)
	if b.number, err = twin(dup); err != nil {
		return err
	}
	addr, err := unix.Getsockname(dup)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	b.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	// The handshake on the loopback needs nobody to accept.
	if err := unix.Connect(b.fd, addr); err != nil {
		return os.NewSyscallError("connect to the placeholder", err)
	}
	b.own, err = tcpsock.LocalAddr(b.fd)
	return err
}

// bootConn is OnOpen for what reaches the placeholder.
func (l *callbacks) bootConn(gc gnet.Conn) gnet.Action {
	// Whoever it is, a reset keeps TIME_WAIT off the loopback port.
	defer linger.Abort(gc.Fd())
	if (Conn{gc: gc}).RemoteAddr() != l.boot.own {
		return gnet.Close // somebody else tried this port in the millisecond that it exists
	}
	err := l.takeOver(gc)
	l.boot.done = true
	l.boot.close()
	switch {
	case errors.Is(err, errGivenUp):
		return gnet.Shutdown
	case err != nil:
		l.boot.failed(err)
		return gnet.Shutdown
	}
	l.ready()
	return gnet.Close
}

// takeOver makes the engine reachable and puts the port's socket under the placeholder's number.
func (l *callbacks) takeOver(gc gnet.Conn) error {
	epoll, err := findEpoll(gc.Fd(), l.boot.number)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.handle = gc.EventLoop()
	l.mu.Unlock()
	return l.port.attach(l.Loop, epoll, l.boot.number)
}

// twin returns the other number under which the process holds the socket of fd.
func twin(fd int) (number int, err error) {
	var want, st unix.Stat_t
	if err := unix.Fstat(fd, &want); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	slots, err := descriptors.Slots()
	if err != nil {
		return 0, err
	}
	is := func(n int) bool {
		return n != fd && unix.Fstat(n, &st) == nil && st.Ino == want.Ino && st.Dev == want.Dev
	}
	// Numbers are handed out lowest first, so it is most likely just below its younger twin.
	for n := fd - 1; n >= 0; n-- {
		if is(n) {
			return n, nil
		}
	}
	for n := fd + 1; n < slots; n++ {
		if is(n) {
			return n, nil
		}
	}
	return 0, fmt.Errorf("gnet's listener has no number of its own below %d", slots)
}

// findEpoll returns the number of the epoll in which fd is registered: the eventpoll whose /proc/self/fdinfo names it as
// tfd (proc(5)). It looks at the numbers above near first, then below: gnet has opened its epoll just after near.
func findEpoll(fd, near int) (int, error) {
	slots, err := descriptors.Slots()
	if err != nil {
		return 0, err
	}
	for i := range slots {
		n := strconv.Itoa((near + i) % slots)
		// A number that is not in use is not the one.
		if target, err := os.Readlink("/proc/self/fd/" + n); err != nil || target != "anon_inode:[eventpoll]" {
			continue
		}
		found, err := watches("/proc/self/fdinfo/"+n, fd)
		if err != nil {
			return 0, fmt.Errorf("finding gnet's epoll needs /proc: %w", err)
		}
		if found {
			return strconv.Atoi(n)
		}
	}
	return 0, fmt.Errorf("finding gnet's epoll needs /proc: no eventpoll in /proc/self/fd watches descriptor %d", fd)
}

// watches reports whether the fdinfo of an eventpoll lists fd.
func watches(fdinfo string, fd int) (bool, error) {
	f, err := os.Open(fdinfo)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, os.NewSyscallError("fstat", err)
	}
	inode := fmt.Sprintf("ino:%x", st.Ino)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		// The inode too: an epoll can list a number under which it knew another file.
		if len(fields) > 1 && fields[0] == "tfd:" && fields[1] == strconv.Itoa(fd) && slices.Contains(fields, inode) {
			return true, nil
		}
	}
	return false, nil
}
