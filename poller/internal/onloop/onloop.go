// Package onloop is how a protocol that follows HTTP has a connection of package poller: on the event loop that owns it, with
// no goroutine, and no buffer while nothing waits. WebSockets and event streams are such protocols.
package onloop

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"
)

// Protocol is what speaks on a connection. Its methods, but for Taken, are called on the connection's loop, one at a time, and must not block.
type Protocol interface {
	// Taken is called by Offer.Take before anything else, and before the client is answered, where that is called. What is sent before Began
	// waits. If Take fails after that, nothing more is called.
	Taken(Conn)
	// Began says that the connection is the protocol's. It is not called if the connection has ended by then.
	Began()
	// Received is given what has come, without TLS. It may change data, which is valid until it returns. It is not called while
	// input is not wanted (see Conn.Want).
	Received(data []byte)
	// Woken follows a Conn.Wake.
	Woken()
	// Sent says that the kernel has taken all that has waited, after it did not.
	Sent()
	// Late is called when the time is over that Conn.Await has set.
	Late()
	// Turn says that the connection is to come to its end, since the server drains. It is called once. restart says that another
	// process takes the place of this one.
	Turn(restart bool)
	// Ended is called last, once: the connection is over, or Conn.End has come to its end. err says why, where that is not Conn.End.
	Ended(err error)
	// Weight is how many bytes the protocol has buffered of what has come, by capacity. The connection is charged with it after each turn on the loop.
	Weight() int
}

// Conn is a connection in the hands of a Protocol.
type Conn interface {
	// Send sends o behind what waits. The kernel is given it at once where nothing waits, but in the time of Received, Woken,
	// Late and Turn, whose output leaves together. waits says that the kernel has not taken all of it. Any goroutine may call it.
	Send(o Output) (waits bool, err error)
	// Queued is how many bytes wait. Any goroutine may call it.
	Queued() int
	// Room returns a channel that is closed when fewer than bound bytes wait, or the connection is over. Any goroutine may call it.
	Room(bound int) <-chan struct{}
	// Wake has Protocol.Woken called soon. Any goroutine may call it.
	Wake()
	// Go runs f on a worker of the server's, when there is one. A panic of f's resets the connection, and is logged. Any
	// goroutine may call it.
	Go(f func())
	// Call runs f where it is, with the same consequences of a panic. On the loop.
	Call(f func())
	// Want starts and stops the reading of input. One goroutine at a time may call it, whichever.
	Want(input bool)
	// Await has Protocol.Late called when so much time has passed. Each call takes the place of the one before; zero is never. A
	// client that takes nothing of what it is sent has Server.WriteTimeout instead, and then it begins anew. On the loop.
	Await(time.Duration)
	// End ends the connection with FIN when all that waits is sent; what the client still sends is thrown away. On the loop.
	End()
	// Abort ends it with RST. Any goroutine may call it.
	Abort()
	// Chunked reports whether what is sent is content in chunks (RFC 9112, section 7.1), which the protocol makes, and ends. If not, it is sent as it
	// is. Any goroutine may call it.
	Chunked() bool
	// Loop is that which owns the connection.
	Loop() Loop
	// Remote is the client's address. Any goroutine may call it.
	Remote() netip.AddrPort
}

// Output is something to be sent.
type Output struct {
	// Head and Body are sent one behind the other. They are the caller's again when Send has returned, unless they are Shared.
	Head, Body []byte
	// Shared, unless it is nil, says that they will never change, so that they can be kept as they are, and who keeps them.
	Shared *Shared
	// Last says that nothing follows: another Send returns ErrOver.
	Last bool
	// Message says that this is what the client was promised: the Report counts it, if it is not sent.
	Message bool
	// Bound, unless it is zero, makes Send return ErrFull if so many bytes wait already.
	Bound int
}

var (
	// ErrOver is returned by Send when the connection is over, or what was Last has been sent.
	ErrOver = errors.New("onloop: the connection is over")
	// ErrFull is returned by Send at the bound.
	ErrFull = errors.New("onloop: too much waits to be sent")
)

// Loop is an event loop. It is comparable.
type Loop interface {
	// Rounds does w on the loop, in rounds, between which it turns to its connections. What is given to it first is done first. Any
	// goroutine may call it.
	Rounds(w Work)
}

// Work is done in rounds.
type Work interface {
	// Step does some of it, and reports whether there is more. On the loop.
	Step() (more bool)
	// Dropped is called in the place of further Steps when the loop has ended.
	Dropped()
}

// Offer is a request whose connection a Protocol can have. It is found by From, or FromResponder.
type Offer interface {
	// Take answers with a head of that status and the fields of header, unless that was done, and has p have the connection. The head of a
	// status other than 101 (Switching Protocols) begins content, which p goes on with, see Conn.Chunked: the connection ends with it. A handler
	// has the connection no more then, whether or not it has returned. An error leaves the request as it was.
	Take(status int, header http.Header, p Protocol) error
}

type offerKey struct{}

// OfferKey is the key under which the context of a request has its Offer.
var OfferKey any = offerKey{}

// From returns the Offer of a request with that context, nil if its server is none of package poller.
func From(ctx context.Context) Offer {
	o, _ := ctx.Value(OfferKey).(Offer)
	return o
}

// FromResponder returns the Offer of the request that a poller.Responder is to answer. Package poller sets it, as its types are not known
// here.
var FromResponder func(responder any) Offer
