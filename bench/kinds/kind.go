// Package kinds names what connections are doing when a server lets go of its port, and what a server has to answer for that. It
// touches nothing, so that any goroutine may call any of it.
package kinds

import "fmt"

// Kind is what a connection is doing when the server lets go.
type Kind string

// The kinds. Idle, Fresh and Half work with any server that answers a GET and keeps the connection; the others need one of
// its [Paths] more.
const (
	Idle      Kind = "idle"      // keep-alive, one request answered
	Fresh     Kind = "fresh"     // never sent a byte
	Half      Kind = "half"      // half a request sent
	InFlight  Kind = "in-flight" // the server has the request and answers it late
	Stuck     Kind = "stuck"     // the server has the request and does not come to an end
	Unread    Kind = "unread"    // in flight, with more behind it that the server has not read
	Full      Kind = "full"      // the answer fills the send buffer, and behind it half a request waits unread
	Streaming Kind = "streaming" // an answer without an end, of which the first bytes came
	Upgraded  Kind = "upgraded"  // handed over to another protocol
	WebSocket Kind = "websocket" // a WebSocket, one message echoed
	SSE       Kind = "sse"       // an event stream, one event read
)

// Kinds that are over TLS alone. Most of the others can be too.
const (
	Handshake Kind = "handshake"    // a ClientHello sent, and nothing more
	H2        Kind = "h2"           // HTTP/2, idle, one request answered
	H2Streams Kind = "h2-in-flight" // HTTP/2, with streams that are answered late
)

// Kinds of clients that are at work while a server is restarted. InFlight, Idle, WebSocket and SSE are among these too.
const (
	Get    Kind = "get"    // a new connection for each GET
	Post   Kind = "post"   // POST on a connection that is kept
	Upload Kind = "upload" // POST of content that is sent slowly
)

// AtWork are all kinds of clients that can be at work during a restart, in the order in which they are explained.
func AtWork() []Kind { return []Kind{Get, Post, InFlight, Upload, Idle, WebSocket, SSE} }

// AboutWork is what a client of the kind does during a restart, for the help. None of them repeats a request by itself.
func (k Kind) AboutWork() string {
	return map[Kind]string{
		Get:       "a new connection for each GET",
		Post:      "POST on a connection that is kept until the server ends it",
		InFlight:  "GET of what is answered late, on a kept connection",
		Upload:    "POST of 64 KiB that take 400 ms to be sent, on a kept connection",
		Idle:      "one answer, and then the end of the connection is waited for, and another opened",
		WebSocket: "a message every 250 ms that is echoed, and another WebSocket when that has ended",
		SSE:       "an event stream, and another when that has ended, which is asked for what was missed, if events have IDs",
	}[k]
}

// All are all kinds of connections that a server lets go of, in the order in which they are explained.
func All() []Kind {
	return []Kind{Idle, Fresh, Half, InFlight, Stuck, Unread, Full, Streaming, Upgraded, WebSocket, SSE, Handshake, H2, H2Streams}
}

// About is what a connection of the kind does, for the help.
func (k Kind) About() string {
	return map[Kind]string{
		Idle:      "keep-alive, one request answered",
		Fresh:     "connected, never sent a byte",
		Half:      "half a request sent",
		InFlight:  "the server has a request that it answers late",
		Stuck:     "the server has a request that it does not answer within the run",
		Unread:    "in flight, and behind that requests that the server has not read",
		Full:      "an answer fills the send buffer, since the client does not read; behind it half a request",
		Streaming: "an answer without an end, of which the first bytes came",
		Upgraded:  "switched to another protocol",
		WebSocket: "a WebSocket, one message echoed, whose client answers a close frame",
		SSE:       "an event stream, one event read, whose client closes at the end of its chunks, as browsers do",
		Handshake: "over TLS alone: a ClientHello sent, and nothing more",
		H2:        "over TLS alone: HTTP/2, idle, one request answered; told GOAWAY its client closes, as browsers do",
		H2Streams: fmt.Sprintf("over TLS alone: HTTP/2, with %d streams that the server answers late", Streams),
	}[k]
}

// Streams is how many of a connection are in flight, of H2Streams.
const Streams = 4

// Over is an error when connections of the kind cannot be over TLS or, where secure is false, cannot be without.
func (k Kind) Over(secure bool) error {
	switch {
	case !secure && (k == Handshake || k.IsHTTP2()):
		return fmt.Errorf("%s connections are over TLS alone: --tls has them be", k)
	case secure && (k == Unread || k == Full):
		return fmt.Errorf("%s connections cannot be measured over TLS, since what the server has not read, or not sent, is then in its TLS and not with the kernel", k)
	}
	return nil
}

// IsHTTP2 reports whether connections of the kind speak HTTP/2.
func (k Kind) IsHTTP2() bool { return k == H2 || k == H2Streams }
