//go:build linux

package poller

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"rstserver/internal/claims"
	"rstserver/internal/deal"
	"rstserver/internal/latch"
	"rstserver/internal/processors"
	"rstserver/linger"
	"rstserver/poller/internal/engine"
	"rstserver/poller/internal/memlimit"
	"rstserver/poller/internal/watch"
)

// run is what a Server has from Serve to the end of its teardown. The fields are set before the first loop starts and not
// changed afterwards; what they refer to says itself who may use it.
type run struct {
	server    *Server
	cfg       config
	table     *linger.Table
	loops     []*loop
	admission *admission
	clients   *clients // nil: no bounds for each
	memory    *memory
	watcher   *watch.Watcher
	port      *engine.Port
	lookout   *lookout
	ids       atomic.Uint64
	counts    counts        // of what no loop has
	closed    atomic.Int64  // connections closed
	closingC  chan struct{} // closed when the teardown begins
	sweeps    chan struct{} // closed when each loop has been given its part of the teardown
	aborted   chan struct{} // closed when all connections are reset
	exits     bool          // the process ends behind the teardown; set before closingC is closed
	refused   chan struct{} // closed when the port has been given up
	settled   chan struct{} // closed when that is so and nothing more can come from it
	closes    deal.Pieces   // descriptors that a process which ends closes itself
	stuck     chan struct{} // closed when a loop has not done its part of the teardown in time
	closers   chan struct{} // holds one element for each loop that closes its descriptors
	failed    chan error    // why a loop gave up, at most once for each

	processors processors.Set // for the teardown
	drains     drains
	pool       *pool
	handshakes *pool
	computing  chan struct{} // holds one element for each handshake that computes
	hijacked   linger.Conns
	taken      takenSet
	h2         h2
	turns      connTurns
	claim      *claims.Claim
	residue    *linger.Residue // nil: what ordinary closes have left stays
	date       date
	ctx        context.Context      // of all requests to the handler
	site       atomic.Pointer[site] // the last one that was made

	serving       atomic.Bool   // all loops accept
	handsOver     atomic.Bool   // the drain is a handover
	ending        atomic.Bool   // a drain has come to ending what is idle
	live          atomic.Int64  // connections that have not ended, hijacked ones included
	noneLeft      chan struct{} // capacity 1; an element when live has become 0
	closedInOrder atomic.Int64  // connections that ended, and were not aborted, since the server lets go of its port
	parted        atomic.Bool   // connections have ended with a FIN that need not be acknowledged yet
	unsent        atomic.Int64  // messages that wait to be sent; and, since the server lets go, those that never will be
	listener      listener

	refusing    sync.Mutex // serialises refuse
	refusedAt   time.Time  // written before refused is closed, as are the next two
	refusal     error
	queuedStill int // connections that waited in the queue when the port was given up
}

// ListenAndServe listens on Server.Addr and serves it; see [Listen] and [Server.Serve], whose errors it returns.
func (s *Server) ListenAndServe() error {
	if err := s.startable(); err != nil {
		return err // and no port is touched
	}
	ln, err := Listen(context.Background(), or(s.Addr, ":http"), s.ReusePort)
	if err != nil {
		return err
	}
	return s.Serve(ln)
}

