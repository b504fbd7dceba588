//go:build linux

package poller

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/pace"
	"rstserver/linger"
	"rstserver/linger/sockdiag"
)

// h2Preface is what a client that speaks HTTP/2 begins with (RFC 9113, section 3.4).
var h2Preface = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

// h2 holds the connections that speak HTTP/2, each from when its loop has given it up, as for a hijack: net/http serves them, on descriptors of
// Go's own, and they are in a set by which others reset them. Any goroutine may call the methods.
type h2 struct {
	run     *run
	conns   linger.Conns
	streams atomic.Int64 // requests that handlers have
	rounds  h2Rounds
	parting time.Duration // h2Farewell, but for a test; guarded by mu

	mu     sync.Mutex // guards what follows
	all    map[net.Conn]*h2Conn
	closed bool         // all are reset, and who comes is
	ending bool         // in a drain: who has no stream is reset
	ended  linger.Sweep // what that did
}

// h2Conn is one connection.
type h2Conn struct {
	Conn
	of     *h2
	conn   *linger.Conn
	taken  *takenInfo   // nil: it had ended before
	server *http.Server // of its own, so that it alone can be told to go away
	busy   bool         // it has streams
}

// isH2 reports whether the handshake has chosen HTTP/2.
func (c *conn) isH2() bool {
	return c.tls != nil && c.tls.connectionState().NegotiatedProtocol == "h2"
}

// mayBeH2 reports whether data, the first that came without TLS, is the preface of HTTP/2, or may become it.
func (c *conn) mayBeH2(data []byte) (is, may bool) {
	if c.requests > 0 || c.tls != nil || !c.loop.run.cfg.protocols.UnencryptedHTTP2() {
		return false, false
	}
	return bytes.HasPrefix(data, h2Preface), bytes.HasPrefix(h2Preface, data)
}

// turnToH2 gives the connection up to net/http. data is what came without TLS.
func (c *conn) turnToH2(data []byte) {
	r := c.loop.run
	x := &exchange{run: r, loop: c.loop, conn: c, fd: c.sock.FD, peer: c.describe(), tls: c.tls, secure: c.tls != nil, state: lent}
	x.writer.x, x.opened, x.entered = x, c.opened, c.entered
	c.in, c.lease = nil, x
	c.become(lent)
	taken, layer, ok, err := x.takeOver(&r.h2.conns)
	if err != nil && x.now() == lent {
		c.loop.log.Error("connection is aborted, as net/http cannot take it over for HTTP/2", "conn", c.id, "error", err)
		c.lease = nil
		c.abort()
		return
	}
	c.endLease(x)
	switch {
	case err != nil: // an abort came first
	case !ok: // a teardown
		_ = taken.Close()
	case layer != nil:
		layer.within = &byteTimeout{timeout: r.cfg.writeTimeout}
		r.h2.take(layer.conn, &layer.ends, taken, x.peer)
	default:
		user := &h2Clear{Conn: taken, begun: bytes.Clone(data), within: byteTimeout{timeout: r.cfg.writeTimeout}}
		r.h2.take(user, &user.ends, taken, x.peer)
	}
}

// h2Clear is a connection without TLS, of which the loop has read the beginning.
type h2Clear struct {
	*linger.Conn
	begun  []byte      // what has been read and net/http has not; used by its one goroutine that reads
	few    [1024]byte  // net/http reads the nine bytes of a frame's head by themselves: with what follows, it is one system call and not two
	within byteTimeout // by the one that writes
	ends   func()      // see h2.close
}

func (c *h2Clear) Close() error {
	c.ends()
	return c.Conn.Close()
}

// Write implements net.Conn. For the stack that it needs see byteTimeout.
func (c *h2Clear) Write(p []byte) (int, error) {
	if err := c.within.begin(c.Conn); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	if err != nil {
		return c.within.goOn(c.Conn, p, n, err)
	}
	return n, nil
}

