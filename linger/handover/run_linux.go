//go:build linux

package handover

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"

	"rstserver/internal/latch"
	"rstserver/linger"
)

// Run serves the address until a successor has taken over and all connections have ended, and returns nil then. start starts a server on
// the listener, which is that of [Handover.Listen], and returns it; it is called when the predecessor has let go, and once more with another
// listener if the successor is lost, since a server that was stopped serves no more. Each of Options.Signals hands over, and why that failed
// is logged.
//
// When a successor has taken over, the server is let go of by [rstserver/linger.Listener.HandOver], or its own HandOver if it has one, for
// Options.Drain at the most. When ctx ends, without a successor, it is drained in that time: see [os/signal.NotifyContext]. The
// Handover is closed by then. The error says why the address could not be served, or what ends were not in order.
func (h *Handover) Run(ctx context.Context, network, address string, start func(*linger.Listener) Server) error {
	defer h.Close()
	signals := make(chan os.Signal, 1)
	if len(h.options.Signals) > 0 {
		signal.Notify(signals, h.options.Signals...)
		defer signal.Stop(signals)
	}
	var terms sync.WaitGroup
	defer terms.Wait()
	for first := true; ; first = false {
		l, err := h.Listen(network, address)
		if err != nil {
			return err
		}
		if first {
			if err := h.Ready(); err != nil {
				_ = l.Close()
				return err
			}
		}
		t := &term{h: h, listener: l, server: start(l), ended: make(chan struct{})}
		exit, lost := h.Exit(), h.Lost()
		if !t.serve(ctx, signals, exit, &terms) {
			_ = h.Close()
			t.drain(false)
			return t.err
		}
		terms.Go(func() { t.drain(true) })
		if !t.isLeft(lost) {
			return t.err
		}
		h.options.Logger.Warn("the successor has died: serving again")
	}
}

// term is the time of one server, from one listener to its end. The goroutine of Run owns it, until drain is called.
type term struct {
	h        *Handover
	listener *linger.Listener
	server   Server
	ended    chan struct{} // closed when err is set
	err      error
}

// serve waits for a successor, which signals ask for, and reports whether there is one; if not, ctx has ended.
func (t *term) serve(ctx context.Context, signals <-chan os.Signal, exit <-chan struct{}, all *sync.WaitGroup) bool {
	log := t.h.options.Logger
	for {
		select {
		case <-exit:
			return true
		case <-ctx.Done():
			return false
		case sig := <-signals:
			log.Info("handing over", "reason", sig.String())
			all.Go(func() {
				if err := t.h.HandOver(ctx); err != nil {
					log.Error("the handover failed, and this process goes on", "error", err)
				}
			})
		}
	}
}

// isLeft waits until the server has come to its end or its successor is lost, and reports whether nobody serves: a successor can be lost when
// the last connection has just ended.
func (t *term) isLeft(lost <-chan struct{}) bool {
	select {
	case <-t.ended:
	case <-lost:
	}
	return latch.IsClosed(lost)
}

// drain ends the server, to which there is a successor or not.
func (t *term) drain(succeeded bool) {
	defer close(t.ended)
	ctx := context.Background()
	if d := t.h.options.Drain; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	own, ok := t.server.(interface{ HandOver(context.Context) error })
	switch {
	case ok && succeeded:
		t.err = own.HandOver(ctx)
	case ok: // its listener is not in use
		t.err = t.server.Shutdown(ctx)
	case succeeded:
		_, t.err = t.listener.HandOver(ctx, t.server.Shutdown)
	default:
		_, t.err = t.listener.Drain(ctx, t.server.Shutdown)
	}
	if errors.Is(t.err, context.DeadlineExceeded) {
		t.h.options.Logger.Warn("not every connection has ended in time: the rest was reset", "time", t.h.options.Drain)
		t.err = nil
	}
}
