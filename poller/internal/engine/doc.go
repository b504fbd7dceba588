// Package engine is the event loop below package poller, and the only one that knows gnet. A [Loop] accepts connections from a
// listening socket that several loops share (a [Port]), reads from them, runs tasks that are posted to it, and closes them. It
// writes nothing and keeps nothing: what a connection is, its [Session] knows.
//
// # How gnet is used
//
// A Loop is one gnet engine with one event loop, and polls the same listening socket as the other loops do, so that nothing
// is handed over between them: in gnet's usual mode an acceptor queues sockets for its loops, and what is in a queue when the
// engine ends is never closed. gnet binds the sockets that it polls itself, so each engine is started on a placeholder; the
// shared socket is put under the placeholder's number (dup3(2)) before a connection can come, and taken away from it in the
// same way. What is polled for on a connection is changed in the engine's own epoll. What all of that relies on in gnet
// v2.10.0 is listed, and tested, in contract_linux_test.go.
//
// gnet's write buffer is not used: it has no bound, and nobody is told when it is empty.
//
// # What is the process's
//
// A gnet engine ends when its accept fails, and its connections with it. Too few descriptors are no reason for that, so
// importing this package keeps every gnet engine of the process from ending so (see accept_linux.go). What gnet logs goes
// nowhere, save the error with which an engine ends, which [Loop.Run] returns. While an engine starts, its logger is gnet's
// default, so that another engine of the process that has none of its own and starts in that very moment logs there for good.
package engine
