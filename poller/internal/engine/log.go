package engine

import (
	"fmt"
	"strings"
	"sync"
)

// logger takes what gnet logs. All of it is gnet's daily life, save errors, which an engine that ends does not return: the
// first is kept. gnet has one logger for each engine and one for the whole package, which is that of the engine that was
// started last, so several goroutines may use it.
type logger struct {
	// acceptFailed is called in the middle of an accept that failed, and reports whether that passes.
	acceptFailed func(error) (passes bool)

	mu  sync.Mutex
	err error
}

func (g *logger) last() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

func (*logger) Debugf(string, ...any) {}
func (*logger) Infof(string, ...any)  {}
func (*logger) Warnf(string, ...any)  {}

// Errorf keeps the first error.
func (g *logger) Errorf(format string, args ...any) {
	if strings.HasPrefix(format, "Accept() failed") && g.acceptFailed(cause(args)) {
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
