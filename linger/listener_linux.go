//go:build linux

package linger

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"weak"

	"rstserver/internal/latch"
	"rstserver/internal/tcpsock"

	"rstserver/internal/claims"
)

// Listen is [net.Listen] with the connections tracked: see [Listener]. For networks of TCP it opens plain TCP, not MPTCP as
// net.Listen does, since some options of sockets do not work there; a listener with MPTCP can be handed to [Wrap]. Its errors are
// those of net.Listen.
func Listen(network, address string) (*Listener, error) {
	return ListenConfig{}.Listen(context.Background(), network, address)
}

// Wrap tracks the connections of ln from now on: see [Listener], and [ListenConfig.Wrap] for what it takes, and which errors it returns.
func Wrap(ln net.Listener) (*Listener, error) { return ListenConfig{}.Wrap(ln) }

// Listen is the package's [Listen] with options. ctx bounds the look-up of the address, as for [net.ListenConfig].
func (c ListenConfig) Listen(ctx context.Context, network, address string) (*Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l, err := c.Wrap(ln)
	if err != nil {
		_ = ln.Close()
	}
	return l, err
}

// Wrap is the package's [Wrap] with options.
//
// It takes a [*net.TCPListener] (MPTCP or not), a [*net.UnixListener], and any other listener from which the socket can be reached: one
// that has the SyscallConn of one of these, such as a struct that embeds it, or one that has another such listener in a field called
// Listener, embedded or not, as those of Caddy and go-proxyproto have. Its connections have to be of package net, or have SyscallConn, or be
// around one that has it, in a field Conn or by NetConn (go-proxyproto: Raw). One that has neither is closed, and Accept returns an
// error that says so, which is temporary (see [net.Error]). Other listeners are refused with an error, and so is a bad option; ln is then as
// it was. What else is to go around a listener goes around the Listener: tls.NewListener(l, config), a limit of connections.
//
// A server that asserts a *net.TCPConn to set an option does not find one (grpc-go with TCP_USER_TIMEOUT, for one). What is set on the
// listening socket before, by the Control of a [net.ListenConfig], is inherited by its connections.
//
// TCP_DEFER_ACCEPT is cleared, for everybody who shares the socket: with it, a client that has sent nothing has no socket on this side,
// and no abort could tell it. Some servers' own listeners have it (fasthttp/reuseport, tcplisten). Other options stay as they are.
//
// From here on ln is the Listener's, which closes it. Connections that ln accepted before are not tracked, and it must not be
// asked to accept more.
func (c ListenConfig) Wrap(ln net.Listener) (*Listener, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if fmt.Sprintf("%T", ln) == "*tls.listener" {
		return nil, errors.New("linger: TLS goes around the Listener, tls.NewListener(l, config): servers would not find it inside")
	}
	raw, err := reach(ln)
	if err != nil {
		return nil, fmt.Errorf("linger: %w", err)
	}
	l := &Listener{
		below:   ln,
		raw:     raw,
		config:  c.withDefaults(),
		refused: make(chan struct{}),
		closed:  make(chan struct{}),
		empty:   make(chan struct{}),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	if c.Sweep {
		l.residue = new(Residue)
	}
	l.conns.Armed, l.conns.Residue, l.conns.fewer = c.Armed, l.residue, l.oneLess
	l.onClose = l.connClosed
	var failure error
	if err := raw.Control(func(fd uintptr) { failure = l.adopt(int(fd)) }); err != nil {
		failure = err
	}
	if failure != nil {
		return nil, fmt.Errorf("linger: listener %s: %w", ln.Addr(), failure)
	}
	if l.tcp.IsValid() {
		l.makeClaim()
	}
	return l, nil
}

// makeClaim claims what l has on its port until it is torn down or, if it never is, forgotten.
func (l *Listener) makeClaim() {
	known := weak.Make(l)
	l.claim = claims.New(l.tcp.Port(), func() (cookies []uint64, more bool) {
		l := known.Value()
		if l == nil {
			return nil, false
		}
		cookies = l.conns.Cookies()
		if !latch.IsClosed(l.refused) {
			cookies = append(cookies, l.cookie)
		}
		// An Accept that is not package net's may do something with a connection before it returns it.
		_, plain := l.below.(*net.TCPListener)
		return cookies, !plain && l.accepting.Load() > 0
	})
	runtime.AddCleanup(l, func(c *claims.Claim) { c.End() }, l.claim)
}

// Listener is a [net.Listener] that can let go of its port and of every connection that it has accepted, at once or in order,
// whatever server uses it: net/http with TLS and HTTP/2, WebSockets, gRPC, fasthttp, or one that nobody has heard of. Nothing
// is needed from that server. It makes a connection abortable from accept to close, whether the server knows it as new, idle,
// active or hijacked, as TLS during its handshake or after.
//
// Accept returns a [*Conn]. A Listener has no goroutine of its own, save one from a Release until its last connection ends,
// that of the function that Drain runs, and one for the moment in which a connection is closed that its server has forgotten.
//
// Over a unix socket everything works but the reset: its connections are closed, and [ErrNotTCP] says so.
//
// All methods may be called from any goroutine, at any time, repeatedly and concurrently. The more forceful call wins, and
// calls that end the Listener all wait for the same end: Abort over Drain over Release over Close.
type Listener struct {
	below  net.Listener    // immutable, like the next five
	raw    syscall.RawConn // of below
	config ListenConfig
	tcp    netip.AddrPort // where it listens; the zero AddrPort if the socket is not one of TCP
	cookie uint64         // of the socket, as is the inode
	inode  uint32
	claim  *claims.Claim // nil if the socket is not one of TCP
	// residue is nil if nothing is to be swept.
	residue *Residue
	onClose func(aborted bool) // connClosed

	conns     Conns
	accepting atomic.Int32 // calls of Accept that may come back with a connection
	accepts   atomic.Int64 // connections that came from below

	holding atomic.Bool // an Accept that finds the port given up is to wait for closed
	// letting: a drain or a release has begun, so that closes are counted.
	letting       atomic.Bool
	closedInOrder atomic.Int64
	// settled: the port is given up and no Accept can come back with a connection. From then on empty is closed by whoever
	// finds no connection alive.
	settled  atomic.Bool
	empty    chan struct{}
	emptied  sync.Once
	closed   chan struct{} // Accept is to return: Close was called, or everything is over
	closings sync.Once     // of closed

	refusing  sync.Mutex    // serialises refuse, and guards the next five
	noted     bool          // what is left on the port was noted already
	queued    int           // connections that waited in the queue when the port was given up
	refused   chan struct{} // closed when the port is given up
	refusedAt time.Time
	refusal   error

	pacing sync.Mutex // guards the next one, and is held while connections are reset for it
	paced  Sweep      // idle connections that a drain has ended

	mu      sync.Mutex // guards what follows
	state   listenerState
	mode    Mode
	aborted bool // what cut a drain short was an Abort
	began   time.Time
	closing chan struct{} // closed when the teardown begins
	done    chan struct{} // closed when it is complete: from then on report and err do not change
	report  Report
	err     error
}

// listenerState says how far a Listener is.
//
//	serving ──Release──▶ released ──the last connection ends──▶ closing ─▶ over
//	serving, released ──Drain──▶ draining ──its end──▶ closing
//	serving, released, draining ──Abort──▶ closing
//
// Close changes no state: the connections live on, whatever becomes of them.
type listenerState int

const (
	listenerServing listenerState = iota
	listenerReleased
	listenerDraining
	listenerClosing
	listenerOver
)

// adopt checks what kind of socket fd is, and arms it if asked.
func (l *Listener) adopt(fd int) error {
	if err := tcpsock.CheckListens(fd); err != nil {
		return err
	}
	addr, err := tcpsock.LocalAddr(fd)
	if errors.Is(err, tcpsock.ErrNotTCP) {
		return nil // there is nothing to arm
	}
	if err != nil {
		return err
	}
	l.tcp = netip.AddrPortFrom(addr.Addr().WithZone(""), addr.Port())
	l.cookie, _ = Cookie(fd) // there are none before Linux 4.6
	if l.inode, err = Inode(fd); err != nil {
		return err
	}
	if err := tcpsock.AcceptAtOnce(fd); err != nil {
		return err
	}
	l.conns.inherits = true
	if l.config.Armed {
		return Arm(fd)
	}
	return nil
}

// Addr is the address of the listener below.
func (l *Listener) Addr() net.Addr { return l.below.Addr() }

// NetListener returns the listener below, for those who have to know what it is. It must not be asked to accept.
func (l *Listener) NetListener() net.Listener { return l.below }

// SyscallConn gives access to the listening socket, as that of [net.TCPListener] does. The error is always nil.
func (l *Listener) SyscallConn() (syscall.RawConn, error) { return l.raw, nil }

// Shared reports whether it was announced that others hold the listening socket; see [ListenConfig].
func (l *Listener) Shared() bool { return l.config.Shared }

// Len is the number of connections that are alive: accepted, and neither closed nor aborted by this side.
func (l *Listener) Len() int { return l.conns.Len() }

// Report says what the teardown did, once it is complete; before that, what is alive. Connections are all of the activity
// [Open], since what they are doing is known to the server alone.
func (l *Listener) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == listenerOver {
		return l.report
	}
	rep := l.newReport(l.mode, l.began)
	rep.Connections[Open] = l.Len()
	rep.Closed = int(l.closedInOrder.Load())
	if l.mode != ModeNone && latch.IsClosed(l.refused) {
		rep.Steps.Refused = max(l.refusedAt.Sub(l.began), 1)
	}
	return rep
}

func (l *Listener) newReport(mode Mode, began time.Time) Report {
	return Report{Mode: mode, Address: l.Addr().String(), Started: began, HandlersRunning: -1}
}

var (
	_ net.Listener = (*Listener)(nil)
	_ syscall.Conn = (*Listener)(nil)
)
