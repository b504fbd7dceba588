//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"rstserver/bench/internal/kernel"
)

// load is clients that ask for one path on connections that they keep. Without a Rate the loop is closed: each connection asks again once it
// has all its answers. With one it is open: requests are due at fixed times, whatever the server does, and one that is due while all that
// its connection may ask at a time is under way waits for its turn. It has waited since it was due (github.com/giltene/wrk2 says why).
type load struct {
	Addr        netip.AddrPort
	Path        string
	Connections int
	Depth       int           // requests in one write of a closed loop; of an open one 1
	Rate        float64       // requests a second
	For         time.Duration // an open loop goes on for as long again for what was due until then
	Threads     int
}

// outcome is what came of a load.
type outcome struct {
	Requests int // that were answered
	Took     time.Duration
	Waited   []time.Duration // of an open loop: each request from when it was due to the end of its answer, in order of length
	Missing  int             // of an open loop: due, and not answered in the end
}

// PerSecond is the rate that was attained.
func (o outcome) PerSecond() float64 { return float64(o.Requests) / max(o.Took.Seconds(), 1e-9) }

// Quantile is what so great a share of the requests have not waited longer than. Those that had no answer count as the longest: 0 then says
// that there is no such figure.
func (o outcome) Quantile(share float64) time.Duration {
	i := int(share * float64(len(o.Waited)+o.Missing))
	if i >= len(o.Waited) {
		return 0
	}
	return o.Waited[i]
}

// run opens the connections, has each answered once, calls begin, and then asks for as long as it is to.
func (l load) run(ctx context.Context, begin func() error) (all outcome, err error) {
	clients := make([]*askers, l.Threads)
	defer func() {
		for _, a := range clients {
			a.close()
		}
	}()
	for i := range clients {
		n := l.Connections * (i + 1) / l.Threads
		if clients[i], err = l.open(l.Connections*i/l.Threads, n); err != nil {
			return all, err
		}
	}
	if err := begin(); err != nil {
		return all, err
	}
	began := time.Now()
	outcomes, errs := make([]outcome, len(clients)), make([]error, len(clients))
	var threads sync.WaitGroup
	for i, a := range clients {
		threads.Go(func() { outcomes[i], errs[i] = a.ask(ctx, began, i) })
	}
	threads.Wait()
	all.Took = time.Since(began)
	for _, o := range outcomes {
		all.Requests += o.Requests
		all.Waited = append(all.Waited, o.Waited...)
		all.Missing += o.Missing
	}
	slices.Sort(all.Waited)
	return all, errors.Join(errs...)
}

// askers are the connections of one thread.
type askers struct {
	load
	epoll   int
	request []byte
	of      []*asker
	index   map[int32]*asker // by descriptor
	buf     []byte
	waiting int // of an open loop: requests that were due and are not answered
	outcome outcome
}

// asker is one connection.
type asker struct {
	fd     int
	length int             // of an answer
	left   int             // bytes of those that are under way
	due    []time.Duration // of an open loop, since it began: of the request under way, and of those behind it
}

// open opens the connections from one number to another.
func (l load) open(from, to int) (a *askers, err error) {
	a = &askers{load: l, index: make(map[int32]*asker), buf: make([]byte, 256<<10)}
	if a.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	one := "GET " + l.Path + " HTTP/1.1\r\nHost: " + l.Addr.String() + "\r\n\r\n"
	a.request = []byte(strings.Repeat(one, max(l.Depth, 1)))
	for range to - from {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return a, os.NewSyscallError("socket", err)
		}
		c := &asker{fd: fd}
		a.of = append(a.of, c)
		a.index[int32(fd)] = c
		if err := unix.Connect(fd, kernel.Sockaddr(l.Addr)); err != nil {
			return a, os.NewSyscallError("connect", err)
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		if c.length, err = answerLength(fd, []byte(one), a.buf); err != nil {
			return a, fmt.Errorf("%s of %s: %w", l.Path, l.Addr, err)
		}
		if err := unix.SetNonblock(fd, true); err != nil {
			return a, os.NewSyscallError("fcntl", err)
		}
		ev := unix.EpollEvent{Fd: int32(fd), Events: unix.EPOLLIN}
		if err := unix.EpollCtl(a.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
			return a, os.NewSyscallError("epoll_ctl", err)
		}
	}
	return a, nil
}

