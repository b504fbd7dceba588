// Package linger ends TCP connections with RST and proves from the kernel's own tables that nothing of them is left.
//
// Ending a connection with RST (here: to abort it) has a price, and it is the peer's to pay: bytes that were written but
// not yet acknowledged are thrown away, and a peer that had not read its answer to the end finds ECONNRESET in place of it
// (RFC 9112, section 9.6). The RST is sent once and never repeated, so a peer that the network hides at that moment learns
// of the end only when it next writes. What it buys is that both sides are told at once, that no TIME_WAIT is left, and
// that the local port can be bound again immediately.
//
// [Listener] does that for any Go server: it is a net.Listener to hand to http.Serve, grpc.Server.Serve or fasthttp, and its
// Abort, Drain and Release let go of the port and of every connection, whatever the server calls it; [AbortAll] does it for many of
// them at once. The rest is for servers
// that are written for it, and for those who do it themselves.
//
// Three calls work on one descriptor: [Arm] makes its last close(2) an abort, [Disarm] makes it an ordinary close again, and
// [Abort] resets the connection in place while the descriptor stays open, so that nobody else in the process can be
// handed its number. [Table] keeps track of the descriptors that are alive, so that any goroutine can abort all of them
// without ever touching a number that was closed and given to somebody else; [Conns] does the same for connections that
// other code owns and closes when it likes. [Verify] asks the kernel what is left on the port, and [Report] says what a
// teardown did. [Residue] ends what ordinary closes have left there.
//
// What a function or type says of goroutines holds. Where nothing is said, any goroutine may call it: plain values, such as a Report, a
// Left or a Tally, have no lock and are their holder's alone. Numbers of bytes and sockets are plain integers, times are time.Durations.
//
// All of this is Linux's. Elsewhere programs that use the package compile, for those who develop there: a Listener passes everything
// through, its Drain closes the listener and calls the server's stop, its Abort closes it and returns an error that wraps
// [errors.ErrUnsupported], and so do the rest.
//
// Never let a FIN go out before the RST: the reading peer would see a clean end of the stream, and a truncated answer
// would look whole.
package linger
