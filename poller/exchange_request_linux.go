//go:build linux

package poller

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"strings"
	"unsafe"

	"rstserver/httpcodec"
	"rstserver/internal/tcpsock"
)

// newRequest makes the http.Request of a parsed head. It has what net/http's server gives to a handler.
func (x *exchange) newRequest(head *httpcodec.Request) (*http.Request, error) {
	u, err := parseTarget(head)
	if err != nil {
		return nil, &httpcodec.Error{Status: http.StatusBadRequest, Reason: "malformed request-target"}
	}
	req := http.Request{
		Method:     text(head.Method),
		URL:        u,
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: head.MinorVersion,
		Header:     make(http.Header, len(head.Fields)),
		Body:       http.NoBody,
		Host:       text(head.Host),
		RemoteAddr: x.peer.Remote.String(),
		RequestURI: text(head.RequestTarget),
		TLS:        x.connectionState(),
		Close:      !head.KeepAlive,
	}
	if u.Host != "" {
		req.Host = u.Host // in which net/url decodes what is no ASCII
	}
	if head.MinorVersion == 0 {
		req.Proto = "HTTP/1.0"
	}
	addFields(req.Header, head.Fields)
	if head.Chunked {
		req.ContentLength = -1
		req.TransferEncoding = []string{"chunked"}
		req.Header.Del("Transfer-Encoding")
		req.Trailer = announced(req.Header)
	}
	if head.ContentLength > 0 {
		req.ContentLength = head.ContentLength
	}
	r := req.WithContext((*requestContext)(x))
	if head.HasBody() {
		x.body.trailer = &r.Trailer
		r.Body = &x.body
	}
	return r, nil
}

// parseTarget reads the request-target as net/http does: that of CONNECT is an authority.
func parseTarget(head *httpcodec.Request) (*url.URL, error) {
	target := text(head.RequestTarget)
	if head.Form != httpcodec.AuthorityForm {
		return url.ParseRequestURI(target)
	}
	u, err := url.ParseRequestURI("http://" + target)
	if err == nil {
		u.Scheme = ""
	}
	return u, err
}

// addFields enters field lines under their canonical names. As in net/http, Host is not among them.
func addFields(h http.Header, fields []httpcodec.Field) {
	values := make([]string, len(fields)) // one piece for all, as nearly every name has one value
	for i, f := range fields {
		name := textproto.CanonicalMIMEHeaderKey(text(f.Name))
		if name == "Host" {
			continue
		}
		if before, ok := h[name]; ok {
			h[name] = append(before, text(f.Value))
			continue
		}
		values[i] = text(f.Value)
		h[name] = values[i : i+1 : i+1]
	}
}

// announced takes the Trailer field out of a header and returns a trailer section with the names that it lists.
func announced(h http.Header) http.Header {
	var trailer http.Header
	for _, list := range h["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			name = textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name))
			switch name {
			case "", "Transfer-Encoding", "Trailer", "Content-Length":
				continue // they do not belong there (RFC 9110, section 6.5.1)
			}
			if trailer == nil {
				trailer = make(http.Header)
			}
			trailer[name] = nil
		}
	}
	delete(h, "Trailer")
	return trailer
}

// text is b as a string that shares its memory: the head of an exchange, which nobody changes.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// site is what the requests of a connection that go to Handler have in common. Immutable. Connections share it where they can.
type site struct {
	ctx   context.Context
	local netip.AddrPort
}

// findSite fills in x.site for the first request of a connection.
func (x *exchange) findSite() {
	r := x.run
	if x.site != nil {
		return
	}
	local := r.listener.addr
	if local.Addr().IsUnspecified() {
		x.mu.Lock()
		if x.isMineLocked() {
			if addr, err := tcpsock.LocalAddr(x.fd); err == nil {
				local = addr
			}
		}
		x.mu.Unlock()
	}
	if x.site = r.site.Load(); x.site == nil || x.site.local != local {
		addr := net.TCPAddrFromAddrPort(local)
		x.site = &site{context.WithValue(r.ctx, http.LocalAddrContextKey, net.Addr(addr)), local}
		r.site.Store(x.site)
	}
	if r.server.ConnContext != nil {
		ctx := r.server.ConnContext(x.site.ctx, x.shown(local))
		if ctx == nil {
			panic("poller: Server.ConnContext returned nil")
		}
		x.site = &site{ctx: ctx}
	}
}

// shown is what ConnContext gets to see of the connection.
func (x *exchange) shown(local netip.AddrPort) net.Conn {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.tls != nil {
		return x.tls.conn
	}
	return lentConn{net.TCPAddrFromAddrPort(local), net.TCPAddrFromAddrPort(x.peer.Remote)}
}

// connectionState is that of TLS, nil without.
func (x *exchange) connectionState() *tls.ConnectionState {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.tls.connectionState()
}
