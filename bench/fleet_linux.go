//go:build linux

package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Fleet is a number of client connections to one server, in this process: at most as many as the limit of open files
// allows. It is used by one goroutine.
type Fleet struct {
	addr    netip.AddrPort
	epoll   int
	clients []*client
	index   map[int32]*client // by descriptor
	buf     []byte
	ready   int
	told    map[Kind]int // clients whose ending is not Untold
	wanted  map[Kind]int // clients
}

// perRound is how many connections are opened before the answers to them are read. It is below every backlog.
const perRound = 256

// perSource is how many clients have the same address.
const perSource = 8192

// Open opens the connections of a mix and returns when the server has taken each of them to where its kind wants it. After
// an error nothing is left open.
func Open(addr netip.AddrPort, mix Mix, patience time.Duration) (_ *Fleet, err error) {
	n := mix.Total()
	f := &Fleet{
		addr: addr, index: make(map[int32]*client, n), buf: make([]byte, 64<<10),
		told: make(map[Kind]int), wanted: make(map[Kind]int),
	}
	if f.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	deadline := time.Now().Add(patience)
	for i, kind := range mix.order() {
		if err := f.add(kind); err != nil {
			return nil, fmt.Errorf("bench: connection %d of %d to %s: %w", i+1, n, addr, err)
		}
		if len(f.clients)%perRound == 0 || len(f.clients) == n {
			if err := f.settle(deadline); err != nil {
				return nil, err
			}
		}
	}
	return f, f.takenIn(deadline)
}

// add opens one connection.
func (f *Fleet) add(kind Kind) error {
	c := &client{fd: -1, kind: kind, script: scripts[kind]}
	f.clients = append(f.clients, c)
	f.wanted[kind]++
	if c.script == nil {
		return fmt.Errorf("bench: %q is no kind", kind)
	}
	if err := c.dial(f.addr, len(f.clients)/perSource); err != nil {
		return err
	}
	f.index[int32(c.fd)] = c
	if err := f.begin(c); err != nil {
		return err
	}
	ev := unix.EpollEvent{Fd: int32(c.fd), Events: c.events()}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, c.fd, &ev))
}

func (f *Fleet) begin(c *client) error {
	err := c.begin()
	if c.ready {
		f.ready++
	}
	return err
}

// events are those that are of interest besides errors and hang-ups, which always are.
func (c *client) events() uint32 {
	if c.ready && c.script.leaves {
		return 0
	}
	return unix.EPOLLIN
}

// settle waits until all clients have done all steps of their scripts.
func (f *Fleet) settle(deadline time.Time) error {
	for f.ready < len(f.clients) {
		if time.Now().After(deadline) {
			return fmt.Errorf("bench: %d of %d connections to %s are not ready in time", len(f.clients)-f.ready, len(f.clients), f.addr)
		}
		if err := f.poll(100 * time.Millisecond); err != nil {
			return err
		}
		if err := f.early(); err != nil {
			return err
		}
	}
	return nil
}

// early returns an error when connections have ended that were not to end yet.
func (f *Fleet) early() error {
	told := 0
	for kind, n := range f.told {
		if scripts[kind].answer == "" {
			told += n
		}
	}
	if told == 0 {
		return nil
	}
	e := f.endings()
	return fmt.Errorf("bench: %s ended connections before their time: %s %w", f.addr, e, e.Err)
}

// Repeat has all clients of a kind that were not told anything do the last step of their kind once more.
func (f *Fleet) Repeat(kind Kind, patience time.Duration) error {
	for _, c := range f.clients {
		if c.kind != kind || c.ending != Untold {
			continue
		}
		c.step, c.ready = max(len(c.script.steps)-1, 0), false
		f.ready--
		switch err := f.begin(c); {
		case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE): // the socket says so once, and here it has
			f.end(c, Reset, nil, time.Now())
		case err != nil:
			return fmt.Errorf("bench: asking %s again: %w", f.addr, err)
		}
	}
	return f.settle(time.Now().Add(patience))
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
		f.event(f.index[ev.Fd], ev.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0, now)
	}
	return nil
}

// event reads what has come. over says that nothing more will, so that bytes that had arrived before the end are read first.
func (f *Fleet) event(c *client, over bool, now time.Time) {
	if c.script.leaves && !over {
		f.received(c, []byte(anything), now)
		ev := unix.EpollEvent{Fd: int32(c.fd), Events: c.events()}
		if err := unix.EpollCtl(f.epoll, unix.EPOLL_CTL_MOD, c.fd, &ev); err != nil {
			f.end(c, Failed, os.NewSyscallError("epoll_ctl", err), now)
		}
		return
	}
	for c.fd >= 0 {
		n, err := unix.Read(c.fd, f.buf)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			if c.last {
				// A client that knows the answer to be the last closes, so that TIME_WAIT is its own.
				f.end(c, Answered, nil, now)
			}
			return
		case n > 0:
			f.received(c, f.buf[:n], now)
			if !over && !c.last {
				return
			}
		case err == nil:
			f.end(c, EOF, nil, now)
		case err == unix.ECONNRESET:
			f.end(c, Reset, nil, now)
		default:
			f.end(c, Failed, err, now)
		}
	}
}

func (f *Fleet) received(c *client, b []byte, now time.Time) {
	wasReady, wasTold := c.ready, c.ending != Untold
	err := c.received(b)
	if c.ready && !wasReady {
		f.ready++
	}
	if c.ending != Untold && !wasTold {
		c.at = now
		f.told[c.kind]++
	}
	if err != nil {
		f.end(c, Failed, err, now)
	}
}

// end notes how a connection ended. A client that is told closes, so that the server is left with what clients leave it with.
func (f *Fleet) end(c *client, ending Ending, err error, now time.Time) {
	switch {
	case c.ending == Untold:
		c.ending, c.err, c.at = ending, err, now
		f.told[c.kind]++
	case c.last && ending == Reset:
		c.ending = Reset // the server has not left it to the client to close
	}
	_ = unix.Close(c.fd)
	delete(f.index, int32(c.fd))
	c.fd = -1
}

// Watch waits until every client, or every client of these kinds, knows that its connection is over, but at most so long.
func (f *Fleet) Watch(patience time.Duration, kinds ...Kind) (Endings, error) {
	deadline := time.Now().Add(patience)
	for {
		untold := 0
		for kind, n := range f.wanted {
			if len(kinds) == 0 || slices.Contains(kinds, kind) {
				untold += n - f.told[kind]
			}
		}
		left := time.Until(deadline)
		if untold == 0 || left <= 0 {
			return f.endings(), nil
		}
		if err := f.poll(min(left, 10*time.Millisecond)); err != nil {
			return f.endings(), err
		}
	}
}

func (f *Fleet) endings() Endings {
	e := Endings{Of: make(map[Kind]Tally)}
	for _, c := range f.clients {
		of := e.Of[c.kind]
		of[c.ending]++
		e.Of[c.kind] = of
		e.By[c.ending]++
		if c.at.After(e.Last) {
			e.Last = c.at
		}
		if c.err != nil {
			e.Err = c.err
		}
	}
	return e
}

// Close resets all connections that are left. It may be called twice.
func (f *Fleet) Close() {
	for _, c := range f.clients {
		c.reset()
	}
	if f.epoll >= 0 {
		_ = unix.Close(f.epoll)
	}
	f.epoll, f.clients = -1, nil
}
