package poller

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"rstserver/linger"
)

// Defaults of the fields of [Server].
const (
	DefaultHeaderTimeout  = 60 * time.Second
	DefaultBodyTimeout    = 60 * time.Second
	DefaultWriteTimeout   = 60 * time.Second
	DefaultIdleTimeout    = 3 * time.Minute // longer than clients keep idle connections, so that TIME_WAIT is theirs
	DefaultMaxHeaderBytes = 64 << 10
	DefaultMaxFields      = 100
	DefaultMaxBodyBytes   = 10 << 20
	DefaultMaxOutputBytes = 16 << 20
	DefaultStuckGrace     = time.Second
)

var (
	// ErrServerClosed is returned by Serve and ListenAndServe after Close, once the teardown is complete.
	ErrServerClosed = errors.New("poller: server closed")
	// ErrServing is returned by Serve and ListenAndServe of a Server that serves already.
	ErrServing = errors.New("poller: server serves already, and a Server serves one listener once")
)

// Server serves HTTP/1.1 on one listener, once. The zero value is ready to use and answers 404 to everything. The fields
// must not be changed after Serve or ListenAndServe was called; the methods may be called from any goroutine.
type Server struct {
	// LoopHandler answers the requests, on the event loops. Nil answers 404.
	LoopHandler LoopHandler

	// Loops is the number of event loops. Zero means GOMAXPROCS.
	Loops int
	// MaxConns bounds the connections held at a time. At the bound accepting pauses: further clients wait in the kernel's
	// queue. Zero means as many as there are descriptors. A bound for which the limit of open files is too low is an error.
	MaxConns int
	// HeaderTimeout bounds the time from accept, or from the first byte of a later request, to the end of the request's
	// head. Then the client gets 408, if it has sent anything, and the connection is closed. Zero means
	// DefaultHeaderTimeout, negative none.
	HeaderTimeout time.Duration
	// BodyTimeout bounds the time between two reads of a request's content; its outcome is that of HeaderTimeout. Zero
	// means DefaultBodyTimeout, negative none.
	BodyTimeout time.Duration
	// WriteTimeout bounds the time during which a client acknowledges nothing of an answer that waits for it. Then the
	// connection is aborted. Zero means DefaultWriteTimeout, negative none.
	WriteTimeout time.Duration
	// IdleTimeout bounds the time between two requests, after which the connection is closed. Zero means
	// DefaultIdleTimeout, negative none.
	IdleTimeout time.Duration
	// MaxHeaderBytes bounds a request's head, in bytes. A larger one is answered with 431, or 414 when it is the
	// request-target. Zero means DefaultMaxHeaderBytes.
	MaxHeaderBytes int
	// MaxFields bounds the number of a request's field lines. More are answered with 431. Zero means DefaultMaxFields.
	MaxFields int
	// MaxBodyBytes bounds a request's content, in bytes, which is held in memory until it is complete. A larger one is
	// answered with 413. Zero means DefaultMaxBodyBytes, negative no bound.
	MaxBodyBytes int64
	// MaxOutputBytes bounds the content that one answer may have in memory; see Responder.Write. Zero means
	// DefaultMaxOutputBytes.
	MaxOutputBytes int
	// StuckGrace is how long a teardown waits for a loop that does not respond, because a handler blocks it, before its
	// connections are aborted from outside. Zero means DefaultStuckGrace.
	StuckGrace time.Duration
	// NoArm leaves the listener unarmed: a process that dies without a teardown then leaves its connections in TIME_WAIT.
	NoArm bool
	// ReusePort sets SO_REUSEPORT on the listener that ListenAndServe makes, so that several processes can serve one port.
	ReusePort bool

	// Logger takes the server's messages. Nil means slog.Default().
	Logger *slog.Logger
	// Serving is called once, with the address served, when all loops accept connections.
	Serving func(netip.AddrPort)
	// ConnOpened, ConnClosed and ConnAborted are called when a connection was accepted, ended with FIN (or was ended by its
	// client), and was reset by this server. Each connection gets one of the last two. They run on the event loops, so
	// they must not block (nor wait for Close), and during a teardown after the reset. A panic is logged. Nil is not called.
	ConnOpened, ConnClosed, ConnAborted func(Conn)

	mu       sync.Mutex // serialises the steps of the life cycle; guards all that follows but where it says otherwise
	state    atomic.Int32
	run      *run // what a Server has while it serves; set once
	report   linger.Report
	closeErr error
	done     chan struct{} // closed when the teardown is complete; made by doneLocked
}

