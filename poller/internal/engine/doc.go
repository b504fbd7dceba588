// Package engine is the event loop below package poller. A [Loop] accepts connections from a listening socket that several loops share (a
// [Port]), reads from them, runs tasks that are posted to it, and closes them. It writes nothing and keeps nothing: what a connection
// is, its [Session] knows.
//
// A Loop is one goroutine and one epoll (epoll(7)). It polls the same listening socket as the other loops do, so that nothing is handed over
// between them. The kernel reports what is there for as long as it is (level-triggered), and [Conn.Want] says whether it is read.
package engine
