//go:build linux

package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/bench/internal/kernel"
	"rstserver/bench/internal/process"
	"rstserver/linger/sockdiag"
)

// Broadcast measures how servers send one message to many WebSockets: those of a path (kinds.Paths.Room), where each message of one client goes to
// all who are there. The servers take turns. The clients are this process, so there are at most as many as it may have descriptors.
type Broadcast struct {
	Servers  []Server
	N        int // connections
	Bytes    int // of the message, which is binary
	Rounds   int // of each server, which is started anew for each
	Messages int // in a round, behind one that does not count
	Patience time.Duration
	Stderr   io.Writer // gets what servers print there; nil: nobody does
}

// Broadcasts are what one server has done.
type Broadcasts struct {
	Server string          `json:"server"`
	Last   []time.Duration `json:"last_client_ns"` // of each message: from its sending to the last client that had it
	CPU    []time.Duration `json:"processor_ns"`   // of each round: processor time of the server's processes, by the message
	Memory []int64         `json:"memory_bytes"`   // of each round: growth of the server's resident memory, by the connection
}

// Median is the middle of what was measured, the upper one of two.
func Median[T time.Duration | int64](of []T) T {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

// Measure carries it out. What was measured before an error is returned beside it.
func (b Broadcast) Measure(ctx context.Context) ([]Broadcasts, error) {
	all := make([]Broadcasts, len(b.Servers))
	for i, s := range b.Servers {
		all[i].Server = s.Name
		if s.Paths.Room == "" {
			return nil, fmt.Errorf("bench: %s has no path by which a message goes to all; a server is given one with room=PATH", s.Name)
		}
	}
	limit, err := kernel.LimitOfFiles()
	if err != nil {
		return nil, err
	}
	if room := int(limit) - 100; b.N < 1 || b.N > room {
		return nil, fmt.Errorf("bench: a broadcast to %d connections: it must be from 1 to %d, by the limit of open files (ulimit -n)", b.N, room)
	}
	for range b.Rounds {
		for i := range b.Servers {
			if err := b.round(ctx, &b.Servers[i], &all[i]); err != nil {
				if ctx.Err() != nil {
					err = context.Cause(ctx)
				}
				return all, fmt.Errorf("bench: %s: %w", b.Servers[i].Name, err)
			}
		}
	}
	return all, nil
}

func (b Broadcast) round(ctx context.Context, s *Server, into *Broadcasts) (err error) {
	addr, err := run{Server: *s}.address()
	if err != nil {
		return err
	}
	var p *process.Family
	defer func() {
		if _, left := kernel.Clean(ctx, addr.Port(), func(sockdiag.Counts) {}); err == nil {
			err = left
		}
	}()
	if p, err = s.start(ctx, addr, 1, b.Stderr, b.Patience); err != nil {
		return err
	}
	defer p.Kill()
	_, before, err := p.Usage()
	if err != nil {
		return err
	}
	m := &members{message: message(b.Bytes), patience: b.Patience}
	defer m.close()
	if m.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	for i := range b.N {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := m.join(addr, s.Paths.Room, i); err != nil {
			return fmt.Errorf("WebSocket %d: %w", i+1, err)
		}
	}
	if err := m.settle(ctx); err != nil {
		return err
	}
	used, resident, err := p.Usage()
	if err != nil {
		return err
	}
	for range b.Messages {
		took, err := m.tell(ctx, b.Patience)
		if err != nil {
			return err
		}
		into.Last = append(into.Last, took)
	}
	after, _, err := p.Usage()
	if err != nil {
		return err
	}
	into.CPU = append(into.CPU, (after-used)/time.Duration(max(b.Messages, 1)))
	into.Memory = append(into.Memory, (resident-before)/int64(b.N))
	return nil
}

// message is a client's frame of n bytes, with a mask of zeros.
func message(n int) []byte {
	b := []byte{0x82}
	switch {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), bytes.Repeat([]byte("m"), n)...)
}

// members are the WebSockets of a room.
type members struct {
	epoll    int
	fds      []int
	want     map[int32]int // bytes that each has still to get of the message
	message  []byte
	patience time.Duration
}

// join opens one more.
func (m *members) join(addr netip.AddrPort, path string, i int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	m.fds = append(m.fds, fd)
	patience := unix.NsecToTimeval(int64(m.patience))
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	if err := unix.Bind(fd, kernel.Sockaddr(netip.AddrPortFrom(kernel.ClientSource(i), 0))); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if err := unix.Connect(fd, kernel.Sockaddr(addr)); err != nil {
		return os.NewSyscallError("connect", err)
	}
	request := "GET " + path + " HTTP/1.1\r\nHost: " + addr.String() + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if _, err := unix.Write(fd, []byte(request)); err != nil {
		return os.NewSyscallError("write", err)
	}
	var head []byte
	for buf := make([]byte, 4<<10); !bytes.HasSuffix(head, []byte("\r\n\r\n")); {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return os.NewSyscallError("read", err)
		case n == 0:
			return io.ErrUnexpectedEOF
		}
		head = append(head, buf[:n]...)
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101")) {
		status, _, _ := bytes.Cut(head, []byte("\r\n"))
		return fmt.Errorf("the answer is %q, not 101", status)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(m.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Fd: int32(fd), Events: unix.EPOLLIN}))
}

// errMissed is that some have not got a message.
var errMissed = errors.New("not all clients got the message")

// settle sends messages until one comes to all: a client can have its answer before the server counts it in.
func (m *members) settle(ctx context.Context) error {
	for until := time.Now().Add(m.patience); ; {
		_, err := m.tell(ctx, time.Second)
		if !errors.Is(err, errMissed) || time.Now().After(until) {
			return err
		}
	}
}

// tell has the first send a message, and returns how long it took until all had it, within a time.
func (m *members) tell(ctx context.Context, within time.Duration) (time.Duration, error) {
	const key = 4 // that the server's frame is shorter
	m.want = make(map[int32]int, len(m.fds))
	for _, fd := range m.fds {
		m.want[int32(fd)] = len(m.message) - key
	}
	began := time.Now()
	if n, err := unix.Write(m.fds[0], m.message); err != nil || n < len(m.message) {
		return 0, errors.Join(os.NewSyscallError("write", err), fmt.Errorf("%d of %d bytes of the message were taken", n, len(m.message)))
	}
	buf, events := make([]byte, 64<<10), make([]unix.EpollEvent, 1024)
	for left := len(m.fds); left > 0; {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if time.Since(began) > within {
			return 0, fmt.Errorf("%w: %d of %d are missing after %s", errMissed, left, len(m.fds), within)
		}
		n, err := unix.EpollWait(m.epoll, events, 100)
		if err != nil && err != unix.EINTR {
			return 0, os.NewSyscallError("epoll_wait", err)
		}
		for _, ev := range events[:max(n, 0)] {
			n, err := unix.Read(int(ev.Fd), buf)
			switch {
			case err == unix.EAGAIN, err == unix.EINTR:
				continue
			case err != nil:
				return 0, os.NewSyscallError("read", err)
			case n == 0:
				return 0, io.ErrUnexpectedEOF
			}
			if m.want[ev.Fd] -= n; m.want[ev.Fd] <= 0 {
				left--
			}
		}
	}
	return time.Since(began), nil
}

// close resets all, so that no TIME_WAIT is left.
func (m *members) close() {
	for _, fd := range m.fds {
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		_ = unix.Close(fd)
	}
	if m.epoll > 0 {
		_ = unix.Close(m.epoll)
	}
}