// ListenAndServe serves handler on addr until the process ends; see [Server]. Handler nil means http.DefaultServeMux. It
// takes the place of net/http's function of that name.
//
// A handler finds what net/http gives it: Request.Body streams, and what is not read stays with the client; 100 (Continue)
// is sent when it is read first; trailers go both ways; the ResponseWriter can Flush, Hijack, CloseNotify and ReadFrom, and has
// what http.ResponseController asks for; the context ends when the client goes, after HandlerTimeout, in a teardown, and when
// the handler returns; uploaded files are deleted then; panicking with http.ErrAbortHandler resets the connection without a
// log line, with anything else after one. What differs does so on purpose. Of requests:
//
//   - There are bounds where net/http has none: 60 s for a head, for more of a content, and for a client to take more of an
//     answer, 3 minutes between two requests, 64 KiB and 100 fields for a head (net/http: 1 MiB). See the Timeout and Max fields of
//     [Server]. One for a request as a whole, like http.Server's ReadTimeout, is what http.ResponseController sets.
//   - Lines end with CRLF, there is one Host field, its value is a host, and a message whose length can be understood in two
//     ways is refused. So net/rpc's CONNECT, which ends its lines with LF, does not work.
//   - Targets are those of net/http, without a fragment or userinfo, and * is for OPTIONS only. Server.StrictTargets keeps to
//     the characters of RFC 3986: without it /?a[]=1|2 and UTF-8 are let in, as clients send them.
//   - "Pragma: no-cache" does not become a Cache-Control field.
//   - Reading and writing go on side by side without EnableFullDuplex. That only keeps a connection when an answer
//     begins before content in chunks has come to its end.
//   - What a handler leaves of content is skipped, up to 256 KiB. Chunks that do not come to an end within 200 ms, or are
//     malformed, end the connection after the answer, which says so. MaxBytesReader can tell nobody but net/http that a
//     connection is to end: it does if more than that is left.
//
// Of answers:
//
//   - An answer that breaks off ends with RST, so that nobody takes it for whole: after a panic, or where it comes out shorter
//     than its Content-Length.
//   - Transfer-Encoding is the server's to decide. Status codes above 599 are none of HTTP's and become 500; 205 has no content.
//   - A short answer can have trailers that were announced by http.TrailerPrefix only. Control characters in fields become spaces.
//   - An answer to HTTP/1.0 says Connection: close too.
//
// Of everything around:
//
//   - A client that ends its side of the connection ends the context, as with net/http, unless Server.AllowHalfClose is set; but
//     the first 10 ms of a handler are left alone. context.Cause says what happened.
//   - http.ServerContextKey holds the *poller.Server, and the net.Conn of Hijack is not a *net.TCPConn, though it has its methods.
//   - The deadlines of http.ResponseController end with the request, and one that has been exceeded cannot be extended.
//   - In place of ConnState there are Server.ConnOpened, ConnClosed and ConnAborted, and the connections of Server.Report; in
//     place of ErrorLog there is Server.Logger, and slog.NewTextHandler(errorLog.Writer(), nil) leads to it. OPTIONS * is always
//     answered by the server.
func ListenAndServe(addr string, handler http.Handler) error {
	return (&Server{Addr: addr, Handler: handler}).ListenAndServe()
}

// Serve takes ln over, which has to be a [*net.TCPListener] or a [*linger.Listener] around one, and serves it until Close,
// Shutdown or Release. The event loops accept from the socket itself, so any other listener is refused, since its Accept would
// be passed over. ln is closed in any case, which leaves the connections of a linger.Listener as they are: Serve works on a
// duplicate of the socket. TCP_DEFER_ACCEPT is cleared on it, as by [linger.Wrap]. It returns when the teardown is complete, then always with
// an error: [ErrServerClosed] after one of these; [ErrServing] if the Server serves a listener already; or why it could not
// serve, or not go on. By then nothing of the server is left, save what [Server.Report] says, and the same process can serve
// the same port.
func (s *Server) Serve(ln net.Listener) error { return s.serve(ln, nil) }

// serve is Serve, and with a configuration ServeTLS.
func (s *Server) serve(ln net.Listener, config *tls.Config) error {
	r, err := s.start(ln, config)
	if err != nil {
		return err
	}
	err = r.watch()
	if err != nil {
		return errors.Join(err, s.Close())
	}
	s.mu.Lock()
	done := s.doneLocked(false)
	s.mu.Unlock()
	<-done
	return ErrServerClosed
}

