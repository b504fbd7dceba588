//go:build !linux

package linger

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"sync"
	"syscall"
	"time"
)

// Listen is [net.Listen]. Only on Linux are the connections tracked.
func Listen(network, address string) (*Listener, error) {
	return ListenConfig{}.Listen(context.Background(), network, address)
}

// Wrap passes ln through.
func Wrap(ln net.Listener) (*Listener, error) { return ListenConfig{}.Wrap(ln) }

// Listen is the package's [Listen]. The options are looked at, and have no effect.
func (c ListenConfig) Listen(ctx context.Context, network, address string) (*Listener, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return c.Wrap(ln)
}

// Wrap is the package's [Wrap]. The options are looked at, and have no effect.
func (c ListenConfig) Wrap(ln net.Listener) (*Listener, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if ln == nil {
		return nil, errors.New("linger: there is no listener")
	}
	if _, ours := ln.(*Listener); ours {
		return nil, errors.New("linger: the listener is a Listener already")
	}
	return &Listener{below: ln, shared: c.Shared, over: make(chan struct{})}, nil
}

// Listener is a [net.Listener] that only on Linux can reset the connections that it has accepted. Elsewhere programs that use it
// compile, and work, but for that: its Abort closes the listening socket and nothing else, and says so.
type Listener struct {
	below  net.Listener
	shared bool
	over   chan struct{} // closed when Accept is to return

	once    sync.Once // of closing below
	refusal error
	ends    sync.Once // of over

	mu     sync.Mutex // guards what follows
	report Report
	err    error
}

// Accept is that of the listener below. After Release, and while a Drain is at work, its error does not come before the end.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.below.Accept()
	if err != nil && errors.Is(err, net.ErrClosed) && l.Report().Mode != ModeNone {
		<-l.over
	}
	return c, err
}

// Addr is the address of the listener below.
func (l *Listener) Addr() net.Addr { return l.below.Addr() }

// NetListener returns the listener below.
func (l *Listener) NetListener() net.Listener { return l.below }

// SyscallConn gives access to the listening socket.
func (l *Listener) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := l.below.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errElsewhere
}

// Close closes the listener below.
func (l *Listener) Close() error {
	l.ends.Do(func() { close(l.over) })
	return l.refuse()
}

func (l *Listener) refuse() error {
	l.once.Do(func() {
		if err := l.below.Close(); !errors.Is(err, net.ErrClosed) {
			l.refusal = err
		}
	})
	return l.refusal
}

// Release closes the listener below. Nobody knows when its last connection ends; so Accept returns with the Drain or Abort or Close that
// comes after it.
func (l *Listener) Release() error {
	l.begin(ModeRelease)
	return l.refuse()
}

// Drain closes the listener below and calls the server's graceful stop. The error is that of the stop, or of ctx if that ends before.
func (l *Listener) Drain(ctx context.Context, shutdown func(context.Context) error) (Report, error) {
	return l.drainBy(ctx, ModeDrain, shutdown)
}

// HandOver is Drain.
func (l *Listener) HandOver(ctx context.Context, shutdown func(context.Context) error) (Report, error) {
	return l.drainBy(ctx, ModeHandover, shutdown)
}

func (l *Listener) drainBy(ctx context.Context, mode Mode, shutdown func(context.Context) error) (Report, error) {
	if !l.begin(mode) {
		return l.Report(), l.error()
	}
	err := l.refuse()
	if shutdown != nil {
		stopped := make(chan error, 1)
		go func() {
			defer close(stopped)
			stopped <- shutdown(ctx)
		}()
		select {
		case stop := <-stopped:
			err = errors.Join(err, stop)
		case <-ctx.Done():
			err = errors.Join(err, ctx.Err())
			select {
			case stop := <-stopped:
				if !errors.Is(stop, ctx.Err()) {
					err = errors.Join(err, stop)
				}
			case <-time.After(time.Second):
				err = errors.Join(err, ErrShutdownRunning)
			}
		}
	}
	return l.end(err)
}

// Abort closes the listener below. Its connections live on until the server ends them, so there is always an error, which wraps
// [errors.ErrUnsupported], and the Report is not verified.
func (l *Listener) Abort() (Report, error) {
	l.begin(ModeAbort)
	return l.end(errors.Join(l.refuse(), errElsewhere))
}

// begin notes that the Listener lets go, and reports whether it did not so already in a way that is as forceful.
func (l *Listener) begin(mode Mode) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.report.Mode != ModeNone && (l.report.Mode != ModeRelease || mode == ModeRelease) {
		return false
	}
	l.report = Report{Mode: mode, Started: time.Now(), Address: l.Addr().String(), HandlersRunning: -1}
	return true
}

func (l *Listener) end(err error) (Report, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.report.Steps.Done == 0 {
		l.report.Steps.Done = max(time.Since(l.report.Started), 1)
		l.report.Steps.Refused = l.report.Steps.Done
		l.report.Unverified = errElsewhere.Error()
		l.err = err
	}
	l.ends.Do(func() { close(l.over) })
	return l.report, l.err
}

func (l *Listener) error() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Report says what there is to say without the kernel.
func (l *Listener) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	rep := l.report
	rep.Address, rep.HandlersRunning = l.Addr().String(), -1
	return rep
}

// AbortAll aborts all, one after the other.
func AbortAll(listeners ...*Listener) (reports []Report, err error) {
	for _, l := range listeners {
		rep, e := l.Abort()
		reports, err = append(reports, rep), errors.Join(err, e)
	}
	return reports, err
}

// Shared reports whether it was announced that others hold the listening socket.
func (l *Listener) Shared() bool { return l.shared }

// Len is 0, as no connection is known.
func (l *Listener) Len() int { return 0 }

// All yields nothing, as no connection is known.
func (l *Listener) All() iter.Seq[ConnInfo] { return func(func(ConnInfo) bool) {} }

// AbortIf aborts nothing, as no connection is known.
func (l *Listener) AbortIf(selector func(ConnInfo) bool) int { return 0 }

var (
	_ net.Listener = (*Listener)(nil)
	_ fmt.Stringer = Report{}
)
