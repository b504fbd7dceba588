// Package websocket holds WebSockets (RFC 6455) on the event loops of a [poller.Server]: an idle one has neither goroutine nor buffer. It lets go
// of them as the server lets go of everything else: by RST at once, or told one after the other and reset at the deadline.
//
//	var options = websocket.Options{
//		OnMessage: func(c *websocket.Conn, t websocket.Type, data []byte) { c.Write(context.Background(), t, data) },
//	}
//
//	func serve(w http.ResponseWriter, r *http.Request) { websocket.Accept(w, r, &options) }
//
// [Accept] is for an http.Handler, on whatever the server's middleware makes of it, and [AcceptOnLoop] for a [poller.LoopHandler]. The
// functions of [Options] are then called with messages, and [Conn.Write] sends from any goroutine. A [Group] sends one message to many.
//
// # Back-pressure
//
// Messages of a connection are handed to a worker, one after the other, and nothing more is read from the client until the worker is done. So a
// client that sends faster than it is served is slowed down. What a client does not take waits in a queue, bounded by
// Options.MaxQueuedBytes; who takes nothing at all for poller.Server.WriteTimeout is reset.
//
// # Strictness
//
// What the RFC demands of a client is demanded: a frame that is not masked, has a reserved bit or opcode, or a length that is not in its shortest
// form, a control frame of more than 125 bytes or in fragments, and a message within another end the connection with 1002, as soon as the
// byte has come that is wrong; text that is not UTF-8 ends it with 1007, likewise; a message above Options.ReadLimit with 1009, by what its frame
// announces. In the handshake fields can be lists on several lines; HTTP/1.0, content, and a key that is not 16 bytes are refused, and other versions
// than 13 with 426. Pages of other sites are refused unless Options.Origins lets them in.
//
// # Letting go
//
// Server.Shutdown sends each connection a close frame, 1001 or Options.DrainStatus, behind the messages that were written before, and, where a worker
// is at a message, behind that. With Server.Spread each has a time of its own. Who answers ends in order. Who does not is reset at the deadline,
// which is the end of Shutdown's context, and linger.Report counts the messages that had not been sent by then. Server.Close resets all, without a
// close frame. Server.Release leaves them as they are.
//
// # Extensions
//
// permessage-deflate (RFC 7692) is agreed on where Options.Compression asks for it: each message for itself, so that no memory is kept between
// two, or with a context. What a message becomes is bounded by Options.ReadLimit before memory is taken for it.
package websocket
