package poller

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// engineLogger routes what gnet logs into the server's logger, and keeps the last error, since an engine that ends does
// not return it. gnet's loggers are of two kinds, the engine's and one for the whole package, so several goroutines may
// use it.
type engineLogger struct {
	log *slog.Logger
	// acceptFailed is called in the middle of an accept that failed, and tells whether that passes.
	acceptFailed func(error) (passes bool)

	mu  sync.Mutex
	err error
}

func (g *engineLogger) last() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// What gnet informs of, and what it warns of, is daily life to it: its start, and an event for a descriptor that was
// closed in the same round.

func (g *engineLogger) Debugf(format string, args ...any) { g.debug(format, args) }
func (g *engineLogger) Infof(format string, args ...any)  { g.debug(format, args) }
func (g *engineLogger) Warnf(format string, args ...any)  { g.debug(format, args) }

// Errorf does not print: the error is reported where the engine's end is dealt with.
func (g *engineLogger) Errorf(format string, args ...any) {
	g.debug(format, args)
	if strings.HasPrefix(format, "Accept() failed") && g.acceptFailed(cause(args)) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = &engineError{"gnet: " + fmt.Sprintf(format, args...), cause(args)}
	}
}

// Fatalf is an error like any other: a library must not end the process.
func (g *engineLogger) Fatalf(format string, args ...any) { g.Errorf(format, args...) }

func (g *engineLogger) debug(format string, args []any) {
	if g.log.Enabled(context.Background(), slog.LevelDebug) {
		g.log.Debug("gnet: " + fmt.Sprintf(format, args...))
	}
}

// engineError is an error that gnet has logged.
type engineError struct {
	text  string
	cause error
}

func (e *engineError) Error() string { return e.text }
func (e *engineError) Unwrap() error { return e.cause }

// cause returns the error among the arguments of a message.
func cause(args []any) error {
	for _, a := range args {
		if err, ok := a.(error); ok {
			return err
		}
	}
	return nil
}
