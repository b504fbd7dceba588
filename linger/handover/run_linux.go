//go:build linux

package handover

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"

	"rstserver/linger"
)

// Run serves the address until a successor has taken over and all connections have ended, and returns nil then. start starts a server on
// the listener, which is that of [Handover.Listen], and returns its graceful stop, such as http.Server.Shutdown; it is called when the
// predecessor has let go, and once more with another listener if the successor is lost: a server that was stopped serves no more. Each of
// Options.Signals hands over, and why that failed is logged.
//
// When a successor has taken over, the server is let go of by [rstserver/linger.Listener.HandOver], for Options.Drain at the most. When ctx ends, it is
// drained in the same time, without a successor; a handler of signals does it, as [os/signal.NotifyContext]. The Handover is closed
// then. The error says why the address could not be served, or what ends were not in order.
func (h *Handover) Run(ctx context.Context, network, address string, start func(*linger.Listener) (shutdown func(context.Context) error)) error {
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
		t := &term{h: h, listener: l, shutdown: start(l), ended: make(chan struct{})}
		exit, lost := h.Exit(), h.Lost()
		if !t.serve(ctx, signals, exit, &terms) {
			_ = h.Close()
			t.drain(l.Drain)
			return t.err
		}
		terms.Go(func() { t.drain(l.HandOver) })
		select {
		case <-t.ended:
			return t.err
		case <-lost:
			h.options.Logger.Warn("the successor has died: serving again")
		}
	}
}

// term is the time of one server, from one listener to its end. The goroutine of Run owns it, until drain is called.
type term struct {
	h        *Handover
	listener *linger.Listener
	shutdown func(context.Context) error
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

// drain ends the server.
func (t *term) drain(by func(context.Context, func(context.Context) error) (linger.Report, error)) {
	defer close(t.ended)
	ctx := context.Background()
	if d := t.h.options.Drain; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	rep, err := by(ctx, t.shutdown)
	if errors.Is(err, context.DeadlineExceeded) {
		t.h.options.Logger.Warn("connections were reset that had not ended in time", "connections", rep.AtDeadline.Total(), "time", t.h.options.Drain)
		err = nil
	}
	t.err = err
}
