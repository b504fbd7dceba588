package websocket

import (
	"errors"
	"sync/atomic"
	"time"

	"rstserver/poller/internal/onloop"
)

// Defaults of [Options].
const (
	DefaultReadLimit      = 1 << 20
	DefaultMaxQueuedBytes = 1 << 20
	DefaultPingInterval   = 30 * time.Second
	DefaultPongTimeout    = 30 * time.Second
	DefaultCloseTimeout   = 5 * time.Second
)

// Options say what is done on a connection. The zero value is ready to use: it reads messages and throws them away. The same Options serve any
// number of connections, and must not be changed once the first has them.
type Options struct {
	// OnOpen is called before everything else. Nil is not called, here and below.
	OnOpen func(c *Conn)
	// OnMessage is called with each message, one after the other for a connection. data is valid until it returns, and may be changed. Text is
	// UTF-8. Without OnLoop it runs on one of the server's workers (see poller.Server.MaxHandlers) and may block: then nothing more is
	// read from the client. A panic resets the connection, and is logged.
	OnMessage func(c *Conn, t Type, data []byte)
	// OnFragment takes the place of OnMessage: it is called with the parts of a message as they come, whatever their frames; last is the
	// end of the message. Parts of a text can end within a character. Compressed messages come whole.
	OnFragment func(c *Conn, t Type, data []byte, last bool)
	// OnClose is called once, after everything else, when the client has closed the connection, or it is over in another way. code and reason are
	// those of the client's close frame, or [NoStatus]; where the client has broken the protocol, or a bound, those that it was sent;
	// and [Abnormal] where the connection has ended without. It is not called in a teardown of a poller.Server with ExitAfterClose.
	OnClose func(c *Conn, code Status, reason string)
	// OnLoop says that the functions above are called on the event loop. All connections of the loop wait for them, so they must not block. In
	// return a message costs no change of goroutines and is not copied.
	OnLoop bool

	// ReadLimit bounds a message, in bytes, after decompression. A longer one ends the connection with 1009. Zero means DefaultReadLimit, but none
	// with OnFragment; negative none, and then a client can fill the memory with one message.
	ReadLimit int64
	// MaxQueuedBytes bounds what waits to be sent, since the client does not take it: no message is added to so many bytes or more. Zero
	// means DefaultMaxQueuedBytes.
	MaxQueuedBytes int
	// AtBound says what becomes of a message then.
	AtBound AtBound
	// Counters, if there are any, count what happens.
	Counters *Counters

	// PingInterval is after how much silence a client is sent a ping. Zero means DefaultPingInterval, negative never.
	PingInterval time.Duration
	// PongTimeout is how long nothing may come after that. Then the connection is reset. Zero means DefaultPongTimeout.
	PongTimeout time.Duration
	// CloseTimeout is how long a client has to answer a close frame, other than that of a drain. Then the connection ends without. Zero
	// means DefaultCloseTimeout.
	CloseTimeout time.Duration

	// Subprotocols are those that are spoken. The first of the client's that is among them is chosen (RFC 6455, section 1.9).
	Subprotocols []string
	// Origins are the origins, besides that of the server itself, whose pages may open a WebSocket here: "https://example.com",
	// "https://*.example.com" for all below it, "*" for all. A page of another site could else act as the user whose browser shows it,
	// cookies and all. Clients that are no browsers send no Origin, and are let in.
	Origins []string
	// CheckOrigin takes the place of Origins: it reports whether an origin is let in. host is what the client has called the server.
	CheckOrigin func(origin, host string) bool

	// Compression offers permessage-deflate (RFC 7692) to clients that ask for it. It costs processor time, and a secret that shares a message with
	// what an attacker chooses can be guessed from its length.
	Compression Compression

	// DrainStatus is the code by which a drain tells a client. Zero means GoingAway (1001), or ServiceRestart (1012) where another process takes the
	// place of this one.
	DrainStatus Status
}

// AtBound says what becomes of a message when MaxQueuedBytes wait.
type AtBound uint8

const (
	// Wait makes Write wait for the client. On a loop, and for a Group, it is Drop, and Write returns ErrFull.
	Wait AtBound = iota
	// Drop leaves the message out, and Write returns ErrFull.
	Drop
	// End ends the connection with 1013.
	End
)

// Compression says how messages are compressed.
type Compression uint8

const (
	// NoCompression is the default.
	NoCompression Compression = iota
	// EachAlone compresses each message for itself: no memory is kept for a connection between two.
	EachAlone
	// WithContext lets a message refer to those before, where the client takes part in that. It keeps some 32 KB for each
	// direction of a connection, and hundreds of KB for what compresses.
	WithContext
)

// compressFrom is the length from which on messages are compressed.
const compressFrom = 128

// Counters count what became of messages at the bound. Any goroutine may read them.
type Counters struct {
	Waited  atomic.Int64 // calls of Write that waited
	Dropped atomic.Int64 // messages that were left out
	Ended   atomic.Int64 // connections that were ended with 1013
}

func (o *Options) readLimit() int64 {
	switch {
	case o.ReadLimit > 0:
		return o.ReadLimit
	case o.ReadLimit == 0 && o.OnFragment == nil:
		return DefaultReadLimit
	}
	return 1<<63 - 1 - maxHeader
}

func (o *Options) maxQueued() int {
	if o.MaxQueuedBytes > 0 {
		return o.MaxQueuedBytes
	}
	return DefaultMaxQueuedBytes
}

func (o *Options) bounds() onloop.Bounds {
	return onloop.Bounds{Queued: o.maxQueued(), AtBound: onloop.AtBound(o.AtBound), Counters: (*onloop.Counters)(o.Counters)}
}

func or(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// check says what is wrong with the options.
func (o *Options) check() error {
	switch {
	case o.MaxQueuedBytes < 0:
		return errors.New("websocket: Options.MaxQueuedBytes is negative; it must be 0 (the default) or more")
	case o.PongTimeout < 0:
		return errors.New("websocket: Options.PongTimeout is negative; PingInterval is, to have no pings")
	case o.CloseTimeout < 0:
		return errors.New("websocket: Options.CloseTimeout is negative; it must be 0 (the default) or more")
	case o.AtBound > End:
		return errors.New("websocket: Options.AtBound is none of Wait, Drop and End")
	case o.Compression > WithContext:
		return errors.New("websocket: Options.Compression is none of NoCompression, EachAlone and WithContext")
	case o.OnMessage != nil && o.OnFragment != nil:
		return errors.New("websocket: Options has OnMessage and OnFragment; one of them gets the messages")
	case o.DrainStatus != 0 && !o.DrainStatus.sendable():
		return checkClose(o.DrainStatus, "")
	}
	for _, p := range o.Subprotocols {
		if !isToken(p) {
			return errors.New("websocket: " + quoted(p) + " among Options.Subprotocols is no token (RFC 9110, section 5.6.2)")
		}
	}
	return nil
}

var defaults Options
