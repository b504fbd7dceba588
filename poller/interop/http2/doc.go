// Package http2 has HTTP/2 clients of others talk to poller, plain and over TLS: grpc-go, Node, nghttp, h2load, Chromium and h2spec.
//
// The tests that net/http's own HTTP/2 server has cannot be run on another: those of golang.org/x/net/http2 talk to it by a pipe within a
// synctest bubble, in which no socket can be waited for, and those of net/http are of its package, which poller imports. It is that server that
// poller has serve, so what its tests show of frames is shown of it; what is poller's own, the connection below and the handler above, is what
// h2spec is compared for, case by case, and what the tests of poller are about.
package http2
