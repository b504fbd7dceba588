//go:build linux

package servers

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"rstserver/linger"
	"rstserver/linger/interop/internal/fleet"
)

// caddyConfig has Caddy serve by the two modules below, and keep nothing in files.
const caddyConfig = `{
	"admin": {"disabled": true, "config": {"persist": false}},
	"logging": {"logs": {"default": {"level": "PANIC"}}},
	"apps": {
		"tls": {"disable_storage_check": true, "disable_storage_clean": true},
		"http": {"servers": {"fleet": {
			"listen": ["tcp/127.0.0.1:0"],
			"automatic_https": {"disable": true},
			"listener_wrappers": [{"wrapper": "linger"}],
			"routes": [{"handle": [{"handler": "fleet"}]}]
		}}}
	}
}`

func init() {
	caddy.RegisterModule(caddyListener{})
	caddy.RegisterModule(caddyHandler{})
}

// caddyListener is the way to put a Listener into Caddy: a module that wraps those that Caddy has made.
type caddyListener struct{}

func (caddyListener) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.listeners.linger", New: func() caddy.Module { return new(caddyListener) }}
}

// wrappedByCaddy gets what a caddyListener has made, or why it could not.
var wrappedByCaddy = make(chan *endingListener, 1)

func (caddyListener) WrapListener(below net.Listener) net.Listener {
	l := &endingListener{ended: make(chan struct{})}
	l.Listener, l.err = linger.Wrap(below)
	wrappedByCaddy <- l
	if l.err != nil {
		return below
	}
	return l
}

// endingListener says when the end of the Listener has reached its server, as Caddy does not say when a Serve has returned.
type endingListener struct {
	*linger.Listener
	err   error
	once  sync.Once
	ended chan struct{}
}

func (l *endingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		l.once.Do(func() { close(l.ended) })
	}
	return c, err
}

// onCaddy is the server under test. There is one Caddy in a process.
var onCaddy atomic.Pointer[fleet.Served]

// caddyHandler serves what the other servers of net/http do.
type caddyHandler struct{}

func (caddyHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.fleet", New: func() caddy.Module { return new(caddyHandler) }}
}

func (caddyHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	onCaddy.Load().ServeHTTP(w, r)
	return nil
}

func startCaddy(t testing.TB) *fleet.Served {
	caddy.DefaultStorage.Path = t.TempDir()
	if err := caddy.Load([]byte(caddyConfig), true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	l := <-wrappedByCaddy
	if l.err != nil {
		t.Fatal(l.err)
	}
	s := fleet.StartOn(t, l.Listener, func(*fleet.Served) error {
		<-l.ended
		return nil
	})
	s.Shutdown = func(context.Context) error { return caddy.Stop() }
	onCaddy.Store(s)
	return s
}
