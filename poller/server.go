package poller

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"rstserver/httpcodec"
	"rstserver/linger"
)

// Defaults of the fields of [Server].
const (
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultMaxHandshakes    = 1024
	DefaultHeaderTimeout    = 60 * time.Second
	DefaultBodyTimeout      = 60 * time.Second
	DefaultMinBodyRate      = 240 // bytes per second
	DefaultRateGrace        = 5 * time.Second
	DefaultWriteTimeout     = 60 * time.Second
	DefaultIdleTimeout      = 3 * time.Minute // longer than clients keep idle connections, so that TIME_WAIT is theirs
	DefaultMaxHeaderBytes   = 64 << 10
	DefaultMaxFields        = 100
	DefaultLoopContent      = 64 << 10
	DefaultMaxOutputBytes   = 16 << 20
	DefaultStuckGrace       = time.Second
	DefaultQueue            = linger.DefaultQueue
	DefaultLameDuck         = linger.DefaultLameDuck // in a HandOver
)

var (
	// ErrServerClosed is returned by Serve and ListenAndServe after Close, Shutdown, HandOver or Release, once the teardown is
	// complete. It is that of net/http, so that callers which compare with either understand the other.
	ErrServerClosed = http.ErrServerClosed
	// ErrServing is returned by Serve and ListenAndServe of a Server that serves already.
	ErrServing = errors.New("poller: server serves already, and a Server serves one listener once")
)

