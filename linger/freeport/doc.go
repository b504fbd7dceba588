// Package freeport frees a TCP port from outside: it says what is on the port, by process and state, destroys what a Plan
// selects of it, asks the process that listens to stop if it is told to, and finds out with a real bind whether the port is
// free then.
//
// Two things hold a port. Connections, TIME_WAIT and orphans are destroyed by their cookies, which takes CAP_NET_ADMIN and
// hits no other socket; see [rstserver/linger/sockdiag.Destroy]. A listening socket keeps its port through its descriptor even
// when it is destroyed, so it never is: only the process that has it can give it up. That process is named, and with
// Plan.StopOwner it is sent SIGTERM, or what Plan.Signal names.
//
// All of it concerns the network namespace of the calling thread. Any goroutine may call it, and waits for the kernel meanwhile: with
// many sockets on the port for some seconds, with StopOwner for Plan.Wait as well.
package freeport
