// Package kinds names what connections are doing when a server lets go of its port, and what a server has to answer for that. It
// touches nothing.
package kinds

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
)

// All are all kinds, in the order in which they are explained.
func All() []Kind {
	return []Kind{Idle, Fresh, Half, InFlight, Stuck, Unread, Full, Streaming, Upgraded, WebSocket}
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
	}[k]
}
