// Package poller is an HTTP/1.1 server on event loops that lets go of its port at once: [Server.Close] resets every
// connection (RST) on the loop that owns it, so that clients know immediately, no TIME_WAIT is left, and the port can be
// bound again before Close has returned.
//
// A loop is one gnet engine with one event loop. All of them poll the same listening socket, so each accepts for itself
// and nothing is handed over between them. One loop owns a connection from accept to close: its goroutine alone touches
// the connection's state and writes to it. From elsewhere there are two ways in: the [rstserver/linger.Table], through
// which any goroutine may abort any connection, and a task given to the loop, which is never promised to run.
//
// # Backlog of bytes
//
// gnet's own output buffer is not used: it has no bound, and nobody is told when it is empty. What the kernel does not take
// at once waits in the connection, reading from that connection pauses, and one epoll of the server's says when to go on
// (see writeWatcher and turns). So a connection holds at most one batch of answers that its client does not read, and a client
// that has half-closed still gets its answer whole.
//
// # How a connection ends
//
// Ordinary ends are a close: everything written is delivered, then FIN. After a last answer the server half-closes, reads
// and discards what the client still sends, and closes when the client has, or after [LingerTimeout]; closing with unread
// input would reset the connection and could cost the client its answer (RFC 9112, section 9.6). A teardown, a panicking
// handler and a client that does not read are an abort. As the listener is armed (see [rstserver/linger.Arm]), so is
// every connection from birth, and the death of the process is an abort too; ordinary ends disarm first.
package poller
