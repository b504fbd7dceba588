//go:build linux

package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"rstserver/internal/lingertest"
	"rstserver/linger"
)

// handleGRPC answers every method, on as few messages as there are in the modules anyway: those of the health service.
func (s *Served) handleGRPC(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	request, answer := new(grpc_health_v1.HealthCheckRequest), &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}
	if err := stream.RecvMsg(request); err != nil {
		return err
	}
	if method == "/test/unary" {
		return stream.SendMsg(answer)
	}
	defer s.Working()()
	switch method {
	case "/test/wait": // whatever becomes of the client
		<-s.Gate
	case "/test/open":
		if err := stream.SendMsg(answer); err != nil {
			return err
		}
		return stream.RecvMsg(request)
	case "/test/endless":
		long := &grpc_health_v1.HealthCheckRequest{Service: strings.Repeat("x", 8<<10)}
		for {
			if err := stream.SendMsg(long); err != nil {
				return err
			}
		}
	}
	return nil
}

// StartGRPC serves by gRPC, over TLS or without.
func StartGRPC(t testing.TB, config linger.ListenConfig, secure bool) *Served {
	server, _ := SelfSigned(t)
	return Start(t, config, func(s *Served) error {
		opts := []grpc.ServerOption{grpc.UnknownServiceHandler(s.handleGRPC)}
		if secure {
			opts = append(opts, grpc.Creds(credentials.NewTLS(server)))
		}
		srv := grpc.NewServer(opts...)
		s.Shutdown = func(context.Context) error {
			srv.GracefulStop() // has no context: it returns when the last handler does
			return nil
		}
		return srv.Serve(s.Listener)
	})
}

// grpcConn is one connection of a gRPC client, with streams.
type grpcConn struct {
	*grpc.ClientConn
	below   *Recorder
	streams []grpc.ClientStream
}

// GRPCClient opens a stream for each method on one connection. That of "/test/unary" is read to its end.
func GRPCClient(secure bool, methods ...string) func(testing.TB, *Served) (Client, error) {
	return func(t testing.TB, s *Served) (Client, error) {
		_, config := SelfSigned(t)
		creds := insecure.NewCredentials()
		if secure {
			creds = credentials.NewTLS(config)
		}
		below, err := s.Dial()
		if err != nil {
			return nil, err
		}
		dialled := make(chan *Recorder, 1)
		dialled <- below
		cc, err := grpc.NewClient("passthrough:///"+s.AddrPort.String(), grpc.WithTransportCredentials(creds),
			grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
				select {
				case c := <-dialled:
					return c, nil
				default:
					return nil, errors.New("a second connection")
				}
			}))
		if err != nil {
			return nil, err
		}
		c := &grpcConn{ClientConn: cc, below: below}
		for _, method := range methods {
			stream, err := cc.NewStream(context.Background(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
			if err != nil {
				return nil, err
			}
			if err := stream.SendMsg(new(grpc_health_v1.HealthCheckRequest)); err != nil {
				return nil, err
			}
			switch method {
			case "/test/unary":
				answer := new(grpc_health_v1.HealthCheckResponse)
				if err := stream.RecvMsg(answer); err != nil {
					return nil, err
				}
				if err := stream.RecvMsg(answer); err == nil {
					return nil, errors.New("a second answer")
				}
				continue
			case "/test/open":
				if err := stream.RecvMsg(new(grpc_health_v1.HealthCheckResponse)); err != nil {
					return nil, err
				}
			}
			c.streams = append(c.streams, stream)
		}
		// There is a stream before the state says that there is a connection.
		ctx, cancel := context.WithTimeout(context.Background(), lingertest.Patience)
		defer cancel()
		for s := cc.GetState(); s != connectivity.Ready; s = cc.GetState() {
			if s != connectivity.Connecting || !cc.WaitForStateChange(ctx, s) {
				return nil, fmt.Errorf("the connection is %v", s)
			}
		}
		return c, nil
	}
}

// End returns how the connection ended, unless a stream does not fail with it. A status of gRPC wraps no error.
func (c *grpcConn) End() error {
	defer c.Close()
	err := c.below.Wait()
	for _, stream := range c.streams {
		var e error
		for e == nil {
			e = stream.RecvMsg(new(grpc_health_v1.HealthCheckResponse))
		}
		if status.Code(e) != codes.Unavailable {
			return fmt.Errorf("a stream ended with %v", e)
		}
	}
	return err
}

// Whole reads the streams to their ends, which have the status OK.
func (c *grpcConn) Whole() error {
	defer c.Close()
	for _, stream := range c.streams {
		if err := stream.RecvMsg(new(grpc_health_v1.HealthCheckResponse)); err != io.EOF {
			return err
		}
	}
	return nil
}

// GRPCStates are those of the connections of gRPC.
func GRPCStates(secure bool) []State {
	states := []State{
		{Name: "new", Open: Raw(Sends(""))},
		{Name: "half a preface", Open: Raw(Sends("PRI * HTTP/2.0\r\n"))},
		{Name: "idle", Open: GRPCClient(secure, "/test/unary")},
		{Name: "in a handler", Open: GRPCClient(secure, "/test/wait"), Handlers: 1},
		{Name: "an open stream", Open: GRPCClient(secure, "/test/open"), Handlers: 1},
		{Name: "ten open streams", Open: GRPCClient(secure, "/test/open", "/test/open", "/test/open", "/test/open", "/test/open", "/test/open",
			"/test/open", "/test/open", "/test/open", "/test/open"), Handlers: 10},
		{Name: "slow reader", Open: GRPCClient(secure, "/test/endless"), Handlers: 1},
	}
	if secure {
		states[1] = State{Name: "in the TLS handshake", Open: Raw(Sends("\x16\x03\x01\x02\x00\x01"))}
	}
	return states
}
