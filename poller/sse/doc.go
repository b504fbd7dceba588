// Package sse holds event streams (text/event-stream, "server-sent events" of the WHATWG's HTML standard, section 9.2) on the event loops of a
// [poller.Server]: an open one has neither goroutine nor buffer. It lets go of them as the server lets go of everything else: by RST at once, or
// told one after the other when and where to come back, and reset at the deadline.
//
//	var news sse.Group
//
//	func serve(w http.ResponseWriter, r *http.Request) { news.Accept(w, r, nil) }
//
//	func publish(text string) { news.Broadcast(context.Background(), sse.Event{Data: text}) }
//
// 10,000 of them that have had ten events take 1.3 KB of the process's anonymous memory each, where those that an ordinary handler writes take 9.9 KB
// on a [poller.Server], and 28 KB on net/http's: go test -count=1 -v -run TestMemory ./poller/sse -streams 10000.
//
// [Accept] is for an http.Handler, and [AcceptOnLoop] for a [poller.LoopHandler]. The handler returns, and nothing of the request is kept.
// [Stream.Send] sends from any goroutine. A [Group] sends one event to many, and can keep the last ones for those who come back.
//
// # Back-pressure
//
// What a client does not take waits in a queue, bounded by Options.MaxQueuedBytes; who takes nothing at all for poller.Server.WriteTimeout is
// reset. Each Options.Heartbeat a comment is sent, which no client shows, so that nobody between the two takes the connection for dead. A
// client's end is noticed at once, be it FIN or RST: Options.OnClose follows. What a client sends behind its request is thrown away.
//
// # Proxies, browsers and versions of HTTP
//
// The answer says Cache-Control: no-cache, no-transform and X-Accel-Buffering: no, so that no cache keeps it, no compressor holds it back, and nginx
// passes each event on as it comes. With HTTP/1.1 it is in chunks and says Connection: close; with HTTP/1.0 it goes on until the
// connection ends. With HTTP/2 it is a stream among others, and costs what the stream of any handler costs: net/http, which has these
// connections, keeps a goroutine for it. A browser opens no more than six connections with HTTP/1.1 to one server, over all its tabs; with HTTP/2
// it has no such bound.
//
// # Letting go
//
// Server.Shutdown ends each stream behind all that was sent on it before: with Options.DrainEvent, a retry field that says when the client is to
// come back, and the end of its chunks. The client's EventSource comes back by itself, with the ID of the last event that it has got. With
// Server.Spread each has a time of its own. Who does not take it is reset at the deadline, which is the end of Shutdown's context, and
// linger.Report counts the events that had not been sent by then. Server.Close resets all. Server.Release leaves them as they are.
//
// A stream that an ordinary handler writes is told of its turn by [rstserver/linger.Turn].
package sse
