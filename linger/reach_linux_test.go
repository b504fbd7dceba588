//go:build linux

package linger

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"rstserver/internal/lingertest"
)

// The ways in which people's listeners and connections are around others.
type (
	listenerField struct { // as go-proxyproto's
		hiddenListener
		Listener net.Listener
	}
	listenerInside struct{ net.Listener }    // as Caddy's
	sharedInside   struct{ *listenerInside } // likewise
	hiddenListener struct{ netListener }     // which nobody finds

	connNet struct { // as crypto/tls's
		hiddenConn
	}
	connRaw struct { // as go-proxyproto's
		hiddenConn
	}
	connField struct {
		hiddenConn
		Conn net.Conn
	}
	connInside struct{ net.Conn }
	connPeer   struct{ net.Conn } // whose addresses take their time
	hiddenConn struct{ netConn }

	netConn     = net.Conn
	netListener = net.Listener
)

func (c connNet) NetConn() net.Conn { return c.netConn }
func (c connRaw) Raw() net.Conn     { return c.netConn }

func (connPeer) RemoteAddr() net.Addr { select {} }

// accepting is a listener that returns other connections than the one below.
type accepting struct {
	*net.TCPListener
	around func(net.Conn) net.Conn
}

func (a *accepting) Accept() (net.Conn, error) {
	c, err := a.TCPListener.Accept()
	if err != nil {
		return nil, err
	}
	return a.around(c), nil
}

// Whatever is around a socket, it is reached.
func TestWrapReaches(t *testing.T) {
	plain := func(c net.Conn) net.Conn { return c }
	for _, tt := range []struct {
		name     string
		listener func(net.Listener) net.Listener
		conn     func(net.Conn) net.Conn
	}{
		{"a field Listener", func(l net.Listener) net.Listener { return &listenerField{hiddenListener{l}, l} }, plain},
		{"an embedded Listener", func(l net.Listener) net.Listener { return listenerInside{l} }, plain},
		{"one that is embedded deeper", func(l net.Listener) net.Listener { return &sharedInside{&listenerInside{l}} }, plain},
		{"one in another", func(l net.Listener) net.Listener { return listenerInside{&listenerField{hiddenListener{l}, l}} }, plain},
		{"NetConn", nil, func(c net.Conn) net.Conn { return connNet{hiddenConn{c}} }},
		{"Raw", nil, func(c net.Conn) net.Conn { return &connRaw{hiddenConn{c}} }},
		{"a field Conn", nil, func(c net.Conn) net.Conn { return &connField{hiddenConn{c}, c} }},
		{"an embedded Conn", nil, func(c net.Conn) net.Conn { return connInside{connNet{hiddenConn{c}}} }},
		{"addresses that take their time", nil, func(c net.Conn) net.Conn { return connPeer{c} }},
	} {
		for _, armed := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				s := listen(t, families[0])
				var below net.Listener = &accepting{s.TCPListener, tt.conn}
				if tt.listener != nil {
					below = tt.listener(s.TCPListener)
				}
				ln, err := ListenConfig{Armed: armed}.Wrap(below)
				lingertest.Must(t, err)
				var clients [3]*net.TCPConn
				var conns [3]net.Conn
				for i := range conns {
					clients[i] = s.dial(t)
					conns[i], err = ln.Accept()
					lingertest.Must(t, err)
				}
				closed, client, other := clients[0], clients[1], clients[2]
				say(t, conns[0], "bye")
				lingertest.Must(t, conns[0].Close())
				wantWhole(t, closed, "bye")
				lingertest.Must(t, closed.Close()) // by RST, so that it leaves nothing
				if info, ok := ln.infoOf(client); !ok || !info.Local.IsValid() {
					t.Errorf("the client is not among %v", info)
				}
				rep, err := ln.Abort()
				wantAborted(t, rep, err, 2)
				wantReset(t, client)
				wantReset(t, other)
				_, _ = conns[1].Close(), conns[2].Close()
				lingertest.Must(t, CheckFree(s.addr))
			})
		}
	}
}

// infoOf looks for a client among the connections.
func (l *Listener) infoOf(client net.Conn) (ConnInfo, bool) {
	for info := range l.All() {
		if info.Remote == client.LocalAddr().(*net.TCPAddr).AddrPort() {
			return info, true
		}
	}
	return ConnInfo{Remote: netip.AddrPort{}}, false
}

func TestReachNothing(t *testing.T) {
	s := listen(t, families[0])
	l, err := Wrap(s.TCPListener)
	lingertest.Must(t, err)
	itself := &struct {
		hiddenListener
		Listener net.Listener
	}{}
	itself.Listener = itself
	for _, tt := range []struct {
		ln   net.Listener
		want string // in the error
	}{
		{nil, "cannot be reached"},
		{hiddenListener{s.TCPListener}, "hiddenListener cannot be reached"},
		{&sharedInside{}, "cannot be reached"},
		{itself, "around itself"},
		{listenerInside{l}, "already"},
	} {
		if _, err := Wrap(tt.ln); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Wrap of a %T = %v, want an error with %q", tt.ln, err, tt.want)
		}
	}
	_, err = l.Abort()
	lingertest.Must(t, err)
}

// A connection that cannot be reached is closed, and the server goes on to the next.
func TestAcceptUnreachable(t *testing.T) {
	s := listen(t, families[0])
	hide := true
	ln, err := Wrap(&accepting{s.TCPListener, func(c net.Conn) net.Conn {
		if hide {
			hide = false
			return hiddenConn{c}
		}
		return c
	}})
	lingertest.Must(t, err)
	unreachable := s.dial(t)
	var temporary net.Error
	if _, err := ln.Accept(); err == nil || !strings.Contains(err.Error(), "hiddenConn") || !errors.As(err, &temporary) || temporary.Timeout() {
		t.Errorf("Accept = %v, want a temporary error that names the type", err)
	}
	wantWhole(t, unreachable, "")
	if n := ln.Len(); n != 0 {
		t.Errorf("Len = %d, want 0", n)
	}

	hide = true
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })}
	srv.ErrorLog = log.New(io.Discard, "", 0)
	serving := make(chan error, 1)
	go func() { serving <- srv.Serve(ln) }()
	unreachable = s.dial(t)
	wantWhole(t, unreachable, "")
	client := s.dial(t)
	say(t, client, request)
	lingertest.Must(t, client.SetDeadline(time.Now().Add(lingertest.Patience)))
	if !answered(client) {
		t.Error("the server does not go on")
	}
	_, err = ln.Abort()
	lingertest.Must(t, err)
	<-serving
}
