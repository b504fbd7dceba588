//go:build linux

package interop

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

// streams answers every method, on as few messages as there are in the modules anyway: those of the health service.
func (s *served) handleGRPC(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	request, answer := new(grpc_health_v1.HealthCheckRequest), &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}
	if err := stream.RecvMsg(request); err != nil {
		return err
	}
	if method == "/test/unary" {
		return stream.SendMsg(answer)
	}
	defer s.working()()
	switch method {
	case "/test/wait": // whatever becomes of the client
		<-s.gate
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

func startGRPC(t testing.TB, config linger.ListenConfig, secure bool) *served {
	server, _ := selfSigned(t)
	return start(t, config, func(s *served) error {
		opts := []grpc.ServerOption{grpc.UnknownServiceHandler(s.handleGRPC)}
		if secure {
			opts = append(opts, grpc.Creds(credentials.NewTLS(server)))
		}
		srv := grpc.NewServer(opts...)
		s.shutdown = func(context.Context) error {
			srv.GracefulStop() // has no context: it returns when the last handler does
			return nil
		}
		return srv.Serve(s.Listener)
	})
}

// grpcConn is one connection of a gRPC client, with streams.
type grpcConn struct {
	*grpc.ClientConn
	below   *recorder
	streams []grpc.ClientStream
}

// grpcClient opens a stream for each method on one connection. That of "/test/unary" is read to its end.
func grpcClient(secure bool, methods ...string) func(testing.TB, *served) (client, error) {
	return func(t testing.TB, s *served) (client, error) {
		_, config := selfSigned(t)
		creds := insecure.NewCredentials()
		if secure {
			creds = credentials.NewTLS(config)
		}
		below, err := s.dial()
		if err != nil {
			return nil, err
		}
		dialled := make(chan *recorder, 1)
		dialled <- below
		cc, err := grpc.NewClient("passthrough:///"+s.addr.String(), grpc.WithTransportCredentials(creds),
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

// end returns how the connection ended, unless a stream does not fail with it. A status of gRPC wraps no error.
func (c *grpcConn) end() error {
	defer c.Close()
	err := c.below.wait()
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

// whole reads the streams to their ends, which have the status OK.
func (c *grpcConn) whole() error {
	defer c.Close()
	for _, stream := range c.streams {
		if err := stream.RecvMsg(new(grpc_health_v1.HealthCheckResponse)); err != io.EOF {
			return err
		}
	}
	return nil
}

func grpcStates(secure bool) []state {
	states := []state{
		{name: "new", open: raw(sends(""))},
		{name: "half a preface", open: raw(sends("PRI * HTTP/2.0\r\n"))},
		{name: "idle", open: grpcClient(secure, "/test/unary")},
		{name: "in a handler", open: grpcClient(secure, "/test/wait"), handlers: 1},
		{name: "an open stream", open: grpcClient(secure, "/test/open"), handlers: 1},
		{name: "ten open streams", open: grpcClient(secure, "/test/open", "/test/open", "/test/open", "/test/open", "/test/open", "/test/open",
			"/test/open", "/test/open", "/test/open", "/test/open"), handlers: 10},
		{name: "slow reader", open: grpcClient(secure, "/test/endless"), handlers: 1},
	}
	if secure {
		states[1] = state{name: "in the TLS handshake", open: raw(sends("\x16\x03\x01\x02\x00\x01"))}
	}
	return states
}

func TestGRPC(t *testing.T) {
	t.Run("Abort", func(t *testing.T) {
		abortsAll(t, startGRPC(t, linger.ListenConfig{}, false), lingertest.Times(200, 1000), grpcStates(false))
	})
	t.Run("Abort, TLS", func(t *testing.T) {
		abortsAll(t, startGRPC(t, linger.ListenConfig{Armed: true}, true), 100, grpcStates(true))
	})
	t.Run("Drain", func(t *testing.T) {
		// GracefulStop begins with nothing before all handshakes are over, which the first two never are.
		drainsAll(t, startGRPC(t, linger.ListenConfig{}, false), grpcStates(false)[2:])
	})
	t.Run("Drain in order", func(t *testing.T) {
		finishesInDrain(t, startGRPC(t, linger.ListenConfig{}, false),
			[]state{{name: "in a handler", open: grpcClient(false, "/test/wait"), handlers: 1}})
	})
}
