//go:build linux

package http2

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"rstserver/internal/lingertest"
)

// grpc-go's server answers through its ServeHTTP: unary calls, and a stream that outlives them.
func TestGRPC(t *testing.T) {
	plainAndTLS(t, func(t *testing.T, config *tls.Config, trusted *x509.CertPool) {
		at, service := serveGRPC(t, config)
		client := dialGRPC(t, at, trusted)
		watch, err := client.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "it"})
		lingertest.Must(t, err)
		expectStatus(t, watch, grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN)
		var calls sync.WaitGroup
		for range 8 {
			calls.Go(func() {
				for range 100 {
					r, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
					if err != nil || r.Status != grpc_health_v1.HealthCheckResponse_SERVING {
						t.Errorf("Check = %v, %v", r, err)
						return
					}
				}
			})
		}
		calls.Wait()
		_, err = client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "nobody's"})
		if got := status.Code(err); got != codes.NotFound {
			t.Errorf("an unknown service is %v (%v), want NotFound", got, err)
		}
		service.SetServingStatus("it", grpc_health_v1.HealthCheckResponse_SERVING)
		expectStatus(t, watch, grpc_health_v1.HealthCheckResponse_SERVING)
	})
}

// A drain waits for a stream, which gets what its handler still sends.
func TestGRPCShutdown(t *testing.T) {
	plainAndTLS(t, func(t *testing.T, config *tls.Config, trusted *x509.CertPool) {
		at, service := serveGRPC(t, config)
		client := dialGRPC(t, at, trusted)
		ctx, leave := context.WithCancel(t.Context())
		watch, err := client.Watch(ctx, &grpc_health_v1.HealthCheckRequest{Service: "it"})
		lingertest.Must(t, err)
		expectStatus(t, watch, grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN)
		ended := make(chan error, 1)
		go func() { ended <- at.server.Shutdown(t.Context()) }()
		lingertest.Wait(t, "the drain has begun", func() bool { return at.server.Report().Mode.Drains() })
		service.SetServingStatus("it", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
		expectStatus(t, watch, grpc_health_v1.HealthCheckResponse_NOT_SERVING)
		leave()
		if err := <-ended; err != nil {
			t.Errorf("Shutdown = %v", err)
		}
	})
}

// Close ends streams at once.
func TestGRPCClose(t *testing.T) {
	plainAndTLS(t, func(t *testing.T, config *tls.Config, trusted *x509.CertPool) {
		at, _ := serveGRPC(t, config)
		client := dialGRPC(t, at, trusted)
		watch, err := client.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "it"})
		lingertest.Must(t, err)
		expectStatus(t, watch, grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN)
		lingertest.Must(t, at.server.Close())
		if _, err := watch.Recv(); status.Code(err) != codes.Unavailable {
			t.Errorf("Recv = %v, want Unavailable", err)
		}
		if rep := at.server.Report(); !rep.Complete() {
			t.Errorf("the teardown is not complete: %s", rep)
		}
	})
}

// serveGRPC serves the health service, which has a unary call and a stream.
func serveGRPC(t *testing.T, config *tls.Config) (*target, *health.Server) {
	t.Helper()
	server, service := grpc.NewServer(), health.NewServer()
	t.Cleanup(server.Stop)
	grpc_health_v1.RegisterHealthServer(server, service)
	return serve(t, http.HandlerFunc(server.ServeHTTP), config), service
}

func dialGRPC(t *testing.T, at *target, trusted *x509.CertPool) grpc_health_v1.HealthClient {
	t.Helper()
	with := insecure.NewCredentials()
	if trusted != nil {
		with = credentials.NewClientTLSFromCert(trusted, "example.com")
	}
	c, err := grpc.NewClient(at.addr, grpc.WithTransportCredentials(with))
	lingertest.Must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return grpc_health_v1.NewHealthClient(c)
}

func expectStatus(t *testing.T, watch grpc_health_v1.Health_WatchClient, want grpc_health_v1.HealthCheckResponse_ServingStatus) {
	t.Helper()
	if r, err := watch.Recv(); err != nil || r.Status != want {
		t.Fatalf("Recv = %v, %v, want %v", r, err, want)
	}
}
