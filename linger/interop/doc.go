// Package interop holds tests of linger.Listener against the servers that people have: net/http with and without TLS, HTTP/1.1
// and HTTP/2, WebSockets, gRPC and fasthttp. It is a module of its own, so that what these tests need is not what rstserver
// needs. The module in its directory servers tries many more, and needs more.
package interop