// start takes the listener over and starts the loops.
func (s *Server) start(ln net.Listener, config *tls.Config) (*run, error) {
	if ln == nil || isNil(ln) {
		return nil, fmt.Errorf("poller: Serve needs a listener, not a nil %T", ln)
	}
	if err := s.startable(); err != nil {
		_ = ln.Close()
		return nil, err
	}
	cfg, err := s.config()
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	cfg.tls = config
	base := context.Background()
	if s.BaseContext != nil {
		if base = s.BaseContext(ln); base == nil {
			_ = ln.Close()
			return nil, errors.New("poller: Server.BaseContext returned nil; it has to return a context")
		}
	}
	if _, err := tcpBelow(ln); err != nil {
		_ = ln.Close()
		return nil, err
	}
	logs := make([]*slog.Logger, cfg.loops)
	for i := range logs {
		logs[i] = cfg.log.With("loop", i)
	}
	// From here on nothing of a user's is called.
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.startable(); err != nil { // it may not be any more
		_ = ln.Close()
		return nil, err
	}
	r := &run{
		server: s, cfg: cfg,
		table: new(linger.Table), closingC: make(chan struct{}), sweeps: make(chan struct{}), aborted: make(chan struct{}),
		stuck: make(chan struct{}), refused: make(chan struct{}), settled: make(chan struct{}),
		closers: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), failed: make(chan error, cfg.loops),
		pool: newPool(cfg.maxHandlers), handshakes: newPool(cfg.maxHandshakes),
		computing: make(chan struct{}, computingPerProcessor*runtime.GOMAXPROCS(0)), noneLeft: make(chan struct{}, 1),
		ctx: context.WithValue(base, http.ServerContextKey, s),
	}
	if r.watcher, err = watch.New(); err != nil {
		_ = ln.Close()
		return nil, fmt.Errorf("poller: %w", err)
	}
	if r.listener, r.port, err = adopt(ln, cfg.arm, cfg.shared); err != nil {
		r.watcher.Close()
		return nil, err
	}
	if cfg.sweep {
		r.residue = new(linger.Residue)
	}
	r.hijacked.Armed, r.hijacked.Residue = cfg.arm, r.residue
	r.h2.run, r.h2.conns.Armed, r.h2.conns.Residue, r.h2.parting = r, cfg.arm, r.residue, h2Farewell
	r.admission, r.clients = newAdmission(r), newClients(cfg.connsPerClient, cfg.ratePerClient)
	r.memory = newMemory(r)
	if s.Ready != nil {
		_ = r.port.Pause() // there is no loop yet that could fail
	}
	for i := range cfg.loops {
		r.loops = append(r.loops, newLoop(r, i, logs[i]))
	}
	r.lookout = newLookout(r)
	r.claim = claims.New(r.listener.addr.Port(), r.cookies)
	s.run = r
	s.report.Address = r.listener.addr.String()
	s.state.Store(stateServing)
	for _, l := range r.loops {
		go l.serve()
	}
	go r.memory.watch()
	if cfg.upgradeIdle > 0 {
		go r.closeIdleUpgrades()
	}
	return r, nil
}

// startable is why the server cannot start to serve, nil if it can.
func (s *Server) startable() error {
	switch s.state.Load() {
	case stateNew:
		return nil
	case stateServing:
		return ErrServing
	}
	return ErrServerClosed
}

// watch calls Server.Ready and Server.Serving when it is their time, and returns when the teardown begins, or with the reason for which
// it has to: a loop that does not start or that gave up, or an error of Ready.
func (r *run) watch() error {
	for _, l := range r.loops {
		select {
		case <-l.ready:
		case <-r.closingC:
			return nil
		case err := <-r.failed:
			return err
		}
	}
	if ready := r.server.Ready; ready != nil {
		if err := ready(); err != nil {
			return err
		}
		if err := r.port.Resume(); err != nil {
			return err
		}
	}
	r.serving.Store(true)
	if serving := r.server.Serving; serving != nil {
		serving(r.listener.addr)
	}
	select {
	case <-r.closingC:
		return nil
	case err := <-r.failed:
		return err
	}
}