// answerLength asks once on a socket that blocks, and returns how long the answer is. Those that follow are as long: a date always is.
func answerLength(fd int, request, buf []byte) (int, error) {
	if _, err := unix.Write(fd, request); err != nil {
		return 0, os.NewSyscallError("write", err)
	}
	var got []byte
	for whole := -1; whole < 0 || len(got) < whole; {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, errEnded
		}
		got = append(got, buf[:n]...)
		head, _, found := bytes.Cut(got, []byte("\r\n\r\n"))
		if !found || whole >= 0 {
			continue
		}
		status, fields, _ := strings.Cut(string(head), "\r\n")
		if !strings.HasPrefix(status, "HTTP/1.1 200") {
			return 0, fmt.Errorf("the answer is %q", status)
		}
		for field := range strings.SplitSeq(fields, "\r\n") {
			name, value, _ := strings.Cut(field, ":")
			if http.CanonicalHeaderKey(name) != "Content-Length" {
				continue
			}
			length, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				return 0, fmt.Errorf("the answer's %s", field)
			}
			whole = len(head) + 4 + length
		}
		if whole < 0 {
			return 0, errors.New("the answer has no Content-Length")
		}
	}
	return len(got), nil
}

var errEnded = errors.New("the server has ended a connection")

// ask is one thread: the one with that number of all that began at a time.
func (a *askers) ask(ctx context.Context, began time.Time, number int) (outcome, error) {
	runtime.LockOSThread()
	// It is not given back, and ends with its goroutine: what it sleeps is to be exact.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	var each time.Duration // between two requests of this thread
	next := a.For          // that is due, since it began
	if a.Rate > 0 {
		each = time.Duration(float64(a.Threads) * float64(time.Second) / a.Rate)
		next = each * time.Duration(number) / time.Duration(a.Threads)
	} else {
		for _, c := range a.of {
			if err := a.send(c); err != nil {
				return a.outcome, err
			}
		}
	}
	events := make([]unix.EpollEvent, 512)
	for turn := 0; ; {
		now := time.Since(began)
		for ; a.Rate > 0 && next <= now && next < a.For; next += each {
			c := a.of[turn%len(a.of)]
			turn++
			a.waiting++
			if c.due = append(c.due, next); len(c.due) == 1 {
				if err := a.send(c); err != nil {
					return a.outcome, err
				}
			}
		}
		if now >= a.For && a.waiting == 0 || now >= 2*a.For || ctx.Err() != nil {
			a.outcome.Missing = a.waiting
			return a.outcome, context.Cause(ctx)
		}
		wait := min(next, a.For)
		if now >= a.For {
			wait = 2 * a.For
		}
		n, err := epollWait(a.epoll, events, wait-time.Since(began))
		if err != nil && err != unix.EINTR {
			return a.outcome, os.NewSyscallError("epoll_pwait2", err)
		}
		for _, ev := range events[:max(n, 0)] {
			if err := a.receive(a.index[ev.Fd], began); err != nil {
				return a.outcome, err
			}
		}
	}
}

// epollWait is epoll_wait(2) to the nanosecond.
func epollWait(epoll int, events []unix.EpollEvent, wait time.Duration) (int, error) {
	timeout := unix.NsecToTimespec(int64(max(wait, 0)))
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
		uintptr(unsafe.Pointer(&timeout)), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// send sends what a connection asks at a time.
func (a *askers) send(c *asker) error {
	if n, err := unix.Write(c.fd, a.request); err != nil || n < len(a.request) {
		return errors.Join(os.NewSyscallError("write", err), fmt.Errorf("%d of %d bytes of a request were taken", n, len(a.request)))
	}
	c.left = c.length * max(a.Depth, 1)
	return nil
}

// receive reads what has come to a connection, and asks for more when that is all.
func (a *askers) receive(c *asker, began time.Time) error {
	n, err := unix.Read(c.fd, a.buf)
	switch {
	case err == unix.EAGAIN, err == unix.EINTR:
		return nil
	case err != nil:
		return os.NewSyscallError("read", err)
	case n == 0:
		return errEnded
	}
	if c.left -= n; c.left > 0 {
		return nil
	}
	if c.left < 0 {
		return errors.New("an answer is longer than the first")
	}
	a.outcome.Requests += max(a.Depth, 1)
	if a.Rate > 0 {
		a.waiting--
		a.outcome.Waited = append(a.outcome.Waited, time.Since(began)-c.due[0])
		if c.due = c.due[1:]; len(c.due) == 0 {
			return nil
		}
	}
	return a.send(c)
}

// close resets the connections, so that nobody has TIME_WAIT. It may be called of none.
func (a *askers) close() {
	if a == nil {
		return
	}
	for _, c := range a.of {
		_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		_ = unix.Close(c.fd)
	}
	_ = unix.Close(a.epoll)
}
