// Package bench measures how a server lets go of its port. It meets every server, this project's own too, as processes at the
// other end of a socket, and knows nothing of what is in them.
//
// A [Server] is a program and the way that it is told to end. A [Run] starts it, has processes of clients open connections, of
// which each does what its [Kind] says (a [Fleet], in a process that calls [ServeClients]), sends the signal, and sees what comes
// of that: when a connect is refused and a bind succeeds, how each client is told, what the kernel has left on the port, what it
// cost. A [Comparison] does so with several servers in turn and fills in a report.Document, which package report makes readable.
//
// The servers to compare with are here as far as they need nothing else: the floor, which is the least time that bare system calls
// take on the same machine, and net/http. A [Roster] has these, rstserver's own ways, and those that bench/peers installs.
package bench
