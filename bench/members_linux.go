//go:build linux

package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/bench/internal/kernel"
	"rstserver/bench/internal/process"
	"rstserver/internal/wsframe"
	"rstserver/linger/sockdiag"
)

// inTurn has each round of each server be measured, of which f measures one. The servers take turns.
func inTurn(ctx context.Context, servers []Server, rounds int, f func(i int) error) error {
	for range rounds {
		for i := range servers {
			if err := f(i); err != nil {
				if ctx.Err() != nil {
					err = context.Cause(ctx)
				}
				return fmt.Errorf("bench: %s: %w", servers[i].Name, err)
			}
		}
	}
	return nil
}

// roomFor is an error when this process may not have so many connections.
func roomFor(what string, n, more int) error {
	limit, err := kernel.LimitOfFiles()
	if err != nil {
		return err
	}
	if room := int(limit) - 100 - more; n < 1 || n > room {
		return fmt.Errorf("bench: %s %d connections: it must be from 1 to %d, by the limit of open files (ulimit -n)", what, n, room)
	}
	return nil
}

// members are connections of this process to a server, WebSockets or event streams. They are one goroutine's.
type members struct {
	addr     netip.AddrPort
	path     string
	get      string // what a GET asks for that is sent behind a message; empty: none is
	events   bool   // they are event streams
	bytes    int    // of a message
	patience time.Duration

	epoll     int
	fds       []int            // all
	readers   []int            // those that get messages
	publisher int              // one of fds, that sends them
	asker     int              // one of fds, that asks for get
	stalling  bool             // those that are opened are not to read
	want      map[int32]int    // WebSockets: bytes that each has still to get of the message
	tails     map[int32][]byte // event streams: what came last to each that has not got the message
	told      int              // messages
}

// of starts a server, calls f, and ends it. Nothing is left of it then.
func (m *members) of(ctx context.Context, s *Server, stderr io.Writer, f func(*process.Family) error) (err error) {
	if m.addr, err = (run{Server: *s}).address(); err != nil {
		return err
	}
	defer func() {
		if _, left := kernel.Clean(ctx, m.addr.Port(), func(sockdiag.Counts) {}); err == nil {
			err = left
		}
	}()
	p, err := s.start(ctx, m.addr, 1, stderr, m.patience, "")
	if err != nil {
		return err
	}
	defer p.Kill()
	if m.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	defer m.close()
	return f(p)
}

// openAll opens n connections more, and has first be done with each, if it is not nil. grown is by how much the server's anonymous memory has grown since the first of
// them, by the connection.
func (m *members) openAll(ctx context.Context, p *process.Family, n int, first func(fd int) error) (grown func() (int64, error), err error) {
	var before process.Held
	for i := range n {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		fd, err := m.join()
		if err == nil && first != nil {
			err = first(fd)
		}
		if err == nil {
			err = m.watch(fd)
		}
		if err != nil {
			return nil, fmt.Errorf("connection %d: %w", i+1, err)
		}
		if i == 0 {
			if _, before, err = p.Usage(); err != nil {
				return nil, err
			}
		}
	}
	if m.get != "" {
		if m.asker, err = m.connect(); err != nil {
			return nil, err
		}
	}
	if err := m.publish(); err != nil {
		return nil, err
	}
	return func() (int64, error) {
		_, after, err := p.Usage()
		return (after.Anonymous - before.Anonymous) / int64(max(n-1, 1)), err
	}, nil
}

// publish finds who is to send messages.
func (m *members) publish() (err error) {
	switch {
	case m.publisher > 0:
	case m.events:
		m.publisher, err = m.connect()
	default:
		m.publisher = m.readers[0]
	}
	return err
}

// What fills the buffers of connections that do not read: more than the kernel's are, in pieces that every server takes.
const (
	stallingMessages = 20
	stallingBytes    = 16 << 10
)

