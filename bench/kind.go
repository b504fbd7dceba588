package bench

// Kind is what a connection is doing when the server lets go.
type Kind string

// The kinds. Idle, Fresh and Half work with any server whose answer to GET / ends with "Hello, World!"; the others need the
// paths of rstserver.
const (
	Idle      Kind = "idle"      // keep-alive, one request answered
	Fresh     Kind = "fresh"     // never sent a byte
	Half      Kind = "half"      // half a request sent
	Full      Kind = "full"      // the answer fills the send buffer, and behind it a request waits unread
	Slow      Kind = "slow"      // in flight: a handler has the request and does not come to an end
	Brief     Kind = "brief"     // in flight, for briefMS
	Streaming Kind = "streaming" // an answer without an end, of which the first chunk came
	Upgraded  Kind = "upgraded"  // handed over to another protocol, which has echoed once
)

// briefMS is how long a Brief request is in flight. What counts is that this is longer than a server needs to be told
// something once the fleet is complete; an answer that comes earlier counts as an answer all the same.
const briefMS = "2000"

// script is what a client of a kind does.
type script struct {
	steps  []step
	answer string // ends the answer that the client waits for beyond that
	// leaves: the client does not read what the server sends.
	leaves bool
}

// step is one round trip. An empty text is not sent, and not awaited.
type step struct{ send, await string }

// get is a request for target.
func get(target string, fields ...string) string {
	request := "GET " + target + " HTTP/1.1\r\nHost: bench\r\n"
	for _, f := range fields {
		request += f + "\r\n"
	}
	return request + "\r\n"
}

const halfRequest = "GET / HTTP/1.1\r\nHost: be"

// anything is an await for which the first byte is enough.
const anything = "\x00"

var scripts = map[Kind]*script{
	Idle:  {steps: []step{{get("/"), "Hello, World!"}}},
	Fresh: {},
	Half:  {steps: []step{{send: halfRequest}}},
	// Once a part of the answer is there, the server has stopped reading.
	Full:  {steps: []step{{get("/bytes?n=1000000000"), anything}, {send: halfRequest}}, leaves: true},
	Slow:  {steps: []step{{send: get("/slow?ms=86400000")}}},
	Brief: {steps: []step{{send: get("/slow?ms=" + briefMS)}}, answer: "slept " + briefMS + " ms\n"},
	// The content counts.
	Streaming: {steps: []step{{get("/stream?chunks=1000000&bytes=100&ms=1000"), "\x00\x01\x02\x03"}}},
	Upgraded: {steps: []step{
		{get("/upgrade", "Connection: Upgrade", "Upgrade: echo"), "HTTP/1.1 101 "},
		{"to and fro", "to and fro"},
	}},
}
