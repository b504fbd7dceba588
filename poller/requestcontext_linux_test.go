//go:build linux

package poller

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
)

// TestRequestContext asks a request's context what it says when it is asked for the first time at each moment.
func TestRequestContext(t *testing.T) {
	type key struct{}
	why := errors.New("the application ends")
	base, cancel := context.WithCancelCause(context.WithValue(context.Background(), key{}, "base"))
	defer cancel(nil)
	contexts := make(chan context.Context, 1)
	inside := make(chan error, 1)
	s := start(t, &Server{
		BaseContext: func(net.Listener) context.Context { return base },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/cancelled":
				cancel(why)
				inside <- errors.Join(r.Context().Err(), context.Cause(r.Context()))
			case "/child":
				child, cancel := context.WithCancel(r.Context())
				defer cancel()
				inside <- errors.Join(r.Context().Err(), child.Err())
			}
			contexts <- r.Context()
		}),
	})
	c := s.dial(t)
	for range 2 { // the second one is asked when the handler has returned
		c.get("/")
		ctx := <-contexts
		<-ctx.Done()
		if err, cause := ctx.Err(), context.Cause(ctx); err != context.Canceled || cause != context.Canceled {
			t.Errorf("after the handler Err() = %v, Cause() = %v; want %v", err, cause, context.Canceled)
		}
		if ctx.Value(key{}) != "base" || ctx.Value(http.ServerContextKey) != s.Server || ctx.Value(http.LocalAddrContextKey) == nil {
			t.Error("values of the contexts behind it are missing")
		}
		if _, ok := ctx.Deadline(); ok {
			t.Error("it has a deadline")
		}
	}
	c.get("/child")
	if err := <-inside; err != nil {
		t.Errorf("in the handler: %v, want nil", err)
	}
	<-contexts
	c.get("/cancelled")
	if err := <-inside; !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
		t.Errorf("when BaseContext's was cancelled: %v; want %v and %v", err, context.Canceled, why)
	}
	<-contexts
}