// The states of a Server, in order. They are stored under mu and may be loaded without it.
const (
	stateNew int32 = iota
	stateServing
	stateClosing
	stateClosed
)

// Conn describes a connection to the hooks of a Server.
type Conn struct {
	ID     uint64 // counts the connections of the Server, from 1
	Remote netip.AddrPort
}

func (s *Server) doneLocked() chan struct{} {
	if s.done == nil {
		s.done = make(chan struct{})
	}
	return s.done
}

// config is a copy of a Server's options with the defaults filled in. Immutable.
type config struct {
	loops          int
	maxConns       int
	headerTimeout  time.Duration // 0: none, here and below
	bodyTimeout    time.Duration
	writeTimeout   time.Duration
	idleTimeout    time.Duration
	maxHeaderBytes int
	maxFields      int
	maxBodyBytes   int64
	maxOutputBytes int
	stuckGrace     time.Duration
	arm            bool
	handler        LoopHandler
	log            *slog.Logger
}

func (s *Server) config() (config, error) {
	c := config{
		loops:          or(s.Loops, runtime.GOMAXPROCS(0)),
		maxConns:       s.MaxConns,
		headerTimeout:  timeout(s.HeaderTimeout, DefaultHeaderTimeout),
		bodyTimeout:    timeout(s.BodyTimeout, DefaultBodyTimeout),
		writeTimeout:   timeout(s.WriteTimeout, DefaultWriteTimeout),
		idleTimeout:    timeout(s.IdleTimeout, DefaultIdleTimeout),
		maxHeaderBytes: or(s.MaxHeaderBytes, DefaultMaxHeaderBytes),
		maxFields:      or(s.MaxFields, DefaultMaxFields),
		maxBodyBytes:   max(or(s.MaxBodyBytes, DefaultMaxBodyBytes), 0),
		maxOutputBytes: or(s.MaxOutputBytes, DefaultMaxOutputBytes),
		stuckGrace:     or(s.StuckGrace, DefaultStuckGrace),
		arm:            !s.NoArm,
		handler:        s.LoopHandler,
		log:            s.Logger,
	}
	if c.handler == nil {
		c.handler = LoopHandlerFunc(notFound)
	}
	if c.log == nil {
		c.log = slog.Default()
	}
	for _, v := range []struct {
		name string
		n    int64
		most int64
	}{
		{"Loops", int64(s.Loops), maxLoops},
		{"MaxConns", int64(s.MaxConns), maxOption},
		{"MaxHeaderBytes", int64(s.MaxHeaderBytes), maxOption},
		{"MaxFields", int64(s.MaxFields), maxOption},
		{"MaxOutputBytes", int64(s.MaxOutputBytes), maxOption},
		{"StuckGrace", int64(s.StuckGrace), int64(time.Hour)},
	} {
		if v.n < 0 || v.n > v.most {
			return c, fmt.Errorf("poller: Server.%s is %d; it must be 0 (the default) to %d", v.name, v.n, v.most)
		}
	}
	return c, checkFileLimit(c.maxConns)
}

const (
	maxLoops  = 1024
	maxOption = 1<<31 - 1
)

// or returns v, or the default where v is zero.
func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// timeout maps an option (0: the default, negative: none) to a duration that is 0 for none. The greatest durations are a
// common way to say for ever, and would overflow when added to a time.
func timeout(v, def time.Duration) time.Duration {
	const century = 100 * 365 * 24 * time.Hour
	if v > century {
		return 0
	}
	return max(or(v, def), 0)
}