// stall opens connections that do not read, and has messages be sent until they are stuck. One that reads takes part in that, and is one more.
func (m *members) stall(ctx context.Context, n int) error {
	if n == 0 {
		return nil
	}
	m.stalling = true
	for i := range n {
		if _, err := m.join(); err != nil {
			return fmt.Errorf("connection %d of those that do not read: %w", i+1, err)
		}
	}
	m.stalling = false
	fd, err := m.join()
	if err == nil {
		err = m.watch(fd)
	}
	if err == nil {
		err = m.publish()
	}
	m.bytes = stallingBytes
	for range stallingMessages {
		if err == nil {
			err = m.settle(ctx)
		}
	}
	if err != nil {
		return err
	}
	dump, err := (&kernel.Port{Addr: m.addr}).Sockets()
	if err != nil {
		return err
	}
	stuck := 0
	for _, s := range dump.Sockets {
		if s.Local.Port() == m.addr.Port() && s.State == sockdiag.Established && s.SendQueue > 0 {
			stuck++
		}
	}
	if stuck < n {
		return fmt.Errorf("%d of %d connections that do not read are stuck after %d bytes, and have to be", stuck, n, stallingMessages*stallingBytes)
	}
	return nil
}

// message is a client's frame of n bytes, with a mask of zeros.
func message(n int) []byte {
	b := []byte{wsframe.Binary}
	switch {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return append(append(b, make([]byte, keyLength)...), bytes.Repeat([]byte("m"), n)...)
}

// keyLength is by how much a server's frame is shorter.
const keyLength = 4

// connect opens one more connection.
func (m *members) connect() (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	i := len(m.fds)
	m.fds = append(m.fds, fd)
	patience := unix.NsecToTimeval(int64(m.patience))
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience)
	if m.stalling {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1) // the kernel's least
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	if err := unix.Bind(fd, kernel.Sockaddr(netip.AddrPortFrom(kernel.ClientSource(i), 0))); err != nil {
		return fd, os.NewSyscallError("bind", err)
	}
	return fd, os.NewSyscallError("connect", unix.Connect(fd, kernel.Sockaddr(m.addr)))
}

// write writes all of b, which the kernel has room for.
func write(fd int, b []byte) error {
	if n, err := unix.Write(fd, b); err != nil || n < len(b) {
		return errors.Join(os.NewSyscallError("write", err), fmt.Errorf("%d of %d bytes were taken", n, len(b)))
	}
	return nil
}

// request sends one, and reads the head of its answer, which has to have that status.
func (m *members) request(fd int, request []byte, status string) error {
	if err := write(fd, request); err != nil {
		return err
	}
	var head []byte
	for buf := make([]byte, 4<<10); !bytes.Contains(head, []byte("\r\n\r\n")); {
		n, err := descriptor(fd).Read(buf)
		if err != nil {
			return err
		}
		head = append(head, buf[:n]...)
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 "+status)) {
		line, _, _ := bytes.Cut(head, []byte("\r\n"))
		return fmt.Errorf("the answer is %q, not %s", line, status)
	}
	return nil
}

// join opens one more WebSocket, or event stream.
func (m *members) join() (fd int, err error) {
	if fd, err = m.connect(); err != nil {
		return fd, err
	}
	fields, status := []string(nil), "200"
	if !m.events {
		fields, status = wsframe.HandshakeFields, "101"
	}
	head := append([]string{"GET " + m.path + " HTTP/1.1", "Host: " + m.addr.String()}, fields...)
	return fd, m.request(fd, []byte(strings.Join(head, "\r\n")+"\r\n\r\n"), status)
}

// watch makes fd one of those that get messages.
func (m *members) watch(fd int) error {
	m.readers = append(m.readers, fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(m.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Fd: int32(fd), Events: unix.EPOLLIN}))
}

// errMissed is that some have not got a message.
var errMissed = errors.New("not all clients got the message")

// settle sends messages until one comes to all: a client can have its answer before the server counts it in. Each is waited for longer than the one before,
// as it may be slow and no more.
func (m *members) settle(ctx context.Context) error {
	until := time.Now().Add(m.patience)
	for within := time.Second; ; within *= 2 {
		_, err := m.tell(ctx, within)
		if !errors.Is(err, errMissed) || time.Now().After(until) {
			return err
		}
	}
}

