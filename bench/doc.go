// Package bench measures how a server lets go of its port. It meets every server, this project's own too, as processes at the other end
// of a socket, and knows nothing of what is in them.
//
// A [Server] is a program and the way that it is told to end. A [Comparison] starts each of several servers in turn, has processes of
// clients open connections, of which each does what its kind says (package kinds), sends the signal, and sees what comes of that: when
// a connect is refused and a bind succeeds, how each client is told, what the kernel has left on the port, what it cost. That fills a
// report.Document, which package report writes as text, Markdown, a page or JSON.
//
// A [Restarts] does something else: it has clients work that repeat nothing, restarts each server several times in its [Way], and sees what
// that costs them. It fills the same document.
//
// A [Roster] is the servers to compare with: rstserver's own ways, those that bench/peers installs, and those that need nothing else,
// the floor and net/http. These, and the clients, are the measuring program itself, started again, so its main function begins with a
// call of [Helper].
//
// This package puts a run together. What touches the machine is in rooms of its own, of which servers and clients know nothing of each
// other:
//
//	internal/inside   the servers that need no other program; imports none of these
//	internal/fleet    the clients, in processes of their own; touches their ends of connections. Those of restarts are the load that the
//	                  handover's tests have too, rstserver/internal/restartload, in this process
//	internal/process  the processes of a server; touches what it has started, and /proc
//	internal/wire     the segments that a server sends; touches a socket of its own that sees them
//	internal/kernel   the port and the machine, seen from outside; touches what a server has left
//	internal/child    starts programs that end with this one
//
// What measures (Comparison, Restarts, Broadcast) is used by one goroutine, as it has the machine for itself; any goroutine may call the rest.
package bench
