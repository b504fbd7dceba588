//go:build linux

package poller

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"

	"rstserver/internal/tcpsock"
)

// RemoteAddr is the client's address.
func (r *Request) RemoteAddr() netip.AddrPort { return r.describe().Remote }

func (r *Request) describe() Conn {
	if r.stream != nil {
		return h2ConnOf(r.stream)
	}
	return r.conn.describe()
}

// TLS is what the handshake has settled, nil on a connection without TLS. It must not be changed.
func (r *Request) TLS() *tls.ConnectionState {
	if r.stream != nil {
		return r.stream.TLS
	}
	return r.conn.tls.connectionState()
}

// LocalAddr is the address that the client connected to. With HTTP/1.1 it asks the kernel each time (getsockname(2)),
// whose refusal is the error.
func (r *Request) LocalAddr() (netip.AddrPort, error) {
	if r.stream != nil {
		return netip.ParseAddrPort(r.stream.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
	}
	return tcpsock.LocalAddr(r.conn.sock.FD)
}
