//go:build linux

package bench

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Kind is what the connections of a Fleet are doing when the server lets go.
type Kind string

// The kinds. Idle, Fresh and Half work with any server whose answer to GET / ends with "Hello, World!"; Full needs one that
// answers GET /bytes?n=N with N bytes.
const (
	Idle  Kind = "idle"  // keep-alive, one request answered
	Fresh Kind = "fresh" // never sent a byte
	Half  Kind = "half"  // half a request sent
	Full  Kind = "full"  // the answer fills the send buffer, and behind it a request waits unread
)

// Ending is how a client was told that its connection is over.
type Ending uint8

// The endings.
const (
	Untold Ending = iota // not at all
	Reset                // ECONNRESET
	EOF                  // a clean end
	Failed               // another error
)

func (e Ending) String() string { return [...]string{"untold", "reset", "EOF", "failed"}[e] }

// Fleet is a number of client connections to one server, in this process: at most as many as the limit of open files
// allows. It is used by one goroutine.
type Fleet struct {
	epoll   int
	kind    Kind
	clients []client
	index   map[int32]int // of clients, by descriptor
	buf     []byte
	ready   int
}

type client struct {
	fd     int  // -1 once closed
	ready  bool // the server has taken the connection to where its kind wants it
	ending Ending
	err    error
	at     time.Time
}

// perRound is how many connections are opened before the answers to them are read. It is below every backlog.
const perRound = 256

// Open opens n connections of a kind and returns when the server has answered, or taken in, what each of them sent. After
// an error nothing is left open.
func Open(addr netip.AddrPort, n int, kind Kind, patience time.Duration) (_ *Fleet, err error) {
	f := &Fleet{kind: kind, index: make(map[int32]int, n), buf: make([]byte, 64<<10)}
	if f.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	deadline := time.Now().Add(patience)
	for len(f.clients) < n {
		for range min(perRound, n-len(f.clients)) {
			if err := f.dial(addr); err != nil {
				return nil, fmt.Errorf("bench: connection %d of %d to %s: %w", len(f.clients)+1, n, addr, err)
			}
		}
		for f.ready < len(f.clients) {
			if time.Now().After(deadline) {
				return nil, fmt.Errorf("bench: %d of %d connections to %s are not ready after %s",
					len(f.clients)-f.ready, n, addr, patience)
			}
			if err := f.poll(100 * time.Millisecond); err != nil {
				return nil, err
			}
			for _, c := range f.clients {
				if c.ending != Untold {
					return nil, fmt.Errorf("bench: %s ended a connection before its time: %s %w", addr, c.ending, c.err)
				}
			}
		}
	}
	return f, nil
}

func (f *Fleet) dial(addr netip.AddrPort) error {
	domain, sa := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(addr.Port()), Addr: [4]byte{127, 0, 0, 1}})
	if ip := addr.Addr().Unmap(); ip.Is4() {
		sa.(*unix.SockaddrInet4).Addr = ip.As4()
	} else {
		domain, sa = unix.AF_INET6, &unix.SockaddrInet6{Port: int(addr.Port()), Addr: ip.As16()}
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	f.index[int32(fd)] = len(f.clients)
	f.clients = append(f.clients, client{fd: fd})
	c := &f.clients[len(f.clients)-1]
	if f.kind == Full {
		// Small, so that the server's send buffer stays small too: the kernel's memory for them is finite.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<10); err != nil {
			return os.NewSyscallError("setsockopt SO_RCVBUF", err)
		}
	}
	if err := unix.Connect(fd, sa); err != nil {
		return os.NewSyscallError("connect", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return os.NewSyscallError("fcntl O_NONBLOCK", err)
	}
	var request string
	switch f.kind {
	case Idle:
		request = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
	case Half:
		request = "GET / HTTP/1.1\r\nHost: be"
	case Full:
		request = "GET /bytes?n=1000000000 HTTP/1.1\r\nHost: bench\r\n\r\nGET / HTTP/1.1\r\nHost: be"
	}
	if len(request) > 0 {
		if _, err := unix.Write(fd, []byte(request)); err != nil {
			return os.NewSyscallError("write", err)
		}
	}
	if f.kind != Idle && f.kind != Full {
		c.ready = true
		f.ready++
	}
	ev := unix.EpollEvent{Fd: int32(fd), Events: unix.EPOLLIN}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, fd, &ev))
}

// poll waits for events at most so long, and notes them.
func (f *Fleet) poll(wait time.Duration) error {
	events := make([]unix.EpollEvent, 512)
	n, err := unix.EpollWait(f.epoll, events, int(wait/time.Millisecond))
	if err == unix.EINTR {
		return nil
	}
	if err != nil {
		return os.NewSyscallError("epoll_wait", err)
	}
	now := time.Now()
	for _, ev := range events[:max(n, 0)] {
		f.event(&f.clients[f.index[ev.Fd]], ev, now)
	}
	return nil
}

func (f *Fleet) event(c *client, ev unix.EpollEvent, now time.Time) {
	if f.kind == Full && ev.Events&(unix.EPOLLERR|unix.EPOLLHUP) == 0 {
		// The first bytes of the answer. They stay where they are; only the end is still of interest.
		c.ready = true
		f.ready++
		ev := unix.EpollEvent{Fd: int32(c.fd)}
		c.err = os.NewSyscallError("epoll_ctl", unix.EpollCtl(f.epoll, unix.EPOLL_CTL_MOD, c.fd, &ev))
		return
	}
	for {
		n, err := unix.Read(c.fd, f.buf)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return
		case n > 0:
			if !c.ready && bytes.HasSuffix(f.buf[:n], []byte("Hello, World!")) {
				c.ready = true
				f.ready++
			}
			if f.kind != Full {
				return
			}
			// Bytes that had arrived before the end are to be had after it too.
			continue
		case err == nil:
			c.ending = EOF
		case err == unix.ECONNRESET:
			c.ending = Reset
		default:
			c.ending, c.err = Failed, err
		}
		c.at = now
		// A client that is told closes, so that the server is left with what clients leave it with.
		_ = unix.Close(c.fd)
		delete(f.index, int32(c.fd))
		c.fd = -1
		return
	}
}

// Watch waits until every client knows that its connection is over, but at most so long.
func (f *Fleet) Watch(patience time.Duration) (Endings, error) {
	deadline := time.Now().Add(patience)
	var e Endings
	for {
		e = f.endings()
		left := time.Until(deadline)
		if e.By[Untold] == 0 || left <= 0 {
			return e, nil
		}
		if err := f.poll(min(left, 10*time.Millisecond)); err != nil {
			return e, err
		}
	}
}

// Endings counts how clients were told, and when the last one was.
type Endings struct {
	By   [Failed + 1]int // index: Ending
	Last time.Time
	Err  error // of clients that Failed
}

func (f *Fleet) endings() Endings {
	var e Endings
	for _, c := range f.clients {
		e.By[c.ending]++
		if c.at.After(e.Last) {
			e.Last = c.at
		}
		if c.ending == Failed {
			e.Err = errors.Join(c.err)
		}
	}
	return e
}

// Close closes all connections with RST, so that the clients leave no TIME_WAIT either.
func (f *Fleet) Close() {
	for _, c := range f.clients {
		if c.fd < 0 {
			continue
		}
		_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		_ = unix.Close(c.fd)
	}
	_ = unix.Close(f.epoll)
	f.clients = nil
}
