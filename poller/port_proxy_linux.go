//go:build linux

package poller

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"

	proxyproto "github.com/pires/go-proxyproto"
)

// The PROXY protocol, versions 1 and 2 (https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt): what a proxy sends before all else,
// TLS included, of the client that it speaks for.

const (
	maxProxyV1 = 107 // bytes, with CRLF; section 2.1
	proxyFixed = 16  // bytes of a header of version 2, before addresses; section 2.2
	// maxProxyV2 bounds a header of version 2: addresses, and what the proxy adds.
	maxProxyV2 = proxyFixed + 4<<10
)

var (
	proxyV1 = []byte("PROXY ")
	proxyV2 = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

var errNoProxyHeader = errors.New("poller: a trusted proxy began without a PROXY header (v1 or v2)")

// proxyHeader returns the length of the header that data begins with, 0 if it has not come whole, and the client that it names, which is
// not valid where it names none (LOCAL, UNKNOWN).
func proxyHeader(data []byte) (n int, client netip.AddrPort, err error) {
	switch {
	case bytes.HasPrefix(data, proxyV2):
		if len(data) < proxyFixed {
			return 0, client, nil
		}
		n = proxyFixed + int(binary.BigEndian.Uint16(data[14:]))
		if n > maxProxyV2 {
			return 0, client, errors.New("poller: the PROXY header is too long")
		}
	case bytes.HasPrefix(data, proxyV1):
		end := bytes.Index(data[:min(len(data), maxProxyV1)], []byte("\r\n"))
		if end < 0 {
			if len(data) >= maxProxyV1 {
				return 0, client, errors.New("poller: the PROXY header does not end")
			}
			return 0, client, nil
		}
		n = end + 2
	case bytes.HasPrefix(proxyV2, data), bytes.HasPrefix(proxyV1, data):
		return 0, client, nil
	default:
		return 0, client, errNoProxyHeader
	}
	if len(data) < n {
		return 0, client, nil
	}
	h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(data[:n])))
	if err != nil {
		return 0, client, err
	}
	if from, ok := h.SourceAddr.(*net.TCPAddr); ok && h.Command.IsProxy() && from != nil {
		client = from.AddrPort()
		client = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
	}
	return n, client, nil
}

// trusts reports whether connections from there begin with a PROXY header.
func (c *config) trusts(from netip.Addr) bool {
	from = from.Unmap().WithZone("")
	return c.proxyProtocol && slices.ContainsFunc(c.trustedProxies, func(n netip.Prefix) bool { return n.Contains(from) })
}

// receiveProxy reads the header that comes first.
func (c *conn) receiveProxy(data []byte) {
	c.in = append(c.in, data...)
	n, client, err := proxyHeader(c.in)
	switch {
	case err != nil:
		c.loop.log.Warn("connection is reset: its PROXY header is missing or malformed", "conn", c.id, "proxy", c.sock.RemoteAddr(), "error", err)
		c.turnAway(RefusedProxy)
		return
	case n == 0:
		return
	}
	rest := c.in[n:]
	c.in = nil
	if client.IsValid() {
		c.sock.SetRemoteAddr(client)
	}
	c.announce()
	if !c.enterClient() {
		return
	}
	c.welcome()
	switch {
	case c.over():
	case len(rest) > 0:
		table[c.state].received(c, rest)
	case c.loop.ending && c.drain():
		c.reset()
	}
}

// announce calls the hook for a new connection, which for one behind a proxy is not new before its client is known.
func (c *conn) announce() {
	c.hidden = false
	c.loop.run.call(c.loop.run.server.ConnOpened, c.describe)
}

// leaveProxied is the beginning of a drain for a connection whose header has not come.
func (c *conn) leaveProxied() bool {
	if c.silent() {
		c.reset()
	}
	return false
}