// Server serves HTTP/1.1, and HTTP/2 to those who ask for it, on one listener, once. The zero value is ready to use. The fields must not be changed after Serve
// or ListenAndServe was called; the methods may be called from any goroutine, and from handlers.
//
// An answer comes from one of two handlers. Handler is any http.Handler: it runs on a goroutine of its own and may block.
// LoopHandler runs on the event loops, which is faster, but it must not block, and takes and gives whole contents.
type Server struct {
	// Addr is the address that ListenAndServe listens on; see Listen. Empty means ":http".
	Addr string

	// Handler answers the requests that LoopHandler does not take. Nil, when there is no LoopHandler either, means
	// http.DefaultServeMux. What it may rely on is described at [ListenAndServe].
	Handler http.Handler
	// LoopHandler answers requests on the event loops.
	LoopHandler LoopHandler
	// OnLoop reports, from the head of a request, whether LoopHandler answers it. It is needed only where there are both
	// handlers. It runs on the event loop, must not block, and the request is not valid after it has returned.
	OnLoop func(*httpcodec.Request) bool
	// MaxHandlers bounds how many calls of Handler run at a time; further requests wait for one to return. Zero means as
	// many as there are connections, since a connection has one at a time.
	MaxHandlers int
	// BaseContext returns the context that those of all requests are derived from; the listener is the one given to Serve.
	// Nil means context.Background(). It must not return nil.
	BaseContext func(net.Listener) context.Context
	// ConnContext may derive a context for a connection from the one that is passed. It is called before the first
	// request of the connection is handed to Handler, on the goroutine that runs it. The net.Conn tells addresses; its other
	// methods fail, as the connection belongs to the server, and unlike with net/http it is no *net.TCPConn. With TLS it is a
	// *tls.Conn, which has made its handshake, and of which the same holds. It must not return nil.
	ConnContext func(ctx context.Context, c net.Conn) context.Context

	// TLSConfig is for ServeTLS and ListenAndServeTLS, which work on a copy of it; Serve is not concerned. Nil means an empty one. As in
	// package tls the least version is TLS 1.2. Its functions run on goroutines of their own, and may wait. NextProtos comes to
	// have what Protocols says.
	TLSConfig *tls.Config
	// Protocols are those that are served, with the meaning that they have for net/http: HTTP2 is offered to TLS clients (ALPN), and
	// UnencryptedHTTP2 is for clients that begin with it without TLS. HTTP1 has to be among them. Nil means all three. See "HTTP/2" in the
	// documentation of the package.
	Protocols *http.Protocols
	// HandshakeTimeout bounds the time from accept to the end of a TLS handshake. Then the connection is reset, or closed if nothing has
	// come on it. Zero means DefaultHandshakeTimeout, negative none.
	HandshakeTimeout time.Duration
	// MaxHandshakes bounds how many TLS handshakes are under way at a time, most of which wait for their clients, and take some 24 KB.
	// Others wait for one to end; HandshakeTimeout counts. A client that has not sent its first message whole does not count. Zero means
	// DefaultMaxHandshakes.
	MaxHandshakes int

	// Loops is the number of event loops. Zero means GOMAXPROCS.
	Loops int
	// MaxConns bounds the connections held at a time. At the bound accepting pauses: further clients wait in the kernel's
	// queue, and connections on which nothing has come in the five seconds since they were accepted are reset for them. Zero means
	// as many as there are descriptors. A bound for which the limit of open files is too low is an error.
	MaxConns int
	// MaxConnsPerClient bounds the connections that one client address has at a time, and ConnRatePerClient how many new ones it has in a
	// second, of which as many can come at once when none came of late. One beyond that is reset when it is accepted, without a
	// handshake or an answer, and counted in Stats. Zero means no bound. Many clients can be behind one address (NAT): think of that, and
	// of proxies, for which there is ProxyProtocol.
	MaxConnsPerClient, ConnRatePerClient int
	// ProxyProtocol says that connections from TrustedProxies begin with a header of the PROXY protocol, version 1 or 2, before TLS and HTTP. The
	// client that it names is the connection's from then on: for RemoteAddr, hooks, bounds for each client, and Selectors. Without
	// a header, or with a malformed one, the connection is reset. One that names no client (LOCAL, UNKNOWN), such as a health check, keeps the
	// proxy's address. Connections from elsewhere are served as they are, and a header is no request to them, so that nobody else can say who
	// they are. With ProxyProtocol there have to be TrustedProxies; 0.0.0.0/0 and ::/0 are all.
	ProxyProtocol  bool
	TrustedProxies []netip.Prefix
	// HeaderTimeout bounds the time from accept, or from the first byte of a later request, to the end of the request's
	// head. Then the client gets 408, if it has sent anything, and the connection is closed. Zero means
	// DefaultHeaderTimeout, negative none.
	HeaderTimeout time.Duration
	// BodyTimeout bounds how long more of a request's content is waited for; its outcome is that of HeaderTimeout. It
	// counts while LoopHandler is to get the content, and while Handler reads it; once part of the answer has been sent, it
	// fails the read. Zero means DefaultBodyTimeout, negative none.
	BodyTimeout time.Duration
	// MinBodyRate is the least rate, in bytes per second, at which a client has to send a request's content while the server waits for it: LoopHandler
	// always waits, and Handler while it reads. RateGrace is what it may wait in all beside that. One that is slower is treated as by
	// BodyTimeout. It does not count for a connection that was upgraded or hijacked. Zero means DefaultMinBodyRate, negative none.
	MinBodyRate int64
	// MinWriteRate is the least rate, in bytes per second, at which a client has to take its answers while the kernel takes no more of
	// them, and RateGrace what it may wait beside that. One that is slower is treated as by WriteTimeout. It does not count for
	// text/event-stream. Zero means none.
	MinWriteRate int64
	// RateGrace is for these two. Zero means DefaultRateGrace.
	RateGrace time.Duration
	// UpgradeIdle bounds the time in which nothing is sent either way on a connection that Handler has hijacked, as far as the kernel has seen.
	// Then it is closed, as by its net.Conn's Close. It is late by a quarter at the most, and by a second. Zero means none.
	UpgradeIdle time.Duration
	// HandlerTimeout bounds the time from a request's head to the return of Handler, waiting for MaxHandlers included. Then
	// the request's context is cancelled, and the client gets 503 and a close if nothing of the answer has been sent, else
	// the connection is aborted. Zero and less mean none.
	HandlerTimeout time.Duration
	// AllowHalfClose keeps the context of a request alive when its client ends its side of the connection with FIN. Without it
	// that ends the context, as with net/http: most clients that do so have gone. It counts from when the content has been
	// read. In either case the answer can still be written.
	AllowHalfClose bool
	// WriteTimeout bounds the time during which a client acknowledges nothing of an answer that waits for it. Then the
	// connection is aborted. Zero means DefaultWriteTimeout, negative none.
	WriteTimeout time.Duration
	// IdleTimeout bounds the time between two requests, after which the connection is closed. Zero means
	// DefaultIdleTimeout, negative none.
	IdleTimeout time.Duration
	// Delay, Queue, LameDuck and Spread are the parts of a Shutdown or HandOver, in this order, each counted from the end of the one before, and
	// over early when no connection is left. Every answer is its connection's last from the beginning. The end of Shutdown's
	// context cuts all of them short, and a Close has none of them. They are those of [linger.ListenConfig].
	//
	// Delay is how long connections are accepted still, for load balancers to learn meanwhile that this server is to be left alone.
	// Zero: not at all.
	Delay time.Duration
	// Queue bounds how long a client that has only just connected when the port is given up has to send its request. Without such
	// clients it takes no time. Zero means DefaultQueue, negative none. Without a HeaderTimeout nobody is waited for.
	Queue time.Duration
	// LameDuck is how long idle connections are kept after that, each for one request and an answer that is its last. Zero: not at all in a
	// Shutdown, and DefaultLameDuck in a HandOver.
	LameDuck time.Duration
	// Spread is the time over which Shutdown resets idle connections one after the other, at an even rate and in random order,
	// so that a great many clients do not come back in the same instant. Until its turn a connection can still have a request
	// answered, as its last. Zero: all are reset at once.
	Spread time.Duration
	// MaxHeaderBytes bounds a request's head, in bytes. A larger one is answered with 431, or 414 when it is the
	// request-target. Zero means DefaultMaxHeaderBytes.
	MaxHeaderBytes int
	// StrictTargets refuses requests, with 400, whose target has characters that RFC 3986 does not allow there, such as
	// /?a[]=1|2. Browsers and clients send them as they are, net/http takes them, and handlers get the target unchanged, so by
	// default they are let in; see httpcodec.Limits. A proxy whose backend may read such a target in another way is safer
	// without.
	StrictTargets bool
	// MaxFields bounds the number of a request's field lines. More are answered with 431. Zero means DefaultMaxFields.
	MaxFields int
	// MaxBodyBytes bounds a request's content, in bytes. A larger one is answered with 413, or fails the read once part of
	// the answer has been sent. Zero means no bound for Handler, which reads it piece by piece, and DefaultLoopContent for LoopHandler,
	// for which the content is held in memory until it is complete. Negative means no bound.
	MaxBodyBytes int64
	// LoopContent says from the head of a request how many bytes of content LoopHandler takes with it, before any is read. More is
	// answered with 413, as is more than MaxBodyBytes. Zero: none; LoopHandler answers at once, without the content, which is thrown
	// away as it comes. The connection lives on if there are at most 256 KiB of it, and it has come or says how long it is. Negative: any
	// number that MaxBodyBytes allows. It runs on the event loop, must not block, and the request is not valid after it has returned.
	// Nil: MaxBodyBytes for every request.
	LoopContent func(*httpcodec.Request) int64
	// MaxOutputBytes bounds the content that one answer may have in memory; see Responder.Write. Zero means
	// DefaultMaxOutputBytes.
	MaxOutputBytes int
	// MaxBufferedBytes bounds what all connections together have buffered: parts of heads, content for LoopHandler, answers that are not taken,
	// the buffers of handlers that wait for their clients, of TLS and of hijacked connections. From three quarters of it on a request with
	// more than 64 KiB of head or content that is not there yet gets 503. When it is exceeded connections are reset, until there is room:
	// those first that have made the least progress in a second for what they hold. Small requests are served
	// throughout. What handlers allocate themselves does not count. As Go's garbage collector lets a heap grow to twice what is in
	// use (GOGC), the process can take twice as much. Zero means a quarter of what the process may take, which is the least of
	// GOMEMLIMIT, the limit of its cgroup and the machine's memory. Negative means no bound, and less than LeastMaxBufferedBytes
	// is an error.
	MaxBufferedBytes int64
	// StuckGrace is how long a teardown waits for a loop that does not respond, because a handler blocks it, before its
	// connections are aborted from outside. Zero means DefaultStuckGrace.
	StuckGrace time.Duration
	// ExitAfterClose says that the process ends once Close or Shutdown has returned. They then close the descriptors of connections that they
	// have reset from all loops at once, which is less work, and leave those that handlers or other protocols have to the end of the
	// process. ConnAborted is not called for any, and the loops' goroutines and the memory of the Server are not given back. It has
	// no effect on a HandOver.
	ExitAfterClose bool
	// NoArm leaves the listener unarmed: a process that dies without a teardown then leaves its connections in TIME_WAIT.
	NoArm bool
	// Sweep makes a teardown of any kind destroy what ordinary closes have left on the port by then: connections in TIME_WAIT,
	// FIN_WAIT1, FIN_WAIT2, CLOSING and LAST_ACK, which no abort reaches; see [linger.Residue] for which of them are the
	// server's. The port is free then even for a bind without SO_REUSEADDR. It takes CAP_NET_ADMIN: without that nothing fails,
	// and the Report says so. The kernel is asked before the listener is given up, which comes some milliseconds later
	// for it. A client that has not acknowledged the whole of such a connection reads ECONNRESET after
	// what it has got, even where the teardown is a drain.
	Sweep bool
	// Shared announces that other processes hold the listening socket that Serve is given, too, or will when this server is done
	// with it: it was inherited, from systemd or from a predecessor, or a successor is given it. What they have is then among the
	// Others of the Report. A holder that is not announced, as a child that has inherited the socket, is one to whom clients can
	// still connect: the teardown is not complete, and names it. A descriptor in this process itself, as a File that was not
	// closed, is that in any case. A linger.Listener can have announced it too.
	Shared bool
	// ReusePort sets SO_REUSEPORT on the listener that ListenAndServe makes, so that several processes can serve one port.
	ReusePort bool

	// Logger takes the server's messages. Nil means slog.Default().
	Logger *slog.Logger
	// Ready is called once, when all is prepared and before the first connection is accepted, on the goroutine of Serve. It may wait:
	// clients wait in the kernel's queue meanwhile. An error ends Serve, which returns it. It is for the Ready of
	// [rstserver/linger/handover.Handover], behind which the predecessor accepts no more.
	Ready func() error
	// Serving is called once, with the address served, when all loops accept connections.
	Serving func(netip.AddrPort)
	// ConnOpened, ConnClosed and ConnAborted are called when a connection was accepted, ended with FIN (or was ended by its
	// client), and was reset by this server. Each connection gets one of the last two. They run on the event loops, so
	// they must not block (nor wait for Close), and during a teardown after the reset; for a hijacked connection the last
	// one runs where its Close is called, or on a goroutine of its own if it was forgotten. A panic is logged. Nil is not called.
	ConnOpened, ConnClosed, ConnAborted func(Conn)
	// Answered is called for every answer, also to requests that no handler saw: on an event loop, or on the goroutine of
	// Handler. It must not block. A panic is logged. Nil is not called.
	Answered func(Answer)
	// Overloaded is called for every request that is refused, and every connection that is reset, because of MaxBufferedBytes, on its
	// event loop. It must not block. A panic is logged. Nil is not called.
	Overloaded func(Overload)

	mu         sync.Mutex // serialises the steps of the life cycle; guards all that follows but where it says otherwise
	state      atomic.Int32
	run        *run // what a Server has while it serves; set once
	mode       linger.Mode
	began      time.Time   // when the mode was asked for
	noReuse    atomic.Bool // see SetKeepAlivesEnabled; may be loaded without mu
	onShutdown []func()
	report     linger.Report
	closeErr   error
	done       chan struct{} // closed when the teardown is complete; made by doneLocked
}

