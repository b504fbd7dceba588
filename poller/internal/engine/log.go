package engine

import (
	"fmt"
	"strings"
	"sync"

	"github.com/panjf2000/gnet/v2/pkg/logging"
)

// logger takes what the gnet engine of one run logs, on whatever goroutine. All of it is gnet's daily life, save errors, which
// an engine that ends does not return: the first is kept.
type logger struct {
	mu           sync.Mutex
	acceptFailed func(error) (passes bool) // nil when the run is over
	err          error
}

// close ends the run, and returns the error.
func (g *logger) close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.acceptFailed = nil
	return g.err
}

// booting is held while the logger of an engine is gnet's default.
var booting sync.Mutex

// keepDefaultLogger returns a function that gives gnet back the default logger that it has now, and does so once. An engine
// with a logger makes that the default as it starts, for good: other engines in the process would log to it.
func keepDefaultLogger() (restore func()) {
	booting.Lock()
	log, flush := logging.GetDefaultLogger(), logging.GetDefaultFlusher()
	return sync.OnceFunc(func() {
		logging.SetDefaultLoggerAndFlusher(log, flush)
		booting.Unlock()
	})
}

func (*logger) Debugf(string, ...any) {}
func (*logger) Infof(string, ...any)  {}
func (*logger) Warnf(string, ...any)  {}

// Errorf keeps the first error. That of an accept comes in the middle of accept, on the loop.
func (g *logger) Errorf(format string, args ...any) {
	g.mu.Lock()
	acceptFailed := g.acceptFailed
	g.mu.Unlock()
	if acceptFailed != nil && strings.HasPrefix(format, "Accept() failed") && acceptFailed(cause(args)) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = &loggedError{fmt.Sprintf(format, args...), cause(args)}
	}
}

// Fatalf is an error like any other: a library must not end the process.
func (g *logger) Fatalf(format string, args ...any) { g.Errorf(format, args...) }

// loggedError is an error that gnet has logged.
type loggedError struct {
	text  string
	cause error
}

func (e *loggedError) Error() string { return e.text }
func (e *loggedError) Unwrap() error { return e.cause }

// cause returns the error among the arguments of a message.
func cause(args []any) error {
	for _, a := range args {
		if err, ok := a.(error); ok {
			return err
		}
	}
	return nil
}