// cookies are those of all sockets that the server has on its port.
func (r *run) cookies() (cookies []uint64, more bool) {
	cookies = slices.Concat(r.table.Cookies(), r.hijacked.Cookies(), r.h2.conns.Cookies())
	if !latch.IsClosed(r.refused) {
		cookies = append(cookies, r.listener.cookie)
	}
	return cookies, false
}

// closing reports whether the teardown has begun.
func (r *run) closing() bool { return r.server.state.Load() >= stateClosing }

// draining reports whether every answer is its connection's last, as it is from the beginning of a drain on, or of a teardown.
func (r *run) draining() bool { return r.server.state.Load() >= stateDraining }

// reuses reports whether connections are used for more than one request.
func (r *run) reuses() bool { return !r.draining() && !r.server.noReuse.Load() }

// restarts reports whether another process takes the place of this one.
func (r *run) restarts() bool { return r.handsOver.Load() }

// lettingGo reports whether the port is being given up, or was.
func (r *run) lettingGo() bool { return r.server.state.Load() >= stateReleased }

// hook calls the callback for the end of a connection.
func (r *run) hook(aborted bool, c func() Conn) {
	if aborted {
		r.call(r.server.ConnAborted, c)
	} else {
		r.call(r.server.ConnClosed, c)
	}
}

// call calls a callback for a connection.
func (r *run) call(f func(Conn), describe func() Conn) {
	if f != nil {
		c := describe()
		guard(r.cfg.log, c.ID, "connection hook", func() { f(c) })
	}
}

// Ping returns nil when every event loop has run something that it is given now, as one that a [LoopHandler] blocks does not. When ctx ends
// before that it returns an error that names a loop which has not. It is for watchdogs. A Server that does not serve, or not any more, has no
// loop that could be stuck. Any goroutine may call it that is no loop's.
func (s *Server) Ping(ctx context.Context) error {
	s.mu.Lock()
	r := s.run
	s.mu.Unlock()
	if r == nil {
		return nil
	}
	for _, l := range r.loops {
		done := make(chan struct{})
		if !l.post(func() { close(done) }) {
			continue
		}
		select {
		case <-done:
		case <-l.ended:
		case <-r.closingC:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("poller: event loop %d does not respond: %w", l.index, ctx.Err())
		}
	}
	return nil
}

// ListenerAddr is the address served, and not valid before Serve has taken a listener over.
func (s *Server) ListenerAddr() netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil {
		return netip.AddrPort{}
	}
	return s.run.listener.addr
}

// FileLimitError is returned by Serve for a bound on connections that the limit of open files does not allow.
type FileLimitError struct {
	MaxConns int // as in the Server
	Limit    int // RLIMIT_NOFILE
	Room     int // the greatest MaxConns that Limit allows
}

// Error names the bound, the limit, and what to do.
func (e *FileLimitError) Error() string {
	return fmt.Sprintf("poller: Server.MaxConns is %d, but the limit of open files (RLIMIT_NOFILE) is %d and leaves room for "+
		"%d connections: raise the limit (ulimit -n, LimitNOFILE=) or lower MaxConns", e.MaxConns, e.Limit, e.Room)
}

func checkFileLimit(maxConns int) error {
	limit, err := fileLimit()
	if err != nil {
		return fmt.Errorf("poller: %w", err)
	}
	if room := limit - reserve(limit); maxConns > room {
		return &FileLimitError{maxConns, limit, room}
	}
	return nil
}

// fileLimit is the process's soft limit of open files; the Go runtime has raised it to the hard one by itself.
func fileLimit() (int, error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0, os.NewSyscallError("getrlimit", err)
	}
	return int(min(l.Cur, maxOption)), nil
}

// defaultMaxBufferedBytes is that of the option, which says more.
func defaultMaxBufferedBytes() int64 { return memlimit.Least() / 4 }

// reserve is how many of limit descriptors are kept for other purposes than connections: the server's own, and what the
// program around it opens.
func reserve(limit int) int { return min(limit/8, 128) }