// The states of a Server, in order. They are stored under mu and may be loaded without it.
const (
	stateNew int32 = iota
	stateServing
	stateReleased // no listener any more, or soon; connections are served
	stateDraining // as that, and every answer is its connection's last
	stateClosing
	stateClosed
)

// Conn describes a connection to the hooks of a Server.
type Conn struct {
	ID     uint64 // counts the connections of the Server, from 1
	Remote netip.AddrPort
}

// Answer describes an answer, and the request that it is to, to Server.Answered.
type Answer struct {
	// Conn is the connection that the request came on.
	Conn Conn
	// RequestLine is as the client sent it, whatever that was. It is empty if no line came whole.
	RequestLine string
	// Referer and UserAgent are the values of these fields, empty if there are none.
	Referer, UserAgent string
	// Status is the status code.
	Status int
	// Bytes is the length of the content, without the framing of chunks. Where Handler's answer broke off it is what had
	// been sent. What is sent on a WebSocket, or an event stream of package sse, is not part of it.
	Bytes int64
	// Began is when the head of the request was complete, or found to be malformed, and Took how long it took from then until the answer had
	// been handed to the kernel, or, of LoopHandler's, was about to be. A WebSocket, or an event stream of package sse, is answered with
	// its head: nothing of the request is kept until its end, which is told by OnClose.
	Began time.Time
	Took  time.Duration
	// TLS is the version of TLS, such as tls.VersionTLS13, 0 without TLS.
	TLS uint16
	// Traceparent is the value of that field (W3C Trace Context), empty if there is none.
	Traceparent string
}

// Overload describes to Server.Overloaded what was done because of MaxBufferedBytes.
type Overload struct {
	// Conn is the connection that it was done to.
	Conn  Conn
	Reset bool // the connection is reset; if not, its request gets 503
	// Held is what the connection has buffered, and Buffered what all have, in bytes.
	Held, Buffered int64
}

// doneLocked returns what is closed when the teardown is complete. With ends a server that does not serve yet is at its end.
func (s *Server) doneLocked(ends bool) chan struct{} {
	if s.done == nil {
		s.done = make(chan struct{})
	}
	if ends && s.state.CompareAndSwap(stateNew, stateClosed) {
		close(s.done)
	}
	return s.done
}

// RegisterOnShutdown registers f, which is called on a goroutine of its own when Shutdown is. It is for connections that Handler has
// hijacked: Shutdown waits for them, and f can tell them to come to an end. It has no effect once Shutdown was called. [linger.Turn] tells
// each when it is its turn.
func (s *Server) RegisterOnShutdown(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onShutdown = append(s.onShutdown, f)
}
