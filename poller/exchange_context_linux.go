//go:build linux

package poller

import (
	"context"
	"net/http"
	"time"

	"rstserver/internal/turnkey"
	"rstserver/poller/internal/onloop"
)

// requestContext is the context of an exchange's request, which leads back to the exchange. Most handlers never look whether it has
// ended, so there is something that can be cancelled, and that is known to the site's context, only for one that does. Any goroutine may use it.
type requestContext exchange

type exchangeKey struct{}

func (c *requestContext) Deadline() (time.Time, bool) { return c.site.ctx.Deadline() }
func (c *requestContext) Done() <-chan struct{}       { return c.real().Done() }
func (c *requestContext) Err() error                  { return c.real().Err() }

func (c *requestContext) Value(key any) any {
	switch key {
	case exchangeKey{}, onloop.OfferKey:
		return (*exchange)(c)
	case turnkey.Key{}:
		return (*turnOf)(c)
	case http.ServerContextKey, http.LocalAddrContextKey:
		return c.site.ctx.Value(key)
	}
	// Package context itself asks with a key of its own, for context.Cause among others.
	return c.real().Value(key)
}

// real is the context that can be cancelled. No lock is held where it asks the site's, which can be a user's.
func (c *requestContext) real() context.Context {
	x := (*exchange)(c)
	x.mu.Lock()
	ctx, cause := x.cancellable, x.cause
	x.mu.Unlock()
	if ctx != nil {
		return ctx
	}
	ctx, cancel := context.WithCancelCause(x.site.ctx)
	if cause != nil {
		cancel(cause)
	}
	x.mu.Lock()
	if other := x.cancellable; other != nil {
		x.mu.Unlock()
		cancel(nil)
		return other
	}
	x.cancellable, x.cancel, cause = ctx, cancel, x.cause
	x.mu.Unlock()
	if cause != nil {
		cancel(cause) // which came meanwhile; if not, the first one counts
	}
	return ctx
}
