// Package poller is an HTTP server on event loops that lets go of its port at once: [Server.Close] resets every
// connection (RST) on the loop that owns it, so that clients know immediately, no TIME_WAIT is left, and the port can be
// bound again before Close has returned. [Server.Shutdown] lets them finish first, and [Server.Release] gives up the port and
// keeps them.
//
// All event loops poll the same listening socket and take turns at it, so each accepts for itself and nothing is handed over
// between them; what is below them is package internal/engine. One loop owns a connection from accept to close:
// its goroutine alone touches the connection's state and closes its descriptor. From elsewhere there are two ways in: the
// [rstserver/linger.Table], through which any goroutine may abort any connection, and a task given to the loop, which is
// never promised to run.
//
// It is for Linux. Elsewhere programs that use it compile, and Serve returns an error that wraps [errors.ErrUnsupported].
//
// # Handlers
//
// A [LoopHandler] answers on the loop: the whole content of a request comes with it, and the loop writes the answer, those of
// pipelined requests together. An http.Handler ([Server.Handler]) runs on a goroutine of a pool. For its time the connection
// is lent to it (see exchange): the loop pauses reading and writes nothing, and the handler reads the content and writes the
// answer by system calls of its own, which never block; where they would, it waits for the watcher, an epoll of the server's.
// So a slow handler costs a goroutine and nothing else, a slow client slows its own handler down, and an idle connection has
// neither goroutine nor buffer.
//
// # TLS
//
// [Server.ServeTLS] serves HTTPS, TLS 1.3 and 1.2, with crypto/tls. A ClientHello is collected on the loop, so that a client that says
// nothing costs what any connection costs. The handshake then runs on a worker of a pool of its own, of which at most Server.MaxHandshakes wait
// for their clients and a few for each processor compute. From then on records are decrypted from what the loop, or the handler, has
// read, and encrypted, in full size, into what it sends: no goroutine, and no buffer of the server's, though crypto/tls keeps its own.
//
// Ordinary ends send close_notify before FIN (RFC 8446, section 6.1). Who has sent it first has a second for its own FIN, before which the
// server sends none, so that TIME_WAIT is the client's. An abort sends RST and no alert before it, after which some clients would
// take an answer that was cut for the whole. FIN without close_notify ends no content: reading it fails with [io.ErrUnexpectedEOF]. A
// client that speaks HTTP without TLS gets a 400 that says so.
//
// # HTTP/2
//
// A client that chooses h2 in its TLS handshake (ALPN), or begins with the preface of HTTP/2 without TLS, is served by net/http's own HTTP/2, with the
// Server's handlers; Server.Protocols turns that off. Its loop gives the connection up, as for a hijack, and keeps it among those that Close
// resets. LoopHandlers get every request as it would stand in HTTP/1.1, read by the same parser, but on a goroutine of net/http's.
//
// Close resets the connections without a word. Shutdown sends GOAWAY when the port has been given up and those who have only just come have had
// Server.Queue; streams that are under way come to their ends; a connection without any is reset, at once or within Server.Spread, and one
// whose last stream has ended when the client has acknowledged all of it and has not closed it within half a second. Release keeps them, and
// [Server.SetKeepAlivesEnabled] has them all go away. The Report counts them under [linger.HTTP2], and their streams.
//
// What holds for HTTP/1.1 holds here: MaxConns, MaxHandlers (for both together), MaxBodyBytes, MaxFields, MaxHeaderBytes, StrictTargets,
// HandlerTimeout, IdleTimeout, HandshakeTimeout, BodyTimeout, WriteTimeout (of a stream, and of the connection), the hooks, ConnContext, and
// AfterAnswer. What is different:
//
//   - An answer that breaks off, or a handler that panics, ends its stream with RST_STREAM; the connection lives on.
//   - A handler that calls Close has nothing more sent to its client: AfterAnswer is the way.
//   - The cause of a context (context.Cause) is context.Canceled, but for HandlerTimeout.
//   - HeaderTimeout bounds the time up to the preface. There is no Hijack, and no AllowHalfClose.
//   - The window of a connection and of each stream is net/http's: 1 MiB of content that a handler has not read can wait for each.
//
// A connection costs two goroutines and some 50 KB while it is idle, where one of HTTP/1.1 costs a few hundred bytes. A browser has one where it
// would have six. For a hundred thousand clients that hold one connection each, such as those that wait for events, offer HTTP/1.1 alone.
//
// # Other protocols
//
// A handler of either kind can have another protocol take its connection, which stays on the loop (package internal/onloop; see upgrade): as
// the packages websocket and sse do, by 101 or by content that goes on. Its output is written by whoever sends it, and what the kernel does not
// take is queued. Of an HTTP/2 connection it can have a stream, where the goroutine that net/http has for that takes the loop's place (h2Upgrade).
//
// # Files
//
// The name of a file begins with the room that it stands in, and so says who may touch what is in it:
//
//	conn_*      a connection: the goroutine of its loop. conn_state says what it can be doing, and what follows from that
//	exchange_*  a request at the http.Handler: its worker, and whoever the handler shares it with, under exchange.mu
//	memory_*    what connections have buffered, and who is reset for it: any goroutine; loops weigh their own
//	loop_*      an event loop: its goroutine, to which others give tasks
//	port_*      the listening socket, and who is let in: any goroutine, under locks of their own
//	h2_*        HTTP/2: any goroutine, under h2.mu; streams are on goroutines of net/http's
//	tls_*       TLS between the descriptor and HTTP: whoever has the connection; its handshake is an exchange
//	upgrade_*   a connection that another protocol has: the goroutine of its loop; what is sent, any goroutine, under upgrade.mu
//	server_*    the life cycle: any goroutine, under Server.mu, and that of the teardown
//	handler     what a LoopHandler gets to see
//
// Below them are internal/engine, which has the epolls, and internal/watch, which says when a connection can be read or written. The module's
// internal/processors keeps loops apart during a teardown.
//
// # Backlog of bytes
//
// What the kernel does not take at once of a loop's answers waits in the connection, reading from that connection pauses, and
// the watcher says when to go on (see turns). So a connection holds at most one batch of answers that its client does not
// read, and a client that has half-closed still gets its answer whole.
//
// # Memory
//
// What all connections have buffered is counted, in bytes of capacity, and bounded: see Server.MaxBufferedBytes. A connection has one weight
// (conn.weight in memory_account), which is the sum of what it keeps from one turn of its loop to the next. After each turn the loop compares
// it with what was charged before; so a new kind of buffer is one more term of that sum, and nothing is to be taken off when it
// goes. What is held where no loop looks, as by a handler that waits for its client, is charged and taken off by hand: exchange.hold,
// memory.add. A request that comes whole and whose answer the kernel takes weighs nothing, and costs no access to shared memory.
//
// From three quarters of the bound on, requests with more than 64 KiB that are still to come get 503. Beyond it, connections are reset
// (memory_room), those first that would take longest to move as much as they hold, by the bytes that the kernel has received from the client, and the
// client has acknowledged, in a second. So an upload that stands still goes before one that moves, and both before a small request.
//
// # Seen and steered
//
// What a loop does it counts in memory of its own (loop_counts), to which workers that answer for its connections add, and nobody else; so a
// request costs three additions. [Server.Stats] adds up without asking a loop, so that it answers whatever these do. [Server.Conns],
// AbortConns and CloseConns ask each loop, for some hundred connections at a time. Packages poller/metrics and poller/admin make HTTP of it.
//
// # How a connection ends
//
// Ordinary ends are a close: everything written is delivered, then FIN. After a last answer the server half-closes, reads and
// discards what the client still sends, and closes when the client has, or after [LingerTimeout]; closing with unread input
// would reset the connection and could cost the client its answer (RFC 9112, section 9.6). While the server drains, it leaves
// closing to the client, so that TIME_WAIT is the client's, and resets a client that does not, once that has acknowledged
// everything. A teardown, a panicking handler, an answer that breaks off and a client that does not read are an abort, never
// a FIN: nobody must take the piece of an answer for the whole. As the listener is armed (see [rstserver/linger.Arm]), so is
// every connection from birth, and the death of the process is an abort too; ordinary ends disarm first.
//
// A hijacked connection moves to a descriptor of Go's own and into a set of its kind ([rstserver/linger.Conns]), so that a
// teardown finds it. That is its one descriptor from the moment on that Hijack returns. If the handler panics, it is reset; if
// everybody forgets it, it is closed when the garbage collector has found that, as it is with net/http.
//
// # The listening socket
//
// What is set on a listening socket holds for everybody who has it too, and for the connections that they accept. So the
// server sets SO_LINGER there, on purpose, and SO_REUSEADDR, and leaves both when it lets go, since a successor that holds the
// socket too relies on them; what else a connection needs is set when it is accepted, and
// what only the server wants is taken back from a connection that is hijacked. A server with NoArm that shares an armed socket
// disarms each connection that it accepts. A File of the listener, or of a connection,
// that the process has not closed keeps the port, as does a child that has inherited it: the Report has it under Unowned with who
// holds it, and the teardown is not complete. Where others hold the listener by intent, Server.Shared says so.
package poller
