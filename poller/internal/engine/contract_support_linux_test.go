//go:build linux

package engine

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/lingertest"
)

// gnetAwait returns what comes first from c.
func gnetAwait[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(lingertest.Patience):
		t.Fatalf("waited %s for this: %s", lingertest.Patience, what)
		panic("not reached")
	}
}

// gnetDone reports whether c is closed.
func gnetDone(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// gnetNone checks that nothing has come from c.
func gnetNone[T any](t *testing.T, what string, c <-chan T) {
	t.Helper()
	select {
	case v := <-c:
		t.Errorf("%s: %v", what, v)
	default:
	}
}

// gnetHappens waits until poll(2) reports one of events on fd.
func gnetHappens(t *testing.T, fd int, events int16) {
	t.Helper()
	lingertest.Wait(t, "an event on a descriptor", func() bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
		n, err := unix.Poll(fds, 0)
		return err == nil && n == 1 && fds[0].Revents&events != 0
	})
}

// gnetOpen reports whether a descriptor is open.
func gnetOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

// gnetTwins returns the other numbers of fd's file.
func gnetTwins(fd int) (twins []int) {
	var want, st unix.Stat_t
	if err := unix.Fstat(fd, &want); err != nil {
		return nil
	}
	for _, line := range lingertest.Descriptors() {
		n := 0
		_, _ = fmt.Sscan(line, &n)
		if n != fd && unix.Fstat(n, &st) == nil && st.Ino == want.Ino && st.Dev == want.Dev {
			twins = append(twins, n)
		}
	}
	return twins
}

// gnetEpoll returns the number of the epoll that has an entry for fd (proc(5)), or -1.
func gnetEpoll(fd int) int {
	for _, line := range lingertest.Descriptors() {
		n := 0
		if _, _ = fmt.Sscan(line, &n); !strings.HasSuffix(line, "anon_inode:[eventpoll]") {
			continue
		}
		info, _ := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", n))
		for entry := range strings.Lines(string(info)) {
			if f := strings.Fields(entry); len(f) > 1 && f[0] == "tfd:" && f[1] == fmt.Sprint(fd) {
				return n
			}
		}
	}
	return -1
}

// gnetEmpty returns a listening socket that nobody can connect to.
func gnetEmpty(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrUnix{}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	return fd
}

// gnetGoroutine names the goroutine that calls it.
func gnetGoroutine() string {
	b := make([]byte, 64)
	b = b[:runtime.Stack(b, false)]
	name, _, _ := bytes.Cut(b, []byte(" ["))
	return string(name)
}

// gnetStacks returns the stacks of all goroutines that contain text.
func gnetStacks(text string) []string {
	b := make([]byte, 1<<20)
	b = b[:runtime.Stack(b, true)]
	return slices.DeleteFunc(strings.Split(string(b), "\n\n"), func(s string) bool { return !strings.Contains(s, text) })
}

// gnetDial returns a connection that leaves no TIME_WAIT.
func gnetDial(addr string) (*net.TCPConn, error) {
	client, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return client.(*net.TCPConn), client.(*net.TCPConn).SetLinger(0)
}

// gnetListen returns a listening socket without options.
func gnetListen(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 10); err != nil {
		t.Fatal(err)
	}
	return fd
}

// gnetAddr is where fd listens.
func gnetAddr(t *testing.T, fd int) string {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Error(err)
		return ""
	}
	in := sa.(*unix.SockaddrInet4)
	return (&net.TCPAddr{IP: in.Addr[:], Port: in.Port}).String()
}

// gnetDup puts the file of fd under number.
func gnetDup(t *testing.T, fd, number int) {
	t.Helper()
	if err := unix.Dup3(fd, number, unix.O_CLOEXEC); err != nil {
		t.Errorf("dup3: %v", err)
	}
}