func (c *h2Clear) Read(p []byte) (int, error) {
	if len(c.begun) == 0 {
		if len(p) >= len(c.few) {
			return c.Conn.Read(p)
		}
		n, err := c.Conn.Read(c.few[:])
		if err != nil {
			return copy(p, c.few[:n]), err
		}
		c.begun = c.few[:n]
	}
	n := copy(p, c.begun)
	c.begun = c.begun[n:]
	return n, nil
}

// take has net/http serve c. user is what it gets of it: a *tls.Conn, which alone it takes for TLS, or c without that.
// What ends points to is called when net/http closes it.
func (h *h2) take(user net.Conn, ends *func(), c *linger.Conn, who Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		go c.Close()
		return
	}
	if h.all == nil {
		h.all = make(map[net.Conn]*h2Conn)
	}
	own := &h2Conn{Conn: who, of: h, conn: c, taken: h.run.taken.of(who.ID)}
	own.server = h.newServer(own)
	h.all[user] = own
	*ends = func() { h.close(user) }
	if own.taken != nil { // it has not ended
		own.taken.server.Store(own.server)
	}
	go h.serve(own, user)
}

// serve has net/http serve one connection. It is told to go away before it has begun, too: then it takes none.
func (h *h2) serve(own *h2Conn, user net.Conn) {
	l := &h2Listener{conn: user}
	_ = own.server.Serve(l)
	if l.conn == nil {
		return
	}
	h.mu.Lock()
	delete(h.all, user)
	h.mu.Unlock()
	_ = own.conn.Abort()
	_ = own.conn.Close()
}

// newServer is net/http as it serves HTTP/2 to c.
func (h *h2) newServer(c *h2Conn) *http.Server {
	r := h.run
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:                      c,
		Protocols:                    protocols,
		DisableGeneralOptionsHandler: true, // see handlerOf
		IdleTimeout:                  r.cfg.idleTimeout,
		MaxHeaderBytes:               r.cfg.maxHeaderBytes,
		ErrorLog:                     slog.NewLogLogger(r.cfg.log.Handler(), slog.LevelDebug),
		BaseContext:                  func(net.Listener) context.Context { return r.ctx },
		ConnContext:                  h.connContext,
		ConnState:                    h.connState,
	}
}

// connContext is the context that those of the requests of a connection are derived from.
func (h *h2) connContext(ctx context.Context, c net.Conn) context.Context {
	derive := h.run.server.ConnContext
	if derive == nil {
		return ctx
	}
	if _, ok := c.(*tls.Conn); !ok {
		c = lentConn{c.LocalAddr(), c.RemoteAddr()}
	}
	ctx = context.WithValue(context.WithValue(ctx, http.ServerContextKey, h.run.server), http.LocalAddrContextKey, c.LocalAddr())
	if ctx = derive(ctx, c); ctx == nil {
		panic("poller: Server.ConnContext returned nil")
	}
	return ctx
}

// h2ConnOf is the connection that a request came on.
func h2ConnOf(req *http.Request) Conn {
	if w, _ := req.Context().Value(h2WriterKey{}).(*h2Writer); w != nil {
		return w.conn.Conn
	}
	return Conn{}
}

// connState is told by net/http what a connection does.
func (h *h2) connState(user net.Conn, s http.ConnState) {
	h.mu.Lock()
	c := h.all[user]
	if c == nil {
		h.mu.Unlock()
		return
	}
	c.busy = s == http.StateActive
	switch s {
	case http.StateClosed, http.StateHijacked:
		delete(h.all, user)
	case http.StateIdle:
		if h.ending {
			time.AfterFunc(h.parting, func() { h.part(user) })
		}
	}
	h.mu.Unlock()
}

// h2Farewell is how long a client has, in a drain, to close a connection whose last stream has ended, and which was told to go away. It is less
// than the second after which net/http closes it, so that TIME_WAIT would be ours.
const h2Farewell = 500 * time.Millisecond

// part resets a connection in a drain, unless it has streams again, or has not acknowledged what it was sent.
func (h *h2) part(user net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.all[user]; c != nil && !c.busy && unackedOf(c.conn) == 0 {
		h.endLocked(user, c)
	}
}

