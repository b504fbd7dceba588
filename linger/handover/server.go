package handover

import "context"

// Server is what [Handover.Run] runs: an *http.Server, a *poller.Server, or whatever can be stopped.
type Server interface {
	// Shutdown brings the connections to their end in order, and returns when they have, or ctx has ended.
	Shutdown(ctx context.Context) error
}

// ServerFunc is a Server by its Shutdown, such as a function that calls grpc.Server.GracefulStop.
type ServerFunc func(ctx context.Context) error

// Shutdown implements [Server].
func (f ServerFunc) Shutdown(ctx context.Context) error { return f(ctx) }
