// Package interop holds tests of package poller against the world around it: what net/http and its relatives do on top of an
// http.ResponseWriter, routers, WebSocket libraries, and net/http's own server, beside which poller's answers are laid. It is
// a module of its own, so that what these tests need is not what rstserver needs.
package interop
