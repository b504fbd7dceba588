//go:build !linux

package handover

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync/atomic"

	"rstserver/linger"
)

// What there is on Linux alone is here so that programs which use it can be compiled, and developed, elsewhere. There is no successor there.

var errElsewhere = fmt.Errorf("handover: on %s there is no successor, only on Linux: %w", runtime.GOOS, errors.ErrUnsupported)

// Handover inherits nothing.
type Handover struct {
	options Options
	exit    chan struct{}
	left    atomic.Bool
}

// New looks at the options.
func New(o Options) (*Handover, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return &Handover{options: o.withDefaults(), exit: make(chan struct{})}, nil
}

// Listen listens on a new socket.
func (h *Handover) Listen(network, address string) (*linger.Listener, error) {
	return h.options.Listen.Listen(context.Background(), network, address)
}

// Run serves until ctx ends.
func (h *Handover) Run(ctx context.Context, network, address string, start func(*linger.Listener) Server) error {
	l, err := h.Listen(network, address)
	if err != nil {
		return err
	}
	server := start(l)
	<-ctx.Done()
	end, cancel := context.WithTimeout(context.Background(), h.options.Drain)
	defer cancel()
	_, err = l.Drain(end, server.Shutdown)
	return err
}

// HandOver returns an error that wraps [errors.ErrUnsupported].
func (h *Handover) HandOver(ctx context.Context) error { return errElsewhere }

// The channels never close, but for that of a predecessor, which there is none of.

func (h *Handover) Exit() <-chan struct{} { return h.exit }
func (h *Handover) Lost() <-chan struct{} { return h.exit }
func (h *Handover) Gone() <-chan struct{} {
	gone := make(chan struct{})
	close(gone)
	return gone
}

// The others have nothing to do.

func (h *Handover) Ready() error             { return nil }
func (h *Handover) Fail(why error)           {}
func (h *Handover) Close() error             { return nil }
func (h *Handover) Inherits() bool           { return false }
func (h *Handover) Passed() []netip.AddrPort { return nil }

// Notify does nothing.
func Notify(state string) error { return nil }
