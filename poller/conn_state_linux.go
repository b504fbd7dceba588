//go:build linux

package poller

import "rstserver/linger"

// state is what a connection is doing. All that follows from it stands in table, and [conn.become] is the one way to change it.
//
//	opening ─▶ fresh, greeting                              it was accepted, without and with TLS
//	opening, parked ─▶ proxied ─▶ fresh, greeting           from a trusted proxy, whose header has come
//	opening ─▶ parked                                       beyond MaxConns
//	parked ─▶ fresh, greeting                               let in when another one ended
//	greeting ─▶ shaking ─▶ serving                          a ClientHello has come; the handshake is over
//	fresh, idle, quiet, spread ─▶ serving                   input has come
//	head, content, skipping ─▶ serving                      more input has come, or has not in time
//	sending ─▶ serving                                      the kernel takes more of the answer
//	serving ─▶ fresh                                        an empty line has come
//	serving ─▶ idle, quiet                                  every request has its answer
//	serving ─▶ head, content, skipping                      part of a request is there
//	serving ─▶ sending                                      the kernel does not take all of the answer
//	serving ─▶ lent ─▶ handling                             the http.Handler has it; and is not quick
//	serving ─▶ lingering                                    the last answer is out
//	serving ─▶ parting, acking, resting                     the last answer is out, in a drain
//	lent ─▶ left ─▶ quiet                                   its worker has given it back, but in a drain; the loop learns of it
//	lent, handling ─▶ serving                               the handler is done, and the loop has to go on
//	lent, handling ─▶ hijacked                              the handler has taken it over, for good
//	lent, handling ─▶ lost                                  the same, but an abort came first
//	serving ─▶ spread                                       the handshake is over, in a drain
//	serving ─▶ upgraded                                     another protocol has the connection
//	upgraded ─▶ clogged                                     the kernel does not take all of what it sends
//	clogged ─▶ upgraded                                     now it has
//	upgraded, clogged ─▶ turning                            a drain has begun, which tells one after the other
//	upgraded, clogged, turning ─▶ told                      the protocol has been told to come to its end
//	upgraded, clogged, turning, told ─▶ serving             it has, and HTTP's end follows
//	greeting, fresh, idle, quiet ─▶ spread                  a drain has begun, and resets one after the other
//	spread ─▶ head, greeting                                it is its turn, but a request waits, or a ClientHello
//	lingering, parting ─▶ acking                            a drain has begun; the client did not close in time
//
// Beside that, every state before hijacked leads to reset, in a drain or a teardown, and to ended, otherwise. Every state
// leads to gone, as a client can hang up at any time.
//
// A release lets in who is parked and leaves the others as they are. An abort resets a connection in whatever state through
// the [linger.Table], which knows it from opening to gone; its loop finds out. A hijacked one is in the set of those.
type state uint8

const (
	opening   state = iota
	parked          // accepted beyond MaxConns; see admission
	proxied         // is to begin with a PROXY header, and has not sent it whole
	greeting        // is to begin with TLS, and has not sent a whole ClientHello
	shaking         // makes a handshake, or waits for its turn
	fresh           // has sent nothing
	idle            // has every answer, and has sent nothing since
	quiet           // as idle, after an answer of the http.Handler
	spread          // as one of these three, in a drain, until its turn to be reset
	head            // has sent part of a request's head
	content         // has sent part of the content, which the LoopHandler gets whole
	skipping        // has its answer, and goes on with the request's content, which is thrown away
	serving         // its loop is at it, and comes to another state before it turns to anybody else
	sending         // has not taken all that it was answered
	lent            // is with the http.Handler, or waits for a worker
	handling        // as lent, for so long that a FIN of the client is looked out for
	left            // the worker's half of quiet: the one state that is not its loop's to enter, but an exchange's
	returned        // is with its loop again, which has been told; an exchange's view only
	upgraded        // speaks another protocol, which may wait for something
	clogged         // as upgraded, and the client does not take all that it is sent
	turning         // as upgraded, in a drain, until its turn
	told            // as upgraded, after its turn: what is left is to say goodbye
	lingering       // has its last answer, and our FIN or close_notify; what it still sends is read until its FIN comes
	parting         // as lingering, without our FIN: the client knows that its answer is whole, and TIME_WAIT is to be its own
	acking          // is reset when it has acknowledged all that it was sent
	resting         // as acking, with an answer that does not say that it is the last
	// From here on the loop has nothing more to do with the connection but to close its descriptor; see over.
	hijacked // the handler has it, on another descriptor; what is left here is empty
	lost     // was reset when a handler was about to take it over
	ended    // the engine is to close the descriptor
	reset    // as ended, after a reset by a drain or a teardown, which count it off at once
	gone     // the engine is closing it, or has
	states
)

// row is what a state means.
type row struct {
	name     string
	activity linger.Activity
	time     timeoutKind         // what the connection waits for
	late     func(*conn)         // what to do if that does not come in time
	polls    polls               // what its loop is told of
	received func(*conn, []byte) // what to do with input
	drain    func(*conn) bool    // what to do when a drain begins; it reports whether the connection is to be reset, now or at its turn, if it is silent
}

// same says in a row's activity, as ongoing does in its time, that nothing changes.
const same = ^linger.Activity(0)

var table [states]row