// close is what precedes net/http's own closing of a connection, which ends with FIN. In a drain that would leave TIME_WAIT to us, unless the
// client has closed before: so it is reset, once the client has acknowledged all that it was sent. That part has been before is what
// happens as a rule, but on a machine that is busy with thousands of them.
func (h *h2) close(user net.Conn) {
	h.mu.Lock()
	c, ending := h.all[user], h.ending
	h.mu.Unlock()
	if c == nil || !ending {
		return
	}
	for until := time.Now().Add(h2Farewell); unackedOf(c.conn) > 0; time.Sleep(ackInterval) {
		if time.Now().After(until) {
			return
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all[user] == c && establishedOf(c.conn) {
		h.endLocked(user, c)
	}
}

// endLocked resets a connection that has no streams.
func (h *h2) endLocked(user net.Conn, c *h2Conn) {
	delete(h.all, user) // to close it is net/http's affair, which learns of it by reading
	if c.taken != nil {
		c.taken.drained.Store(true)
	}
	if c.conn.Abort() == nil {
		h.ended.Aborted[linger.HTTP2]++
	}
}

// goAway tells every connection that no new stream is served on it (GOAWAY; RFC 9113, section 6.8).
func (h *h2) goAway() {
	h.mu.Lock()
	var servers []*http.Server
	for _, c := range h.all {
		servers = append(servers, c.server)
	}
	h.mu.Unlock()
	for _, server := range servers { // those who come from now on are told with their first answer
		sendAway(server)
	}
}

// sendAway tells the connection of a server so.
func sendAway(server *http.Server) {
	now, cancel := context.WithCancel(context.Background())
	cancel() // it does not wait for it
	_ = server.Shutdown(now)
}

// endIdle resets the connections that have no stream: one after the other over the time spread, or all at once. From now on one whose last
// stream ends is reset too.
func (h *h2) endIdle(spread time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ending = true
	var idle []net.Conn
	for user, c := range h.all { // in no order
		if !c.busy {
			idle = append(idle, user)
		}
	}
	h.endSomeLocked(idle, pace.New(len(idle), spread), time.Now())
}

// endSomeLocked resets those of idle whose turn has come, unless they have streams by now, and comes back for the others.
func (h *h2) endSomeLocked(idle []net.Conn, turns *pace.Pace, began time.Time) {
	n := turns.Due(time.Since(began))
	for _, user := range idle[:n] {
		if c := h.all[user]; c != nil && !c.busy {
			h.endLocked(user, c)
		}
	}
	next, more := turns.Next()
	if !more || h.run.closing() {
		return
	}
	time.AfterFunc(next-time.Since(began), func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.endSomeLocked(idle[n:], turns, began)
	})
}

// abortAll resets all connections, also those that are still to come.
func (h *h2) abortAll() linger.Sweep {
	sweep := h.conns.AbortAll(linger.HTTP2)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	return sweep
}

// drained counts what was reset in a drain, before all were.
func (h *h2) drained() linger.Sweep {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ended
}

// unackedOf is how much the client has not acknowledged (SIOCOUTQ, tcp(7)), 0 when there is no connection any more.
func unackedOf(c *linger.Conn) (n int) {
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	}
	return n
}

// establishedOf reports whether neither end has closed the connection (TCP_INFO, tcp(7)).
func establishedOf(c *linger.Conn) (is bool) {
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
			is = err == nil && sockdiag.State(info.State) == sockdiag.Established
		})
	}
	return is
}

// sentOn is how many bytes have been sent (TCP_INFO, tcp(7)), 0 when there is no connection any more.
func sentOn(c *linger.Conn) (n uint64) {
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
				n = info.Bytes_sent
			}
		})
	}
	return n
}

// h2Listener is what net/http accepts one connection from.
type h2Listener struct{ conn net.Conn }

// Accept implements net.Listener. net/http's one goroutine that serves the listener calls it.
func (l *h2Listener) Accept() (net.Conn, error) {
	c := l.conn
	if l.conn = nil; c == nil {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l *h2Listener) Close() error { return nil }

func (l *h2Listener) Addr() net.Addr { return &net.TCPAddr{} }
