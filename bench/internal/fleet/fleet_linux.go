//go:build linux

package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/bench/internal/kernel"
	"rstserver/bench/kinds"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// Fleet is a number of client connections to one server, in this process: at most as many as the limit of open files
// allows. It is used by one goroutine.
type Fleet struct {
	addr    netip.AddrPort
	epoll   int
	clients []*client
	index   map[int32]*client // by descriptor
	buf     []byte
	events  []unix.EpollEvent
	ready   int
	told    map[kinds.Kind]int // clients whose ending is not Untold
	wanted  map[kinds.Kind]int // clients
	closed  []sockdiag.Socket  // of clients that closed first
}

// atATime is how many connections, of all fleets that open at the same time, may wait for the server: it is below every backlog.
const atATime = 256

// PerSource is how many clients have the same address.
const PerSource = 8192

// Open opens connections and returns when the server has taken each of them to where its kind wants it. It calls progress now
// and then, unless that is nil, with the number of those that are open. After an error nothing is left open; it is ctx's when
// that ends first.
func (o Order) Open(ctx context.Context, progress func(opened int)) (*Fleet, error) {
	f, err := o.connect(ctx, progress)
	if err != nil {
		return nil, err
	}
	err = o.takenIn(ctx, f.own(), func() error {
		if err := f.poll(time.Millisecond); err != nil {
			return err
		}
		return f.early()
	})
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// connect is Open without a look at what the server has taken in: each client has done all steps of its script.
func (o Order) connect(ctx context.Context, progress func(opened int)) (_ *Fleet, err error) {
	scripts, err := o.Target.scripts(o.Mix)
	if err != nil {
		return nil, fmt.Errorf("bench: %s: %w", o.Target.Addr, err)
	}
	order := o.Mix.order()[o.From:o.To]
	f := &Fleet{
		addr: o.Target.Addr, index: make(map[int32]*client, len(order)), buf: make([]byte, 64<<10),
		events: make([]unix.EpollEvent, 512), told: make(map[kinds.Kind]int), wanted: make(map[kinds.Kind]int),
	}
	if f.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	waiting := max(1, atATime/max(1, o.Beside))
	until := o.deadline()
	for i, kind := range order {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err := f.add(ctx, until, kind, scripts[kind], (o.From+i)/PerSource); err != nil {
			if errors.Is(err, unix.ECONNREFUSED) {
				err = fmt.Errorf("%w; it has to listen on %s or on all addresses", err, f.addr.Addr())
			}
			return nil, fmt.Errorf("bench: connection %d of %d to %s: %w", o.From+i+1, o.Mix.Total(), f.addr, err)
		}
		all := len(f.clients) == len(order)
		if all {
			waiting = 0
		}
		if all || len(f.clients)-f.ready > waiting {
			// Until half of them are ready, so that neither end waits for the other.
			if err := f.settle(ctx, until, waiting/2, f.early); err != nil {
				return nil, err
			}
		}
		if all || len(f.clients)%atATime == 0 {
			until = o.deadline() // there is progress
			if progress != nil {
				progress(len(f.clients))
			}
		}
	}
	return f, nil
}

// deadline is when the next connections have to be open.
func (o Order) deadline() deadline { return deadline{time.Now().Add(o.Patience), o.Patience} }

// deadline is when something has to be done.
type deadline struct {
	at    time.Time
	after time.Duration // that is since its beginning
}

func (d deadline) over() bool { return time.Now().After(d.at) }

// add opens one connection from the address that is the number from.
func (f *Fleet) add(ctx context.Context, until deadline, kind kinds.Kind, script *script, from int) error {
	c := &client{fd: -1, kind: kind, script: script}
	f.clients = append(f.clients, c)
	f.wanted[kind]++
	if err := c.dial(ctx, until, f.addr, from); err != nil {
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

// settle waits until no more clients than waiting have steps of their scripts before them, or until early returns an error.
func (f *Fleet) settle(ctx context.Context, until deadline, waiting int, early func() error) error {
	for len(f.clients)-f.ready > waiting {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if until.over() {
			return fmt.Errorf("bench: %d of %d connections to %s are not ready after %s: it has not answered them, or not to the end",
				len(f.clients)-f.ready, len(f.clients), f.addr, until.after)
		}
		if err := f.poll(100 * time.Millisecond); err != nil {
			return err
		}
		if err := early(); err != nil {
			return err
		}
	}
	return nil
}

// early returns an error when connections have ended that were not to end yet.
func (f *Fleet) early() error {
	told, answered := 0, 0
	for _, n := range f.told {
		told += n
	}
	if told == 0 {
		return nil
	}
	e := f.endings()
	if answered = e.By[Answered]; answered == told {
		return fmt.Errorf("bench: %s answered %d in-flight requests before the last connection was there: have them take longer (--late)", f.addr, answered)
	}
	if e.Err != "" {
		return fmt.Errorf("bench: %s failed connections: %s: %s", f.addr, e, e.Err)
	}
	return fmt.Errorf("bench: %s ended connections before their time: %s", f.addr, e)
}

// Repeat makes all clients of a kind that were not told anything do the last step of their kind once more.
func (f *Fleet) Repeat(kind kinds.Kind, patience time.Duration) error {
	for _, c := range f.clients {
		if c.kind != kind || c.ending != Untold {
			continue
		}
		c.step, c.ready = max(len(c.script.steps)-1, 0), false
		f.ready--
		switch err := f.begin(c); {
		case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE): // the socket says so once, and here it has
			f.end(c, Reset, nil, kernel.Now())
		case err != nil:
			return fmt.Errorf("bench: asking %s again: %w", f.addr, err)
		}
	}
	told := f.told[kind]
	return f.settle(context.Background(), deadline{time.Now().Add(patience), patience}, 0, func() error {
		if f.told[kind] == told { // the others may end meanwhile
			return nil
		}
		return f.early()
	})
}

// poll waits for events at most so long, and notes all that there are.
func (f *Fleet) poll(wait time.Duration) error {
	// A client that goes on being sent something has another event each time, so there is no waiting for none.
	for range 1 + len(f.clients)/len(f.events) {
		n, err := unix.EpollWait(f.epoll, f.events, int(wait/time.Millisecond))
		if err == unix.EINTR {
			return nil
		}
		if err != nil {
			return os.NewSyscallError("epoll_wait", err)
		}
		at := kernel.Now()
		for _, ev := range f.events[:max(n, 0)] {
			f.event(f.index[ev.Fd], ev.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0, at)
		}
		if n < len(f.events) {
			return nil
		}
		wait = 0
	}
	return nil
}

// event reads what has come. over says that nothing more will, so that bytes that had arrived before the end are read first.
func (f *Fleet) event(c *client, over bool, at time.Duration) {
	if c.script.leaves && !over {
		f.received(c, []byte("x"), at)
		if c.fd < 0 {
			return
		}
		ev := unix.EpollEvent{Fd: int32(c.fd), Events: c.events()}
		if err := unix.EpollCtl(f.epoll, unix.EPOLL_CTL_MOD, c.fd, &ev); err != nil {
			f.end(c, Failed, os.NewSyscallError("epoll_ctl", err), at)
		}
		return
	}
	if c.handshaking() {
		if err := f.begin(c); err != nil {
			f.end(c, Failed, err, at)
		}
		if c.fd < 0 || c.handshaking() {
			return
		}
	}
	for c.fd >= 0 {
		n, err := c.read(f.buf)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			if c.last {
				// A client that knows the answer to be the last closes, so that TIME_WAIT is its own.
				f.end(c, Answered, nil, at)
			}
			return
		case n > 0:
			f.received(c, f.buf[:n], at)
			if !over && !c.last && c.tls == nil { // what TLS has read ahead makes no event
				return
			}
		case err == nil:
			f.end(c, EOF, nil, at)
		case err == unix.ECONNRESET:
			f.end(c, Reset, nil, at)
		default:
			f.end(c, Failed, err, at)
		}
	}
}

func (f *Fleet) received(c *client, b []byte, at time.Duration) {
	if c.script.silent && c.spoke == 0 {
		c.spoke = at
	}
	wasReady, wasTold := c.ready, c.ending != Untold
	err := c.received(b)
	if c.ready && !wasReady {
		f.ready++
	}
	if c.ending != Untold && !wasTold {
		c.at = at
		f.told[c.kind]++
	}
	if err != nil {
		f.end(c, Failed, err, at)
	}
}

// end notes how a connection ended. A client that is told closes, so that the server is left with what clients leave it with.
func (f *Fleet) end(c *client, ending Ending, err error, at time.Duration) {
	switch {
	case c.ending == Untold:
		c.ending, c.err, c.at = ending, err, at
		f.told[c.kind]++
	case c.last && ending == Reset:
		c.ending = Reset // the server has not left it to the client to close
	}
	if ending == Answered {
		f.closes(c)
	}
	delete(f.index, int32(c.fd))
	c.close()
}

// Watch waits until every client, or every client of these kinds, knows that its connection is over, but at most so long.
func (f *Fleet) Watch(patience time.Duration, of ...kinds.Kind) (Endings, error) {
	deadline := time.Now().Add(patience)
	for {
		left := time.Until(deadline)
		if f.untold(of...) == 0 || left <= 0 {
			return f.endings(), nil
		}
		if err := f.poll(min(left, 10*time.Millisecond)); err != nil {
			return f.endings(), err
		}
	}
}

// untold is how many clients, or clients of these kinds, do not know that their connection is over.
func (f *Fleet) untold(of ...kinds.Kind) int {
	n := 0
	for kind, wanted := range f.wanted {
		if len(of) == 0 || slices.Contains(of, kind) {
			n += wanted - f.told[kind]
		}
	}
	return n
}

func (f *Fleet) endings() Endings {
	e := Endings{Of: make(map[kinds.Kind]Tally)}
	for _, c := range f.clients {
		of := e.Of[c.kind]
		of[c.ending]++
		e.Of[c.kind] = of
		e.By[c.ending]++
		if said := c.said(); said != "" {
			var one Tally
			one[c.ending] = 1
			e.addSaid(c.kind, said, one)
		}
		if c.err != nil {
			e.Err = c.err.Error()
		}
		if c.ending != Untold {
			e.add(c.at, c.ending)
		}
		e.Spoke = earlier(e.Spoke, c.spoke)
	}
	e.sort()
	return e
}

// closes notes a client that closes before the server does, and so is left in TIME_WAIT.
func (f *Fleet) closes(c *client) {
	if cookie, err := linger.Cookie(c.fd); err == nil {
		f.closed = append(f.closed, sockdiag.Socket{Local: c.own, Remote: f.addr, State: sockdiag.TimeWait, Cookie: cookie})
	}
}

// Close resets all connections that are left, and ends the TIME_WAIT of clients that have closed first, as far as that is
// permitted. It may be called twice.
func (f *Fleet) Close() {
	for _, c := range f.clients {
		c.reset()
	}
	_, _ = sockdiag.Destroy(f.closed)
	if f.epoll >= 0 {
		_ = unix.Close(f.epoll)
	}
	f.epoll, f.clients, f.closed = -1, nil, nil
}