// It is filled in here since what is in it refers to it.
func init() {
	serve, hold, drop := (*conn).receivePlain, (*conn).hold, func(*conn, []byte) {}
	stays := func(*conn) bool { return false }
	table = [states]row{
		opening:   {"opening", same, noTimeout, nil, asIs, drop, stays},
		parked:    {"parked", linger.New, noTimeout, nil, hangUps, hold, stays},
		proxied:   {"proxied", linger.New, headerTimeout, (*conn).close, input, (*conn).receiveProxy, (*conn).leaveProxied},
		greeting:  {"greeting", linger.Handshake, handshakeTimeout, (*conn).greetingLate, input, (*conn).greet, (*conn).between},
		shaking:   {"shaking", linger.Handshake, handshakeTimeout, (*conn).endHandshake, hangUps, hold, stays},
		fresh:     {"fresh", linger.New, headerTimeout, (*conn).headLate, input, serve, (*conn).between},
		idle:      {"idle", linger.Idle, idleTimeout, (*conn).close, input, serve, (*conn).between},
		quiet:     {"quiet", linger.Idle, idleTimeout, (*conn).close, input, serve, (*conn).between},
		spread:    {"spread", same, turnTimeout, (*conn).takeTurn, input, serve, stays},
		head:      {"head", linger.Receiving, headerTimeout, (*conn).headLate, input, serve, stays},
		content:   {"content", linger.Receiving, bodyTimeout, (*conn).contentLate, input, serve, stays},
		skipping:  {"skipping", linger.Receiving, bodyTimeout, (*conn).contentLate, input, serve, stays},
		serving:   {"serving", same, ongoing, nil, asIs, nil, stays},
		sending:   {"sending", linger.Sending, writeTimeout, (*conn).sendingLate, hangUps, hold, stays},
		lent:      {"lent", linger.Handling, quickTimeout, (*conn).lookOut, hangUps, hold, stays},
		handling:  {"handling", linger.Handling, handlerTimeout, (*conn).endHandling, hangUps, hold, stays},
		left:      {"left", linger.Idle, ongoing, nil, input, nil, stays},
		returned:  {"returned", same, ongoing, nil, asIs, nil, stays},
		upgraded:  {"upgraded", linger.Upgraded, noTimeout, (*conn).protocolLate, asIs, (*conn).receiveUpgraded, stays},
		clogged:   {"clogged", linger.Upgraded, writeTimeout, (*conn).sendingLate, asIs, (*conn).receiveUpgraded, stays},
		turning:   {"turning", linger.Upgraded, turnTimeout, (*conn).tell, asIs, (*conn).receiveUpgraded, stays},
		told:      {"told", linger.Upgraded, writeTimeout, (*conn).toldLate, asIs, (*conn).receiveUpgraded, stays},
		lingering: {"lingering", linger.Closing, lingerTimeout, (*conn).close, input, (*conn).discard, (*conn).acknowledge},
		parting:   {"parting", linger.Closing, partTimeout, (*conn).awaitAck, input, (*conn).discard, stays},
		acking:    {"acking", linger.Closing, ackTimeout, (*conn).awaitAck, input, drop, stays},
		resting:   {"resting", linger.Idle, ackTimeout, (*conn).awaitAck, asIs, drop, stays},
		hijacked:  {"hijacked", same, ongoing, nil, asIs, drop, stays},
		lost:      {"lost", same, ongoing, nil, asIs, drop, stays},
		ended:     {"ended", same, ongoing, nil, asIs, drop, stays},
		reset:     {"reset", same, ongoing, nil, asIs, drop, stays},
		gone:      {"gone", same, ongoing, nil, asIs, drop, stays},
	}
}

func (s state) String() string { return table[s].name }

// changed is called for every change of state, where tests have set it.
var changed func(from, to state)

// become puts the connection into state s. On the loop.
func (c *conn) become(s state) { c.enter(s, true) }

// pass is become, but a time that runs already for what s waits for runs on.
func (c *conn) pass(s state) { c.enter(s, false) }

func (c *conn) enter(s state, anew bool) {
	if changed != nil {
		changed(c.state, s)
	}
	c.state = s
	r := &table[s]
	c.setActivity(r.activity)
	c.poll(r.polls)
	// That may have failed.
	if c.state == s && r.time != ongoing && (anew || r.time != c.waits) {
		c.loop.setTimeout(c, r.time)
	}
}

// over reports whether the loop has nothing more to do with the connection but to close its descriptor.
func (c *conn) over() bool { return c.state >= hijacked }

// setActivity notes what the connection is doing, for the Report.
func (c *conn) setActivity(a linger.Activity) {
	if a != same && c.activity != a {
		c.activity = a
		c.loop.run.table.SetActivity(c.sock.FD, a)
	}
}

// polls is what a connection's loop is told of by the kernel. Input is left there while output waits or a handler has the
// connection, since a loop closes when it reads a FIN, and a half-closed client is to have its answer.
type polls uint8

const (
	input   polls = iota // input, reset and hang-up
	hangUps              // reset and hang-up, which cannot be switched off
	asIs                 // what it was
)

// poll makes the loop poll as p says.
func (c *conn) poll(p polls) {
	if p == asIs {
		return
	}
	if err := c.sock.Want(p == input); err != nil {
		c.loop.log.Error("connection is aborted, as what is polled for cannot be changed", "conn", c.id, "error", err)
		c.abort()
	}
}