// send sends the next message, and returns the function that reports whether bytes that have come to one are the end of it.
func (m *members) send() (got func(fd int32, b []byte) bool, err error) {
	m.told++
	if m.events {
		content := fmt.Sprintf("%08d", m.told)
		content = strings.Repeat("m", max(m.bytes-len(content), 0)) + content
		mark := []byte(content[len(content)-8:])
		m.tails = make(map[int32][]byte)
		request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", m.path, m.addr, len(content), content)
		return func(fd int32, b []byte) bool {
			tail := m.tails[fd]
			if bytes.Contains(b, mark) || len(tail) > 0 && bytes.Contains(append(tail, b[:min(len(b), len(mark))]...), mark) {
				return true
			}
			m.tails[fd] = append([]byte(nil), b[max(len(b)-len(mark), 0):]...)
			return false
		}, write(m.publisher, []byte(request))
	}
	frame := message(m.bytes)
	m.want = make(map[int32]int, len(m.readers))
	for _, fd := range m.readers {
		m.want[int32(fd)] = len(frame) - keyLength
	}
	return func(fd int32, b []byte) bool {
		m.want[fd] -= len(b)
		return m.want[fd] <= 0
	}, write(m.publisher, frame)
}

// answered takes the answer to what was posted.
func (m *members) answered() error {
	if !m.events {
		return nil
	}
	return m.request(m.publisher, nil, "204")
}

// took is how long it took until all had a message, and until a GET was answered that was sent behind it.
type took struct{ last, get time.Duration }

// tell sends a message, and returns how long it took until all had it, within a time.
func (m *members) tell(ctx context.Context, within time.Duration) (t took, err error) {
	began := time.Now()
	got, err := m.send()
	if err != nil {
		return t, err
	}
	asked := make(chan error, 1)
	go func() {
		var err error
		t.get, err = m.ask()
		asked <- err
	}()
	left := len(m.readers)
	err = m.wait(ctx, within, func(fd int32, b []byte) (bool, error) {
		if got(fd, b) {
			left--
		}
		return left == 0, nil
	})
	t.last = time.Since(began)
	if errors.Is(err, errMissed) {
		err = fmt.Errorf("%w: %d of %d are missing after %s", errMissed, left, len(m.readers), within)
	}
	err = errors.Join(err, m.answered(), <-asked)
	return t, err
}

// ask sends a GET, and returns how long it took until its answer had come. It is for a thread of its own, so that this is not the time that others' reading takes.
func (m *members) ask() (time.Duration, error) {
	if m.asker == 0 {
		return 0, nil
	}
	began := time.Now()
	if err := write(m.asker, []byte("GET "+m.get+" HTTP/1.1\r\nHost: "+m.addr.String()+"\r\n\r\n")); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(descriptor(m.asker)), nil)
	if err != nil {
		return 0, fmt.Errorf("GET %s: %w", m.get, err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: the answer is %s", m.get, resp.Status)
	}
	return time.Since(began), err
}

// descriptor is that of a connection.
type descriptor int

func (d descriptor) Read(p []byte) (int, error) {
	for {
		switch n, err := unix.Read(int(d), p); {
		case err == unix.EINTR:
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// wait reads what comes, and has got be called with it until that is all.
func (m *members) wait(ctx context.Context, within time.Duration, got func(fd int32, b []byte) (all bool, err error)) error {
	buf, events := make([]byte, 64<<10), make([]unix.EpollEvent, 1024)
	for until := time.Now().Add(within); ; {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(until) {
			return errMissed
		}
		n, err := unix.EpollWait(m.epoll, events, 100)
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("epoll_wait", err)
		}
		for _, ev := range events[:max(n, 0)] {
			n, err := descriptor(ev.Fd).Read(buf)
			switch {
			case errors.Is(err, unix.EAGAIN):
				continue
			case err == io.EOF:
				return io.ErrUnexpectedEOF
			case err != nil:
				return err
			}
			if all, err := got(ev.Fd, buf[:n]); all || err != nil {
				return err
			}
		}
	}
}

// close resets all, so that no TIME_WAIT is left.
func (m *members) close() {
	for _, fd := range m.fds {
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		_ = unix.Close(fd)
	}
	_ = unix.Close(m.epoll)
}
