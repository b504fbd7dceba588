//go:build linux

package poller

import (
	"net/netip"

	"rstserver/internal/tcpsock"
)

// RemoteAddr is the client's address.
func (r *Request) RemoteAddr() netip.AddrPort { return r.conn.describe().Remote }

// LocalAddr is the address that the client connected to. It asks the kernel each time (getsockname(2)).
func (r *Request) LocalAddr() (netip.AddrPort, error) { return tcpsock.LocalAddr(r.conn.sock.FD) }
