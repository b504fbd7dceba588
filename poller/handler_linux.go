//go:build linux

package poller

import (
	"crypto/tls"
	"net/netip"

	"rstserver/internal/tcpsock"
)

// RemoteAddr is the client's address.
func (r *Request) RemoteAddr() netip.AddrPort { return r.conn.describe().Remote }

// TLS is what the handshake has settled, nil on a connection without TLS. It must not be changed.
func (r *Request) TLS() *tls.ConnectionState { return r.conn.tls.connectionState() }

// LocalAddr is the address that the client connected to. It asks the kernel each time (getsockname(2)).
func (r *Request) LocalAddr() (netip.AddrPort, error) { return tcpsock.LocalAddr(r.conn.sock.FD) }
