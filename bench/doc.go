// Package bench measures how a server lets go of its port. It meets every server as a process at the other end of a
// socket: a [Fleet] of clients, of which each does what its [Kind] says, sees how each connection ends, and [FreeAt] finds out
// when the port can be bound again. The peers to compare with are here too: the floor, which is the least time that bare
// system calls take on the same machine, and net/http.
//
// This is the core of the benchmark, driven by `make bench`; a command around it is still to come.
package bench
