//go:build linux

package servers

import (
	"context"
	"net"
	"net/http"
	"net/rpc"
	"net/rpc/jsonrpc"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/grpc/health/grpc_health_v1"

	"rstserver/linger/interop/internal/fleet"
)

// connects serves two procedures of connect.
func connects(s *fleet.Served) http.Handler {
	m := http.NewServeMux()
	m.Handle("/idle", connect.NewUnaryHandler("/idle",
		func(context.Context, *connect.Request[grpc_health_v1.HealthCheckRequest]) (*connect.Response[grpc_health_v1.HealthCheckResponse], error) {
			return connect.NewResponse(new(grpc_health_v1.HealthCheckResponse)), nil
		}))
	m.Handle("/wait", connect.NewUnaryHandler("/wait",
		func(context.Context, *connect.Request[grpc_health_v1.HealthCheckRequest]) (*connect.Response[grpc_health_v1.HealthCheckResponse], error) {
			defer s.Working()()
			<-s.Gate
			return connect.NewResponse(new(grpc_health_v1.HealthCheckResponse)), nil
		}))
	return m
}

func connectStates(testing.TB) []fleet.State {
	call := func(path string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
	}
	return []fleet.State{
		{Name: "new", Open: fleet.Raw(talk())},
		{Name: "idle", Open: fleet.Raw(talk(">"+call("/idle"), "<200", "<\r\n\r\n", "<}"))},
		{Name: "half a request", Open: fleet.Raw(talk(">" + call("/idle")[:20]))},
		{Name: "in a handler", Open: fleet.Raw(talk(">" + call("/wait"))), Handlers: 1},
	}
}

// echoes is a service of net/rpc.
type echoes struct{}

func (*echoes) Back(said string, back *string) error {
	*back = said
	return nil
}

func serveRPC(_ *fleet.Served, c net.Conn) {
	srv := rpc.NewServer()
	_ = srv.RegisterName("Echo", new(echoes))
	srv.ServeCodec(jsonrpc.NewServerCodec(c))
}
