//go:build linux

package servers

import (
	"net"
	"net/http"
	"testing"

	"rstserver/linger"
	"rstserver/linger/interop/internal/fleet"
)

// foreign is a server of somebody's.
type foreign struct {
	name   string
	module string // whose it is; empty: Go's
	start  func(testing.TB) *fleet.Served
	states func(testing.TB) []fleet.State
}

// foreigners are the rows of the table in linger/README.md.
var foreigners = []foreign{
	{"net/http", "", func(t testing.TB) *fleet.Served { return fleet.StartHTTP(t, linger.ListenConfig{}) },
		func(testing.TB) []fleet.State { return fleet.PlainStates() }},
	{"net/http, TLS and HTTP/2", "", func(t testing.TB) *fleet.Served { return fleet.StartHTTPS(t, linger.ListenConfig{}, false) }, fleet.TLSStates},
	{"net/http, on a tls.NewListener", "", func(t testing.TB) *fleet.Served { return fleet.StartHTTPS(t, linger.ListenConfig{}, true) }, fleet.TLSStates},
	{"chi", "github.com/go-chi/chi/v5", mounted(onChi), webStates},
	{"gorilla/mux", "github.com/gorilla/mux", mounted(onMux), webStates},
	{"gin", "github.com/gin-gonic/gin", mounted(onGin), webStates},
	{"echo", "github.com/labstack/echo/v4", startEcho, webStates},
	{"fasthttp", "github.com/valyala/fasthttp", func(t testing.TB) *fleet.Served {
		return fleet.StartFast(t, linger.ListenConfig{}, func(ln net.Listener) net.Listener { return ln })
	}, fastStates},
	{"fiber", "github.com/gofiber/fiber/v2", startFiber, fastStates},
	{"hertz", "github.com/cloudwego/hertz", startHertz, plainStates},
	{"Caddy", "github.com/caddyserver/caddy/v2", startCaddy, webStates},
	{"gorilla/websocket", "github.com/gorilla/websocket", mounted(gorillas), gorillaStates},
	{"centrifuge", "github.com/centrifugal/centrifuge", startCentrifuge, centrifugeStates},
	{"gRPC", "google.golang.org/grpc", func(t testing.TB) *fleet.Served { return fleet.StartGRPC(t, linger.ListenConfig{}, false) },
		func(testing.TB) []fleet.State { return fleet.GRPCStates(false) }},
	{"gRPC, TLS", "google.golang.org/grpc", func(t testing.TB) *fleet.Served { return fleet.StartGRPC(t, linger.ListenConfig{}, true) },
		func(testing.TB) []fleet.State { return fleet.GRPCStates(true) }},
	{"connect", "connectrpc.com/connect", mounted(connects), connectStates},
	{"net/rpc", "", eachConn(serveRPC), spoken(">{\"method\":\"Echo.Back\",\"params\":[\"hello\"],\"id\":1}\n", "<hello", ">{\"meth")},
	{"go-proxyproto, the Listener around it", "github.com/pires/go-proxyproto", inside(proxied), proxiedStates},
	{"go-proxyproto, around the Listener", "github.com/pires/go-proxyproto", around(proxied), proxiedStates},
	{"cmux", "github.com/soheilhy/cmux", startCmux, plainStates},
	{"tcplisten, with TCP_DEFER_ACCEPT", "github.com/valyala/tcplisten", startDeferring, plainStates},
	{"yamux", "github.com/hashicorp/yamux", eachConn(serveYamux), yamuxStates},
	{"ssh", "github.com/gliderlabs/ssh", startSSH, sshStates},
	{"go-smtp", "github.com/emersion/go-smtp", startSMTP, spoken("<220", ">EHLO x\r\n", "<250 ", ">MAIL FR")},
	{"go-imap", "github.com/emersion/go-imap", startIMAP, spoken("<* OK", ">a NOOP\r\n", "<a OK", ">b NO")},
	{"redcon", "github.com/tidwall/redcon", startRedcon, spoken(">PING\r\n", "<PONG", ">*1\r\n$4\r\nPI")},
	{"dns, over TCP", "github.com/miekg/dns", startDNS, dnsStates},
}

// mounted serves a handler by net/http.
func mounted(handler func(*fleet.Served) http.Handler) func(testing.TB) *fleet.Served {
	return func(t testing.TB) *fleet.Served {
		srv := &http.Server{ErrorLog: fleet.Quiet}
		return fleet.Start(t, linger.ListenConfig{}, func(s *fleet.Served) error {
			srv.Handler, s.Shutdown = handler(s), srv.Shutdown
			return srv.Serve(s.Listener)
		})
	}
}
